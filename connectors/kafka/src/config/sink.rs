//! What to produce, where, and as whom.

use std::{sync::Arc, time::Duration};

use eventlane::{Error, ErrorKind, Result};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel};
use serde::{Deserialize, Serialize};

use super::{KafkaConfig, Properties, Sasl, SharedProvider, Tls, TokenProvider, security};

/// Which topic events are produced to, as whom, and how.
///
/// Only [`bootstrap_servers`](Self::bootstrap_servers) and [`topic`](Self::topic) have to be set.
/// In a configuration file, durations are written `500ms`, `10s`, `2m`. `Debug` shows no secret.
///
/// ```
/// use eventlane_kafka::{ContentMode, KafkaSinkConfig};
///
/// let config = KafkaSinkConfig::new("localhost:9092", "scores")
///     .with_mode(ContentMode::Structured)
///     .with_property("compression.type", "lz4");
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct KafkaSinkConfig {
    /// `host:port` of some brokers, separated by commas. The others are found through them.
    /// librdkafka: `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// The topic. It has to be there.
    pub topic: String,
    /// How to authenticate.
    /// librdkafka: `security.protocol`, `sasl.*`.
    pub sasl: Option<Sasl>,
    /// Encryption; none without it.
    /// librdkafka: `security.protocol`, `ssl.*`.
    pub tls: Option<Tls>,
    /// How an event becomes a record. Default: binary.
    pub mode: ContentMode,
    /// How long a record may take until its replicas have it, with all that librdkafka tries again
    /// meanwhile; then it counts as failed. Default 10 s. Shorter than the attempt's timeout, which
    /// would leave it open what became of it.
    /// librdkafka: `message.timeout.ms`.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub delivery_timeout: Duration,
    /// How long [`KafkaSink::connect`](crate::KafkaSink::connect) may take. Default 10 s.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub connect_timeout: Duration,
    /// Any property of librdkafka, but those that would break a promise: see the crate's README.
    pub properties: Properties,
    #[serde(skip)]
    pub(crate) token_provider: Option<SharedProvider>,
}

impl Default for KafkaSinkConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: String::new(),
            topic: String::new(),
            sasl: None,
            tls: None,
            mode: ContentMode::default(),
            delivery_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            properties: Properties::default(),
            token_provider: None,
        }
    }
}

/// How an event becomes a record (Kafka binding 1.0.2). There is no batched mode.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ContentMode {
    /// Attributes as headers `ce_…`, data as the value.
    #[default]
    Binary,
    /// The event in the JSON format as the value.
    Structured,
}

/// Properties that nobody else may set, and why.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "set `bootstrap_servers`"),
    ("metadata.broker.list", "set `bootstrap_servers`"),
    ("enable.idempotence", NO_LOSS),
    ("acks", NO_LOSS),
    ("request.required.acks", NO_LOSS),
    ("delivery.report.only.error", NO_LOSS),
    ("message.timeout.ms", "set `delivery_timeout`"),
    ("delivery.timeout.ms", "set `delivery_timeout`"),
    (
        "transactional.id",
        "records are produced outside of transactions",
    ),
    ("log.queue", "librdkafka's log goes to `tracing`"),
    ("log.thread.name", "librdkafka's log goes to `tracing`"),
    ("enabled_events", "events are handled by eventlane"),
    (
        "sasl.oauthbearer.method",
        "OIDC is not built in; use a token provider",
    ),
];

const NO_LOSS: &str = "a record counts when all its replicas have it, once and in order";

/// What differs from librdkafka's defaults. Any of it can be overridden by a property.
const TUNED: &[(&str, &str)] = &[
    ("client.id", "eventlane"),
    // A reply holds up its lane until it is stored.
    ("linger.ms", "1"),
    // The default is a gigabyte. What does not fit waits where the engine counts it.
    ("queue.buffering.max.kbytes", "65536"),
    // As Java's producers do it, so that equal keys meet in one partition.
    ("partitioner", "murmur2_random"),
    ("reconnect.backoff.max.ms", "1000"),
];

impl KafkaSinkConfig {
    /// The default configuration for these brokers (separated by commas) and this topic.
    pub fn new(bootstrap_servers: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topic: topic.into(),
            ..Self::default()
        }
    }

    /// Sets how to authenticate.
    #[must_use]
    pub fn with_sasl(mut self, sasl: Sasl) -> Self {
        self.sasl = Some(sasl);
        self
    }

    /// Sets encryption.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets how an event becomes a record.
    #[must_use]
    pub fn with_mode(mut self, mode: ContentMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets how long a record may take.
    #[must_use]
    pub fn with_delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// Sets how long connecting may take.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets a property of librdkafka.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.0.insert(name.into(), value.into());
        self
    }

    /// Sets where tokens for SASL OAUTHBEARER come from; as
    /// [`KafkaConfig::with_token_provider`].
    #[must_use]
    pub fn with_token_provider(mut self, provider: impl TokenProvider + 'static) -> Self {
        self.token_provider = Some(SharedProvider(Arc::new(provider)));
        self
    }

    /// Checks what can be checked without a broker. [`KafkaSink::connect`](crate::KafkaSink::connect)
    /// does so, too.
    ///
    /// # Errors
    /// `Config`, with what to do about it.
    pub fn validate(&self) -> Result<()> {
        let mistake = |message: &str| Error::new(ErrorKind::Config, "configure Kafka", message);
        for (name, reason) in OURS {
            if self.properties.0.contains_key(*name) {
                return Err(mistake(&format!(
                    "the property {name} can't be set: {reason}"
                )));
            }
        }
        let secured = self.sasl.is_some() || self.tls.is_some();
        if secured && let Some(name) = self.properties.0.keys().find(|name| is_security(name)) {
            return Err(mistake(&format!(
                "the property {name} can't be set: security is set by `sasl` and `tls`; use \
                 either those or properties"
            )));
        }
        let bad = [
            (
                self.bootstrap_servers.trim().is_empty(),
                "no broker is given (bootstrap_servers)",
            ),
            (self.topic.is_empty(), "no topic is given (topic)"),
            (
                self.delivery_timeout.as_millis() == 0,
                "delivery_timeout must be at least 1 ms",
            ),
            (
                self.connect_timeout.is_zero(),
                "connect_timeout must not be zero",
            ),
        ];
        match bad.into_iter().find(|(bad, _)| *bad) {
            Some((_, reason)) => Err(mistake(reason)),
            None => Ok(()),
        }
    }

    /// What librdkafka gets.
    pub(crate) fn client(&self) -> Result<ClientConfig> {
        let mut to = ClientConfig::new();
        to.set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in TUNED {
            to.set(*name, *value);
        }
        to.set("bootstrap.servers", &self.bootstrap_servers);
        to.set("enable.idempotence", "true");
        // librdkafka's limit.
        let timeout = self.delivery_timeout.as_millis().min(2_147_483_647);
        to.set("message.timeout.ms", timeout.to_string());
        let provider = self.token_provider.as_ref();
        security::apply(self.sasl.as_ref(), self.tls.as_ref(), provider, &mut to)?;
        for (name, value) in &self.properties.0 {
            to.set(name, value);
        }
        Ok(to)
    }
}

impl KafkaConfig {
    /// A sink for a topic of the same brokers, with the same credentials: `sasl`, `tls`, the token
    /// provider, and the properties about security.
    pub fn sink(&self, topic: impl Into<String>) -> KafkaSinkConfig {
        let security = |(name, _): &(&String, &String)| is_security(name);
        let properties = self.properties.0.iter().filter(security);
        KafkaSinkConfig {
            sasl: self.sasl.clone(),
            tls: self.tls.clone(),
            properties: Properties(
                properties
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
            ),
            token_provider: self.token_provider.clone(),
            ..KafkaSinkConfig::new(&self.bootstrap_servers, topic)
        }
    }
}

fn is_security(property: &str) -> bool {
    property == "security.protocol"
        || property.starts_with("sasl.")
        || property.starts_with("ssl.")
        || property.starts_with("enable.ss")
        || property.starts_with("enable.sasl.")
}
