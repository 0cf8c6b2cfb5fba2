#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod attempts;
mod config;
mod connect;
pub mod convert;
mod error;
pub mod metrics;
mod queue;

/// Entrances for `fuzz/`; part of no build but its own.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz {
    use crate::{
        EventConfig,
        convert::{Converter, fuzz_message},
    };

    /// Makes an event of a message, in each of the ways there are, twice the same.
    pub fn message(bytes: &[u8]) {
        for (whole_message, unwrap_sns) in [(false, false), (false, true), (true, false)] {
            let config = EventConfig {
                whole_message,
                unwrap_sns,
                ..EventConfig::default()
            };
            let converter = Converter::new(&config, "arn:aws:sqs:eu-central-1:1:q");
            let convert = || {
                converter
                    .convert(fuzz_message(bytes))
                    .expect("it has an id")
            };
            let event = convert().event;
            assert_eq!(convert().event, event);
            let mut out = Vec::new();
            eventlane::event::json::write(&event, &mut out);
            assert!(eventlane::event::json::read(&out.into()).is_ok());
        }
    }
}

pub use config::{
    AssumeRole, AttributeExtensions, EventConfig, OnInvalid, SqsConfig, StaticCredentials,
};
pub use queue::SqsQueue;
