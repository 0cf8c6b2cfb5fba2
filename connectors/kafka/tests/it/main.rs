//! Against a real Apache Kafka.

mod conformance;
mod support;
