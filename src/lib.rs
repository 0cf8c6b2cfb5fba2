#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

#[cfg(feature = "conformance")]
pub mod conformance;
mod engine;
mod error;
pub mod event;
pub mod memory;
pub mod metrics;
pub mod sink;
pub mod source;

pub use engine::{
    BatchPolicy, Budgets, Growth, HeldLane, Keyless, OnExhausted, Ordering, Pipeline,
    PipelineError, Progress, Report, Retry,
};
pub use error::{Error, ErrorKind, Result};
pub use event::Event;
pub use sink::Sink;
pub use source::{Capability, Source};
