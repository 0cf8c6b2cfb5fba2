#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod client;
mod config;
pub mod convert;
mod error;
mod queue;

pub use config::{
    Credentials, CredentialsProvider, EventConfig, OnInvalid, Properties, Retries, RocketMqConfig,
    Subject, Subscription, Tls,
};
pub use queue::RocketMqQueue;
