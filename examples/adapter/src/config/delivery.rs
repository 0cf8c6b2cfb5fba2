//! How events get there.

use std::{path::PathBuf, time::Duration};

use eventlane::{
    BatchPolicy, Budgets, Keyless, OnExhausted, Ordering, Retry,
    duration::Written,
    sink::http::{HttpDeadLetter, HttpSinkConfig},
};
use eventlane_kafka::KafkaSinkConfig;
use eventlane_mns::MnsConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a pipeline's events are delivered, and what becomes of those that can't be.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryConfig {
    /// What has to stay in order.
    pub ordering: Ordering,
    /// Where events without a key go.
    pub keyless: Keyless,
    /// How much may be in hand at once.
    pub budgets: Budgets,
    /// How events are put together.
    pub batch: BatchPolicy,
    /// When a failed event is tried again, and for how long.
    pub retry: Retry,
    /// What becomes of an event that is refused, or whose retries have ended. Default: dead-letter
    /// where `dead_letter` is set, else block.
    pub on_exhausted: Option<OnExhausted>,
    /// Where events go that are given up.
    pub dead_letter: Option<DeadLetterConfig>,
    /// How long the positions of a log are coalesced before they are committed.
    #[serde(with = "eventlane::duration")]
    #[schemars(with = "Written")]
    pub commit_interval: Duration,
    /// How long a stop may take. Default: the adapter's.
    #[serde(with = "eventlane::duration::optional")]
    #[schemars(with = "Option<Written>")]
    pub grace: Option<Duration>,
    /// Stop when nothing has come for so long and nothing is in hand. Default: never.
    #[serde(with = "eventlane::duration::optional")]
    #[schemars(with = "Option<Written>")]
    pub idle_timeout: Option<Duration>,
    /// Seeds the random part of retry delays.
    pub seed: Option<u64>,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            ordering: Ordering::default(),
            keyless: Keyless::default(),
            budgets: Budgets::default(),
            batch: BatchPolicy::default(),
            retry: Retry::default(),
            on_exhausted: None,
            dead_letter: None,
            commit_interval: Duration::from_secs(1),
            grace: None,
            idle_timeout: None,
            seed: None,
        }
    }
}

impl DeliveryConfig {
    /// What becomes of an event that is given up, the default applied.
    pub fn exhausted(&self) -> OnExhausted {
        match (self.on_exhausted, &self.dead_letter) {
            (Some(chosen), _) => chosen,
            (None, Some(_)) => OnExhausted::DeadLetter,
            (None, None) => OnExhausted::Block,
        }
    }

    /// What can't work, as far as that can be told from these settings alone.
    ///
    /// # Errors
    /// One line that names the setting.
    pub fn validate(&self) -> Result<(), String> {
        let (budgets, retry) = (&self.budgets, &self.retry);
        let bad = [
            (
                budgets.requests == 0,
                "`budgets.requests` must be at least 1",
            ),
            (budgets.events == 0, "`budgets.events` must be at least 1"),
            (budgets.bytes == 0, "`budgets.bytes` must be at least 1"),
            (budgets.span == 0, "`budgets.span` must be at least 1"),
            (self.batch.events == 0, "`batch.events` must be at least 1"),
            (
                retry.attempts == Some(0),
                "`retry.attempts` must be at least 1",
            ),
            (retry.timeout.is_zero(), "`retry.timeout` must be above 0"),
            (
                !(0.0..=1.0).contains(&retry.jitter),
                "`retry.jitter` is a part of the delay: from 0 to 1",
            ),
            (
                self.exhausted() == OnExhausted::DeadLetter && self.dead_letter.is_none(),
                "`on_exhausted` is dead-letter, but nothing says where they go: set `dead_letter`",
            ),
        ];
        match bad.into_iter().find(|(bad, _)| *bad) {
            Some((_, reason)) => Err(reason.to_owned()),
            None => Ok(()),
        }
    }
}

/// Where events go that are given up.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadLetterConfig {
    /// An HTTP endpoint of their own.
    Http(Box<HttpLetters>),
    /// A file of JSON lines.
    File(PathBuf),
    /// The source's own broker: RocketMQ's dead-letter topic of the group.
    Broker,
    /// A Kafka topic.
    Kafka(Box<KafkaSinkConfig>),
    /// A queue of Alibaba Cloud MNS.
    Mns(Box<MnsConfig>),
}

/// An endpoint for dead letters.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLetters {
    /// The endpoint.
    pub endpoint: HttpSinkConfig,
    /// How many letters are on the way at the same time.
    pub concurrency: usize,
    /// How long a call may take, up to 25 s.
    #[serde(with = "eventlane::duration")]
    #[schemars(with = "Written")]
    pub timeout: Duration,
}

impl Default for HttpLetters {
    fn default() -> Self {
        Self {
            endpoint: HttpSinkConfig::default(),
            concurrency: 16,
            timeout: Duration::from_secs(20),
        }
    }
}

impl HttpLetters {
    /// Reads the files that it names.
    ///
    /// # Errors
    /// Those of [`HttpDeadLetter::new`].
    pub fn open(&self) -> eventlane::Result<HttpDeadLetter> {
        let letters = HttpDeadLetter::new(self.endpoint.clone())?;
        Ok(letters
            .with_concurrency(self.concurrency)
            .with_timeout(self.timeout))
    }
}
