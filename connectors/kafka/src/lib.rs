#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod check;
mod config;
mod connect;
mod context;
pub mod convert;
mod error;
mod intake;
mod lag;
mod ledger;
mod metadata;
pub mod metrics;
mod native;
mod outlet;
mod partitions;
mod producer;
mod settle;
mod shared;
mod sink;
mod source;
mod worker;

/// Entrances for `fuzz/`; part of no build but its own.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz {
    use crate::{
        EventConfig,
        convert::{Converted, Converter, Input},
        metadata,
    };

    /// Reads a commit's metadata, and what it says again.
    pub fn metadata(offset: u64, text: &[u8]) {
        let ranges = metadata::decode(offset, text);
        let mut end = offset;
        for range in &ranges {
            assert!(end <= range.start && range.start < range.end);
            end = range.end;
        }
        let again = metadata::encode(offset, &ranges, metadata::LIMIT);
        let again = metadata::decode(offset, again.as_bytes());
        assert_eq!(again, ranges[..again.len()]);
    }

    /// Makes an event of a record of these headers.
    pub fn record(key: &[u8], headers: &[(&[u8], Option<&[u8]>)], payload: &[u8]) {
        let converter = Converter::new(&EventConfig::default());
        let record = Input {
            partition: 0,
            offset: 1,
            timestamp: Some(1),
            key: Some(key),
            payload: Some(payload),
            headers: headers.iter().copied(),
        };
        let converted = converter.convert(&converter.topic("t"), record);
        let (Converted::Event(event) | Converted::Invalid(event, _)) = converted.expect("an event");
        let mut out = Vec::new();
        eventlane::event::json::write(&event, &mut out);
        assert!(eventlane::event::json::read(&out.into()).is_ok());
    }
}

pub use check::TopicFound;
pub use config::{
    Assignor, ContentMode, EventConfig, GroupProtocol, HeaderExtensions, Isolation, KafkaConfig,
    KafkaSinkConfig, KeyType, OnInvalid, Pem, PositionExtensions, Properties, Sasl, StartOffset,
    Tls, Token, TokenProvider,
};
pub use lag::{KafkaMonitor, PartitionLag};
pub use sink::KafkaSink;
pub use source::KafkaSource;
