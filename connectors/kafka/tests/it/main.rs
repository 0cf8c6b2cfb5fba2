//! Against a real Apache Kafka.

mod conformance;
mod faults;
mod gaps;
mod rebalance;
mod start;
mod support;
