//! The whole system from outside: a real RocketMQ, the program, a real endpoint that checks what it
//! gets. The events of a message group are numbered; the endpoint knows what has to come.
//!
//! What has to hold wherever the proxy runs is in files of its own; `local` and `cluster` say with
//! which broker, and how much of it.

mod adapter;
mod cluster;
mod crash;
mod handover;
mod leases;
mod load;
mod local;
mod pair;
mod topic;
mod usage;
