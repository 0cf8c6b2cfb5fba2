//! Where events go.

use eventlane::{Result, sink::HttpSinkConfig};
use eventlane_kafka::KafkaSinkConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a pipeline's events go, and the answers to them.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// An HTTP endpoint.
    pub http: HttpSinkConfig,
    /// Where the CloudEvents in its answers go. Without it an answer is nothing but its status.
    #[serde(default)]
    pub replies_to: Option<RepliesTo>,
}

/// Where CloudEvents in answers go, before what was asked counts as delivered.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepliesTo {
    /// A Kafka topic.
    Kafka(Box<KafkaSinkConfig>),
    /// Another HTTP endpoint.
    Http(Box<HttpSinkConfig>),
}

impl RepliesTo {
    /// What can't work, as far as that can be told without asking anybody.
    ///
    /// # Errors
    /// `Config`.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Kafka(config) => config.validate(),
            Self::Http(config) => eventlane::sink::HttpSink::new((**config).clone()).map(drop),
        }
    }
}
