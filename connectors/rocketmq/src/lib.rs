#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod client;
mod config;
pub mod convert;
mod error;
mod queue;

/// Entrances for `fuzz/`; part of no build but its own.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz {
    use prost::Message as _;

    use crate::{RocketMqConfig, client, convert::Converter};

    /// Reads a message, and makes an event of it, twice the same.
    pub fn message(bytes: &[u8]) {
        let Ok(message) = client::pb::Message::decode(bytes) else {
            return;
        };
        let Some(message) = client::fuzz_read(message) else {
            return;
        };
        let converter = Converter::new(&RocketMqConfig::new("localhost:8081", "g"));
        let event = converter.convert(&message).expect("an event").event;
        assert_eq!(converter.convert(&message).expect("an event").event, event);
        let mut out = Vec::new();
        eventlane::event::json::write(&event, &mut out);
        assert!(eventlane::event::json::read(&out.into()).is_ok());
    }
}

pub use config::{
    Credentials, CredentialsProvider, EventConfig, OnInvalid, Properties, Retries, RocketMqConfig,
    Subject, Subscription, Tls,
};
pub use queue::RocketMqQueue;
