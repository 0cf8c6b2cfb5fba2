//! Where messages come from.

use std::time::Duration;

use eventlane::{duration::Written, queue::PollerOptions};
use eventlane_kafka::KafkaConfig;
use eventlane_mns::MnsConfig;
use eventlane_rocketmq::RocketMqConfig;
use eventlane_sqs::SqsConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a pipeline's messages come from: exactly one of the systems.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceConfig {
    /// Topics of Apache Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaConfig>,
    /// Topics of Apache RocketMQ 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rocketmq: Option<RocketMqConfig>,
    /// A queue of Amazon SQS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqs: Option<SqsConfig>,
    /// A queue of Alibaba Cloud MNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mns: Option<MnsConfig>,
    /// How a queue is polled. Not for Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poller: Option<PollerConfig>,
}

/// The one system of a [`SourceConfig`].
#[derive(Clone, Copy, Debug)]
pub enum Chosen<'a> {
    /// Apache Kafka.
    Kafka(&'a KafkaConfig),
    /// Apache RocketMQ 5.
    RocketMq(&'a RocketMqConfig),
    /// Amazon SQS.
    Sqs(&'a SqsConfig),
    /// Alibaba Cloud MNS.
    Mns(&'a MnsConfig),
}

impl Chosen<'_> {
    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
            Self::RocketMq(_) => "rocketmq",
            Self::Sqs(_) => "sqs",
            Self::Mns(_) => "mns",
        }
    }

    /// What can't work, as far as that can be told without asking anybody.
    ///
    /// # Errors
    /// The library's: `Config`, in one line that names the setting.
    pub fn validate(self) -> eventlane::Result<()> {
        match self {
            Self::Kafka(config) => config.validate(),
            Self::RocketMq(config) => config.validate(),
            Self::Sqs(config) => config.validate(),
            Self::Mns(config) => config.validate(),
        }
    }
}

impl SourceConfig {
    /// The system that is chosen.
    ///
    /// # Errors
    /// What to do, if it isn't exactly one.
    pub fn chosen(&self) -> Result<Chosen<'_>, String> {
        let all = [
            self.kafka.as_ref().map(Chosen::Kafka),
            self.rocketmq.as_ref().map(Chosen::RocketMq),
            self.sqs.as_ref().map(Chosen::Sqs),
            self.mns.as_ref().map(Chosen::Mns),
        ];
        let mut all = all.into_iter().flatten();
        match (all.next(), all.next()) {
            (Some(Chosen::Kafka(_)), None) if self.poller.is_some() => {
                Err("`poller` is for queues; Kafka has none: take it out".to_owned())
            }
            (Some(one), None) => Ok(one),
            (None, _) => Err("no source: give one of kafka, rocketmq, sqs, mns".to_owned()),
            (Some(one), Some(other)) => Err(format!(
                "both {} and {}: a pipeline has one source; make two pipelines",
                one.name(),
                other.name()
            )),
        }
    }
}

/// How a queue is polled. What is not set is what the system needs:
/// [`PollerOptions`] says what that is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PollerConfig {
    /// Receives at a time on an idle queue.
    pub min_receivers: Option<usize>,
    /// Receives at a time on a full queue.
    pub max_receivers: Option<usize>,
    /// How long a receive waits for the first message; at most what the system allows.
    #[serde(with = "eventlane::duration::optional")]
    #[schemars(with = "Option<Written>")]
    pub wait: Option<Duration>,
    /// Messages on lease here at most.
    pub max_held: Option<usize>,
    /// How long a delete may wait for others to go with it.
    #[serde(with = "eventlane::duration::optional")]
    #[schemars(with = "Option<Written>")]
    pub linger: Option<Duration>,
    /// Seeds the random part of delays.
    pub seed: Option<u64>,
}

impl PollerConfig {
    /// Changes what is set here.
    pub fn apply(&self, mut options: PollerOptions) -> PollerOptions {
        let least = self.min_receivers.unwrap_or(*options.receivers.start());
        let most = self.max_receivers.unwrap_or(*options.receivers.end());
        options.receivers = least..=most.max(least);
        options.wait = self.wait.unwrap_or(options.wait);
        options.max_held = self.max_held.unwrap_or(options.max_held);
        options.linger = self.linger.unwrap_or(options.linger);
        options.seed = self.seed.unwrap_or(options.seed);
        options
    }
}

impl SourceConfig {
    /// How long a receive may be under way, which a stop waits for; `None` for Kafka.
    pub fn longest_wait(&self) -> Option<Duration> {
        let wait = match self.chosen().ok()? {
            Chosen::Kafka(_) => return None,
            Chosen::RocketMq(config) => config.wait,
            Chosen::Sqs(config) => config.wait,
            Chosen::Mns(config) => config.wait,
        };
        let poller = self.poller.as_ref().and_then(|poller| poller.wait);
        Some(poller.map_or(wait, |poller| poller.min(wait)))
    }
}
