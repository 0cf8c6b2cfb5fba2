//! Against the fake SQS in this process, and the real servers ElasticMQ and ministack.

mod conformance;
mod connecting;
mod delivery;
mod failures;
mod fake;
mod fifo;
mod flow;
mod standard;
mod support;
