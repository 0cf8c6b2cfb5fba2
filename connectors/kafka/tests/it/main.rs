//! Against a real Apache Kafka.

mod conformance;
mod faults;
mod flow;
mod gaps;
mod rebalance;
mod start;
mod support;
