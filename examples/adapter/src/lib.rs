//! The library of `eventlane-adapter`, the operator's binary over [`eventlane`]: pipelines as YAML
//! files say, several in one process, with everything around them that an operator needs.
//!
//! A program of one's own does better with [`eventlane`] itself.
#![warn(missing_docs)]

pub mod cli;
pub mod config;
pub mod exit;
pub mod explain;
pub mod logs;
pub mod pipeline;
pub mod run;
