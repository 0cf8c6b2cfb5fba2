//! Against a server of our own that speaks MNS over real sockets.

mod client;
mod conformance;
mod delivery;
mod fake;
mod faults;
mod queue;
mod security;
