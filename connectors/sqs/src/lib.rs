#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod attempts;
mod config;
mod connect;
pub mod convert;
mod error;
pub mod metrics;
mod queue;

pub use config::{
    AssumeRole, AttributeExtensions, EventConfig, OnInvalid, SqsConfig, StaticCredentials,
};
pub use queue::SqsQueue;
