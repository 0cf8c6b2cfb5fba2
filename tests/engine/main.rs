//! The engine's promises, on a paused clock, with the memory source and a scripted sink.

mod batches;
mod budgets;
mod control;
mod destination;
mod exhaustion;
mod handover;
mod observability;
mod order;
mod queues;
mod random;
mod settling;
mod stopping;
mod support;
