//! Against a real Apache Kafka.

mod conformance;
mod faults;
mod flow;
mod gaps;
mod rebalance;
mod sink;
mod start;
mod support;
