//! The whole system from outside: a real Kafka, the program, a real endpoint that checks what it
//! gets, and faults between them. One key's events are numbered; the endpoint knows what has to
//! come.

mod adapter;
mod bad_input;
mod crash;
mod delivery;
mod failing_key;
mod groups;
mod memory;
mod outages;
mod replies;
mod rest;
