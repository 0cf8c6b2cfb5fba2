//! The configuration.
//!
//! Everything is checked before a connection is made; what only a server can tell (topics, groups,
//! filters, rights) is found out when a consumer connects.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use eventlane::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

mod credentials;
mod event;
mod subscription;

pub(crate) use credentials::SharedProvider;
pub use credentials::{Credentials, CredentialsProvider};
pub use event::{EventConfig, OnInvalid, Properties, Subject};
pub use subscription::Subscription;

use crate::client::Address;

/// What to consume, as whom, and how.
///
/// [`endpoint`](Self::endpoint), [`group`](Self::group) and [`topics`](Self::topics) have to be
/// set. In a configuration file, durations are written `500ms`, `10s`, `2m`. `Debug` shows no
/// secret.
///
/// ```
/// use eventlane_rocketmq::{RocketMqConfig, Subscription};
///
/// let config = RocketMqConfig::new("localhost:8081", "billing")
///     .with_topic("orders")
///     .with_topic(Subscription::new("payments").with_tags("card || cash"));
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RocketMqConfig {
    /// The proxy's gRPC endpoint: `host:port`; several, separated by commas or semicolons, are all
    /// used. `https://` in front means TLS.
    pub endpoint: String,
    /// The consumer group.
    pub group: String,
    /// The topics, and what of each.
    pub topics: Vec<Subscription>,
    /// The namespace of topics and group. Default: none.
    pub namespace: String,
    /// As whom. Default: nobody.
    pub credentials: Option<Credentials>,
    /// TLS. Default: none, unless the endpoint begins with `https://`.
    pub tls: Option<Tls>,
    /// How long a message is ours before it is handed out again: 10 s, or what else the server's
    /// `minInvisibleTimeMillsForRecv` is, to 12 h. Default 60 s. What takes longer is extended;
    /// what was in the hands of a process that died comes again after so long.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub lease: Duration,
    /// How long the server holds a receive while there is nothing: up to 20 s, which is the
    /// default. Most servers wait for 5 s at least. A stop takes up to so long.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub wait: Duration,
    /// Whether handles that a proxy in local mode returns wrong are put right; see
    /// [`client`](crate::client). Default true, which changes nothing elsewhere.
    pub mend_handles: bool,
    /// How long a message stays away that the pipeline releases. Default: as long as the pipeline
    /// says.
    pub retries: Retries,
    /// How messages become events.
    pub event: EventConfig,
    /// How long establishing a connection may take. Default 5 s.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub connect_timeout: Duration,
    /// How long an answer may take, of a receive beyond `wait`. Default 5 s.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub request_timeout: Duration,
    #[serde(skip)]
    pub(crate) provider: Option<SharedProvider>,
}

/// TLS with the server.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Tls {
    /// The certificate authority to trust, a PEM file. Default: those that the system trusts.
    pub ca: Option<PathBuf>,
}

impl Tls {
    /// Trusts what the system trusts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the certificate authority to trust: the path of a PEM file.
    #[must_use]
    pub fn with_ca(mut self, ca: impl Into<PathBuf>) -> Self {
        self.ca = Some(ca.into());
        self
    }
}

/// Whose back-off decides how long a message stays away that the pipeline releases
/// ([`OnExhausted::Release`](eventlane::OnExhausted::Release)).
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Retries {
    /// The pipeline's.
    #[default]
    Engine,
    /// The broker's: what the server says for the group and this attempt, also when it says
    /// something else while we run. The pipeline's, of a FIFO group, which the broker does not
    /// hold back by attempt, and where the server says nothing.
    Broker,
}

/// What servers take. Most take leases from 10 s on, which they say when a consumer connects, and
/// make waits of less than 5 s longer.
pub(crate) const LEASES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(12 * 3600);
pub(crate) const WAITS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(20);

impl Default for RocketMqConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            group: String::new(),
            topics: Vec::new(),
            namespace: String::new(),
            credentials: None,
            tls: None,
            lease: Duration::from_secs(60),
            wait: *WAITS.end(),
            mend_handles: true,
            retries: Retries::default(),
            event: EventConfig::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            provider: None,
        }
    }
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

impl RocketMqConfig {
    /// The default configuration for a group at an endpoint. Topics have to be added.
    pub fn new(endpoint: impl Into<String>, group: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            group: group.into(),
            ..Self::default()
        }
    }

    /// Adds a topic: its name, or a [`Subscription`].
    #[must_use]
    pub fn with_topic(mut self, topic: impl Into<Subscription>) -> Self {
        self.topics.push(topic.into());
        self
    }

    setters! {
        /// Sets the namespace of topics and group.
        with_namespace: namespace: impl Into<String> => namespace.into();
        /// Sets as whom.
        with_credentials: credentials: Credentials => Some(credentials);
        /// Sets TLS.
        with_tls: tls: Tls => Some(tls);
        /// Sets how long a message is ours before it is handed out again.
        with_lease: lease: Duration => lease;
        /// Sets how long the server holds a receive while there is nothing.
        with_wait: wait: Duration => wait;
        /// Sets whether handles that a proxy in local mode returns wrong are put right.
        with_mend_handles: mend_handles: bool => mend_handles;
        /// Sets how long a message stays away that the pipeline releases.
        with_retries: retries: Retries => retries;
        /// Sets how messages become events.
        with_event: event: EventConfig => event;
        /// Sets how long establishing a connection may take.
        with_connect_timeout: connect_timeout: Duration => connect_timeout;
        /// Sets how long an answer may take.
        with_request_timeout: request_timeout: Duration => request_timeout;
    }

    /// Sets where credentials come from, if they change. Wins over
    /// [`credentials`](Self::credentials).
    #[must_use]
    pub fn with_credentials_provider(mut self, provider: impl CredentialsProvider) -> Self {
        self.provider = Some(SharedProvider(Arc::new(provider)));
        self
    }

    /// Checks what can be checked without a server.
    ///
    /// # Errors
    /// Of kind [`Config`](ErrorKind::Config), one line that says what to do.
    pub fn validate(&self) -> Result<()> {
        self.validate_connection()?;
        let bad = [
            (self.group.is_empty(), "no consumer group is given (group)"),
            (self.topics.is_empty(), "no topic is given (topics)"),
            (
                !LEASES.contains(&self.lease),
                "a lease lasts from 1 s, at most servers 10 s, to 12 h (lease)",
            ),
            (
                !WAITS.contains(&self.wait),
                "a receive waits from 1 s to 20 s (wait)",
            ),
        ];
        if let Some((_, reason)) = bad.into_iter().find(|(bad, _)| *bad) {
            return Err(invalid(reason));
        }
        for (at, subscription) in self.topics.iter().enumerate() {
            subscription.validate()?;
            let same = |other: &&Subscription| other.topic == subscription.topic;
            if let Some(twice) = self.topics[..at].iter().find(same) {
                let topic = &twice.topic;
                return Err(invalid(format!(
                    "the topic {topic} is given twice (topics)"
                )));
            }
            self.event.validate(&self.source(&subscription.topic))?;
        }
        Ok(())
    }

    /// What matters to a producer, too.
    pub(crate) fn validate_connection(&self) -> Result<()> {
        self.addresses()?;
        if self.is_tls() && !cfg!(feature = "tls") {
            return Err(invalid("this build has no TLS: the feature tls is off"));
        }
        if !self.namespace.bytes().all(|b| (0x21..0x7f).contains(&b)) {
            return Err(invalid("a namespace is printable ASCII (namespace)"));
        }
        if self.connect_timeout.is_zero() || self.request_timeout.is_zero() {
            let reason = "a timeout must not be zero (connect_timeout, request_timeout)";
            return Err(invalid(reason));
        }
        self.credentials
            .as_ref()
            .map_or(Ok(()), Credentials::validate)
    }

    /// Whether connections are encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some() || self.endpoint.trim_start().starts_with("https://")
    }

    /// The endpoints, at least one.
    pub(crate) fn addresses(&self) -> Result<Vec<Address>> {
        let endpoint = self.endpoint.trim();
        let plain = ["https://", "http://"];
        let list = plain
            .iter()
            .find_map(|scheme| endpoint.strip_prefix(scheme));
        let list = list.unwrap_or(endpoint).split([',', ';']).map(str::trim);
        let addresses: Option<Vec<_>> = list
            .filter(|address| !address.is_empty())
            .map(|address| Address::parse(address.trim_end_matches('/')))
            .collect();
        match addresses {
            Some(addresses) if !addresses.is_empty() => Ok(addresses),
            Some(_) => Err(invalid("no endpoint is given (endpoint)")),
            None => Err(invalid("an endpoint is written host:port (endpoint)")),
        }
    }

    /// The source of events of a topic.
    pub(crate) fn source(&self, topic: &str) -> String {
        if let Some(source) = &self.event.source {
            return source.clone();
        }
        let host = self.addresses().ok().and_then(|all| all.into_iter().next());
        let host = host
            .map(|address| address.host_for_uri())
            .unwrap_or_default();
        let authority = match self.namespace.is_empty() {
            true => host,
            false => encode(&self.namespace),
        };
        format!("rocketmq://{authority}/{}", encode(topic))
    }
}

/// As a part of a URI may have it. Names of topics have `%` where they are a group's dead letters.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(b));
            }
            _ => encoded.push_str(&format!("%{b:02X}")),
        }
    }
    encoded
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, "configure RocketMQ", reason)
}

#[cfg(test)]
mod tests;
