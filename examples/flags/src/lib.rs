//! What `kafka-to-http`, `queue-to-http` and their like have in common: the flags about the
//! delivery, how they become a pipeline, and what a well-behaved program does around it.
#![warn(missing_docs)]

mod delivery;
mod program;

pub use delivery::{Delivery, seconds};
pub use program::run;

/// Compiles the examples of the project's README, which need the connectors.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ProjectReadme;
