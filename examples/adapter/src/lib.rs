//! The library of `eventlane-adapter`, the operator's binary over [`eventlane`]: pipelines as YAML
//! files say, several in one process, with everything around them that an operator needs.
//!
//! A program of one's own does better with [`eventlane`] itself.
#![warn(missing_docs)]

pub mod check;
pub mod cli;
pub mod config;
pub mod display;
pub mod exit;
pub mod explain;
mod extensions;
pub mod health;
pub mod knative;
pub mod live;
pub mod logs;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod pipeline;
pub mod reload;
pub mod replay;
pub mod replies;
pub mod run;
pub mod schema;
pub mod status;
