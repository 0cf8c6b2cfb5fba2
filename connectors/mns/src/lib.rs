#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod client;
mod config;
pub mod convert;
mod dead_letter;
mod error;
mod queue;

pub use config::{
    BodyEncoding, Credentials, CredentialsProvider, EventConfig, MnsConfig, OnInvalid, Signing,
};
pub use dead_letter::MnsDeadLetter;
pub use queue::MnsQueue;
