//! The configuration.
//!
//!
//! [`KafkaConfig`] is plain data. `KafkaSource::connect` checks it ([`KafkaConfig::validated`]) and
//! turns it into librdkafka's properties ([`KafkaConfig::client`]); what they mean in detail is in
//! librdkafka's `CONFIGURATION.md`. Order of precedence: the user's `properties`, then the settings
//! here, then [`TUNED`], then librdkafka's defaults.

use std::{sync::Arc, time::Duration};

use eventlane::{Error, ErrorKind, Result, event::Timestamp};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

mod event;
mod properties;
mod security;
mod sink;

pub use event::{EventConfig, HeaderExtensions, KeyType, OnInvalid, PositionExtensions};
pub use properties::Properties;
pub(crate) use security::SharedProvider;
pub use security::{Pem, Sasl, Tls, Token, TokenProvider};
pub use sink::{ContentMode, KafkaSinkConfig};

/// What to consume, as whom, and how.
///
/// Only [`bootstrap_servers`](Self::bootstrap_servers), [`group`](Self::group) and
/// [`topics`](Self::topics) have to be set. In a configuration file, durations are written `500ms`,
/// `10s`, `2m`. `Debug` shows no secret.
///
/// ```
/// use eventlane_kafka::{KafkaConfig, Sasl, StartOffset, Tls};
///
/// let config = KafkaConfig::new("broker-1:9093,broker-2:9093", "billing", ["orders", "refunds"])
///     .with_sasl(Sasl::scram_sha_512("billing", "secret"))
///     .with_tls(Tls::new().with_ca("/etc/kafka/ca.pem".into()))
///     .with_start(StartOffset::Latest)
///     .with_property("client.rack", "eu-1a");
/// assert!(!format!("{config:?}").contains("secret"));
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct KafkaConfig {
    /// `host:port` of some brokers, separated by commas. The others are found through them.
    /// librdkafka: `bootstrap.servers`.
    pub bootstrap_servers: String,
    /// The consumer group. Consumers of one group share the partitions; the group's committed
    /// offsets say where to go on.
    /// librdkafka: `group.id`.
    pub group: String,
    /// The topics; one that begins with `^` is a pattern (POSIX extended regular expression) that
    /// is matched again whenever topics come and go.
    /// In the classic protocol that is when librdkafka refreshes what it knows of the cluster
    /// (`topic.metadata.refresh.interval.ms`, 5 minutes unless set).
    pub topics: Vec<String>,
    /// How to authenticate.
    /// librdkafka: `security.protocol`, `sasl.*`.
    pub sasl: Option<Sasl>,
    /// Encryption; none without it.
    /// librdkafka: `security.protocol`, `ssl.*`.
    pub tls: Option<Tls>,
    /// How the group is coordinated. Default: classic.
    /// librdkafka: `group.protocol`.
    pub protocol: GroupProtocol,
    /// How partitions are distributed in the classic protocol. Default: cooperative-sticky.
    /// librdkafka: `partition.assignment.strategy`. Without effect in the consumer protocol.
    pub assignor: Assignor,
    /// Makes the membership static: a consumer that comes back under this id within the session
    /// timeout has its partitions again, without a rebalance. Each consumer needs its own.
    /// librdkafka: `group.instance.id`.
    pub instance_id: Option<String>,
    /// After how long without a sign of life the group takes a consumer for dead. In the consumer
    /// protocol that is the broker's setting, and this only what is assumed of it. Default 45 s.
    ///
    /// librdkafka: `session.timeout.ms`, and a sixth of it, at most 3 s, as
    /// `heartbeat.interval.ms`. The broker has limits for it (`group.min.session.timeout.ms`,
    /// `group.max.session.timeout.ms`), and librdkafka wants it to be at most
    /// `max.poll.interval.ms` (5 minutes unless set).
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub session_timeout: Duration,
    /// Where to begin in a partition for which the group has no offset. Default: earliest, so that
    /// nothing is missed. librdkafka: `auto.offset.reset` is always `earliest`; the other starting
    /// points are looked up before a partition is assigned.
    pub start: StartOffset,
    /// Whether records of open and aborted transactions are read. Default: they are not.
    /// librdkafka: `isolation.level`.
    pub isolation: Isolation,
    /// How long a partition that goes to another consumer may take to finish what is in flight;
    /// less than `session_timeout`. Default: half of it.
    ///
    /// What is not finished by then is delivered again by whoever has the partition next. Three
    /// quarters of the time are the engine's to finish, the rest is for the commit.
    #[serde(with = "eventlane::duration::optional")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<eventlane::duration::Written>")
    )]
    pub drain: Option<Duration>,
    /// How long a commit may take before it counts as failed (and is tried again). Default 5 s.
    /// Also how long closing waits for the last commits.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub settle_timeout: Duration,
    /// How long [`KafkaSource::connect`](crate::KafkaSource::connect) may take. Default 10 s.
    /// For all its questions together.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub connect_timeout: Duration,
    /// How long to wait for the consumer to commit and to leave the group when it is closed.
    /// Default 10 s.
    /// A consumer that takes longer is left behind on its thread, and
    /// [`close`](eventlane::Source::close) fails as `Unavailable`.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub close_timeout: Duration,
    /// After how long without any partition to warn. Default 30 s.
    /// The warning comes again after each such time, in the log only.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub assignment_warning: Duration,
    /// How records become events.
    pub event: EventConfig,
    /// Whether what is done beyond the committed offset is kept in the commit's metadata, so that a
    /// restart does not repeat it. Default: yes.
    /// Costs up to 4096 characters a commit for each partition with gaps; one without has none.
    pub commit_metadata: bool,
    /// Any property of librdkafka. Wins over what this crate sets for speed; see the crate's README
    /// for what that is, and for what can't be set.
    pub properties: Properties,
    #[serde(skip)]
    pub(crate) token_provider: Option<SharedProvider>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: String::new(),
            group: String::new(),
            topics: Vec::new(),
            sasl: None,
            tls: None,
            protocol: GroupProtocol::default(),
            assignor: Assignor::default(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            start: StartOffset::default(),
            isolation: Isolation::default(),
            drain: None,
            settle_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            assignment_warning: Duration::from_secs(30),
            event: EventConfig::default(),
            commit_metadata: true,
            properties: Properties::default(),
            token_provider: None,
        }
    }
}

/// How a consumer group is coordinated.
/// librdkafka: `group.protocol`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GroupProtocol {
    /// By its members; works with every broker.
    #[default]
    Classic,
    /// By the broker (KIP-848): Kafka 4.0 and later. Older ones say nothing and assign nothing.
    Consumer,
}

/// How partitions are distributed in the classic protocol. All consumers of a group must use the
/// same.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Assignor {
    /// Only partitions that move are taken away, the others flow on.
    #[default]
    CooperativeSticky,
    /// All are taken away and given out anew, in ranges.
    Range,
    /// All are taken away and given out anew, in turns.
    #[serde(rename = "roundrobin")]
    RoundRobin,
    /// librdkafka's own default: range, or what the others of the group use.
    RangeOrRoundRobin,
}

/// Where to begin in a partition for which the group has no offset.
///
/// In a configuration file: `earliest`, `latest`, or a timestamp such as `2026-01-31T12:00:00Z`.
///
/// ```
/// use eventlane_kafka::{KafkaConfig, StartOffset};
///
/// // From the first record of 31 January 2026 on, in UTC.
/// let start = StartOffset::Timestamp(1_769_817_600_000);
/// let config = KafkaConfig::new("localhost:9092", "audit", ["orders"]).with_start(start);
/// assert_eq!(config.start, start);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartOffset {
    /// With the oldest record there is.
    #[default]
    Earliest,
    /// With what comes from now on. The position is committed soon, so that a restart does not lose
    /// what came in between.
    Latest,
    /// With the first record that is not older, in milliseconds since 1970; with what comes from
    /// now on if there is none.
    Timestamp(i64),
}

impl Serialize for StartOffset {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Earliest => to.serialize_str("earliest"),
            Self::Latest => to.serialize_str("latest"),
            Self::Timestamp(millis) => to.collect_str(&Timestamp::from_unix_millis(*millis)),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for StartOffset {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StartOffset".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^(earliest|latest|\d{4}-\d{2}-\d{2}[Tt].*)$",
            "description": "`earliest`, `latest`, or a timestamp such as 2026-01-31T12:00:00Z.",
        })
    }
}

impl<'de> Deserialize<'de> for StartOffset {
    fn deserialize<D: Deserializer<'de>>(input: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        match text.as_str() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            time => match Timestamp::parse(time) {
                Ok(time) => Ok(Self::Timestamp(time.unix_millis())),
                Err(_) => Err(de::Error::invalid_value(
                    de::Unexpected::Str(time),
                    &"earliest, latest or a timestamp such as 2026-01-31T12:00:00Z",
                )),
            },
        }
    }
}

/// Which records are read.
/// librdkafka: `isolation.level`.
///
/// With [`ReadCommitted`](Self::ReadCommitted), a transaction that stays open holds up all that
/// comes after it in its partitions, until it is ended or the broker aborts it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Isolation {
    /// Those of committed transactions, and those outside of any.
    #[default]
    ReadCommitted,
    /// All.
    ReadUncommitted,
}

/// `with_` for fields.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $field:ident: $ty:ty => $value:expr;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $field: $ty) -> Self {
            self.$field = $value;
            self
        }
    )*};
}

impl KafkaConfig {
    /// The default configuration for these brokers (separated by commas), group and topics.
    pub fn new<T: Into<String>>(
        bootstrap_servers: impl Into<String>,
        group: impl Into<String>,
        topics: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            group: group.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    setters! {
        /// Sets how to authenticate.
        with_sasl: sasl: Sasl => Some(sasl);
        /// Sets encryption.
        with_tls: tls: Tls => Some(tls);
        /// Sets how the group is coordinated.
        with_protocol: protocol: GroupProtocol => protocol;
        /// Sets how partitions are distributed in the classic protocol.
        with_assignor: assignor: Assignor => assignor;
        /// Makes the membership static.
        with_instance_id: instance_id: impl Into<String> => Some(instance_id.into());
        /// Sets after how long without a sign of life the group takes a consumer for dead.
        with_session_timeout: session_timeout: Duration => session_timeout;
        /// Sets where to begin without an offset.
        with_start: start: StartOffset => start;
        /// Sets which records are read.
        with_isolation: isolation: Isolation => isolation;
        /// Sets how long a partition that goes may take to finish.
        with_drain: drain: Duration => Some(drain);
        /// Sets how long a commit may take.
        with_settle_timeout: settle_timeout: Duration => settle_timeout;
        /// Sets how long connecting may take.
        with_connect_timeout: connect_timeout: Duration => connect_timeout;
        /// Sets how long closing may take.
        with_close_timeout: close_timeout: Duration => close_timeout;
        /// Sets after how long without any partition to warn.
        with_assignment_warning: assignment_warning: Duration => assignment_warning;
        /// Sets how records become events.
        with_event: event: EventConfig => event;
        /// Sets whether what is done beyond the committed offset is kept in the commit's metadata.
        with_commit_metadata: commit_metadata: bool => commit_metadata;
    }

    /// Sets a property of librdkafka.
    ///
    /// Checked by [`KafkaSource::connect`](crate::KafkaSource::connect): one that is not the user's
    /// to set, or that contradicts a setting, is a `Config` error there.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.0.insert(name.into(), value.into());
        self
    }

    /// Sets where tokens for SASL OAUTHBEARER come from.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use eventlane_kafka::{KafkaConfig, Sasl, Tls, Token, TokenProvider};
    ///
    /// struct Fixed;
    ///
    /// impl TokenProvider for Fixed {
    ///     fn token(&self) -> Result<Token, Box<dyn std::error::Error + Send + Sync>> {
    ///         Ok(Token {
    ///             value: "eyJhbGciOi".into(), // a real one asks the identity provider
    ///             principal: "billing".to_owned(),
    ///             expires: SystemTime::now() + Duration::from_secs(3600),
    ///         })
    ///     }
    /// }
    ///
    /// let config = KafkaConfig::new("localhost:9093", "billing", ["orders"])
    ///     .with_sasl(Sasl::oauth_bearer())
    ///     .with_tls(Tls::new())
    ///     .with_token_provider(Fixed);
    /// ```
    #[must_use]
    pub fn with_token_provider(mut self, provider: impl TokenProvider + 'static) -> Self {
        self.token_provider = Some(SharedProvider(Arc::new(provider)));
        self
    }

    /// How long a partition that goes may take to finish.
    pub(crate) fn drain(&self) -> Duration {
        self.drain.unwrap_or(self.session_timeout / 2)
    }

    /// Checks what can be checked without a broker.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], in one line that names the setting.
    pub fn validate(&self) -> Result<()> {
        self.clone().validated()?.client().map(drop)
    }

    /// Checks what can be checked without a broker, and turns properties that stand for a setting
    /// into that setting.
    ///
    /// # Errors
    /// `Config`, in one line that names the setting. `drain` must be shorter than
    /// `session_timeout`: that keeps it below `max.poll.interval.ms`, after which the broker gives
    /// partitions away by force.
    pub(crate) fn validated(mut self) -> Result<Self> {
        properties::absorb(&mut self)?;
        self.event.validate()?;
        let bad = [
            (
                self.bootstrap_servers.trim().is_empty(),
                "no broker is given (bootstrap_servers)",
            ),
            (self.group.is_empty(), "no consumer group is given (group)"),
            (self.topics.is_empty(), "no topic is given (topics)"),
            (
                self.topics.iter().any(String::is_empty),
                "a topic's name is empty (topics)",
            ),
            (
                self.drain() >= self.session_timeout,
                "drain must be shorter than session_timeout",
            ),
            (
                self.settle_timeout.is_zero(),
                "settle_timeout must not be zero",
            ),
            (
                self.connect_timeout.is_zero(),
                "connect_timeout must not be zero",
            ),
        ];
        match bad.into_iter().find(|(bad, _)| *bad) {
            Some((_, reason)) => Err(Error::new(ErrorKind::Config, "configure Kafka", reason)),
            None => Ok(self),
        }
    }

    /// What librdkafka gets. Call on a validated configuration.
    ///
    /// # Errors
    /// `Config` if a certificate's file can't be read, or OAUTHBEARER has no token provider.
    pub(crate) fn client(&self) -> Result<ClientConfig> {
        let mut to = ClientConfig::new();
        // librdkafka's own default follows the global level of the `log` crate, which is off where
        // only `tracing` is used.
        to.set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in TUNED {
            to.set(*name, *value);
        }
        to.set("bootstrap.servers", &self.bootstrap_servers);
        to.set("group.id", &self.group);
        to.set("enable.auto.commit", "false");
        to.set("enable.auto.offset.store", "false");
        to.set("enable.partition.eof", "true");
        to.set("allow.auto.create.topics", "false");
        to.set(
            "isolation.level",
            match self.isolation {
                Isolation::ReadCommitted => "read_committed",
                Isolation::ReadUncommitted => "read_uncommitted",
            },
        );
        // Also what happens when a committed offset is not there any more: what is left is
        // delivered, and counted.
        to.set("auto.offset.reset", "earliest");
        match self.protocol {
            GroupProtocol::Consumer => {
                to.set("group.protocol", "consumer");
            }
            GroupProtocol::Classic => {
                to.set(
                    "session.timeout.ms",
                    self.session_timeout.as_millis().to_string(),
                );
                // With it, members notice a rebalance.
                let heartbeat = (self.session_timeout / 6).min(Duration::from_secs(3));
                to.set("heartbeat.interval.ms", heartbeat.as_millis().to_string());
                to.set(
                    "partition.assignment.strategy",
                    match self.assignor {
                        Assignor::CooperativeSticky => "cooperative-sticky",
                        Assignor::Range => "range",
                        Assignor::RoundRobin => "roundrobin",
                        Assignor::RangeOrRoundRobin => "range,roundrobin",
                    },
                );
            }
        }
        if let Some(id) = &self.instance_id {
            to.set("group.instance.id", id);
        }
        let provider = self.token_provider.as_ref();
        security::apply(self.sasl.as_ref(), self.tls.as_ref(), provider, &mut to)?;
        for (name, value) in &self.properties.0 {
            to.set(name, value);
        }
        Ok(to)
    }
}

/// What differs from librdkafka's defaults, as measured on real brokers. Any of it can be
/// overridden by a property.
pub(crate) const TUNED: &[(&str, &str)] = &[
    ("client.id", "eventlane"),
    // With the default of a second the fetcher sleeps that long whenever the local queue is full:
    // half the throughput.
    ("fetch.queue.backoff.ms", "10"),
    // After an outage of three seconds, the default of ten costs as many.
    ("reconnect.backoff.max.ms", "1000"),
    // What may be prefetched, all partitions together, and what one answer may bring. With what
    // librdkafka needs around it, records of 220 bytes take three times as much memory. The
    // defaults of 64 and 50 MiB are not faster.
    ("queued.max.messages.kbytes", "8192"),
    ("fetch.max.bytes", "8388608"),
];

#[cfg(test)]
mod tests;
