//! The engine's promises, on a paused clock, with the memory source and a scripted sink.

mod batches;
mod budgets;
mod destination;
mod exhaustion;
mod handover;
mod order;
mod queues;
mod settling;
mod stopping;
mod support;
