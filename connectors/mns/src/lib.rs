#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod client;
mod config;
pub mod convert;
mod dead_letter;
mod error;
mod queue;

/// Entrances for `fuzz/`; part of no build but its own.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz {
    pub use crate::client::fuzz_answer as answer;
}

pub use config::{
    BodyEncoding, Credentials, CredentialsProvider, EventConfig, MnsConfig, OnInvalid, Signing,
};
pub use dead_letter::MnsDeadLetter;
pub use queue::MnsQueue;
