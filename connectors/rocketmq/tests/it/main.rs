//! Against a real Apache RocketMQ, and against a server of our own that speaks its protocol over
//! real sockets: the same tests, which is what it is trusted for, and those of what a real one can't
//! be made to do.

mod client;
mod conformance;
mod connecting;
mod delivery;
mod fake;
mod faults;
mod fifo;
mod interop;
mod producing;
mod support;
