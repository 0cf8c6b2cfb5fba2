//! Against a real Apache RocketMQ.

mod client;
mod conformance;
mod connecting;
mod delivery;
mod fifo;
mod interop;
mod producing;
mod support;
