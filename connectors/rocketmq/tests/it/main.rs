//! Against a real Apache RocketMQ.

mod client;
mod conformance;
mod connecting;
mod delivery;
mod fifo;
mod producing;
mod support;
