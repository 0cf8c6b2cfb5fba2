#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

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
mod settle;
mod shared;
mod source;
mod worker;

pub use config::{
    Assignor, EventConfig, GroupProtocol, HeaderExtensions, Isolation, KafkaConfig, KeyType,
    OnInvalid, Pem, PositionExtensions, Properties, Sasl, StartOffset, Tls, Token, TokenProvider,
};
pub use lag::{KafkaMonitor, PartitionLag};
pub use source::KafkaSource;
