//! librdkafka's own properties: what is passed through, what stands for a setting, what is refused.

use std::{borrow::Cow, collections::BTreeMap, fmt, time::Duration};

use eventlane::{Error, ErrorKind, Result, redacted};
use serde::{Deserialize, Serialize, Serializer};

use super::{Assignor, GroupProtocol, Isolation, KafkaConfig, StartOffset};

/// Properties of librdkafka by name. `Debug` and `Serialize` hide the values of those that
/// may be secrets.
///
/// ```
/// use eventlane_kafka::KafkaConfig;
///
/// let config = KafkaConfig::new("localhost:9092", "billing", ["orders"])
///     .with_property("client.rack", "eu-1a") // fetch from a replica nearby (KIP-392)
///     .with_property("sasl.password", "hunter2");
/// assert!(!format!("{:?}", config.properties).contains("hunter2"));
/// ```
#[derive(Clone, Default, Deserialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Properties(pub BTreeMap<String, String>);

impl Properties {
    fn shown(&self) -> impl Iterator<Item = (&String, Cow<'_, str>)> {
        const SECRET: [&str; 7] = [
            "password", "secret", "key", "pem", "token", "jaas", "config",
        ];
        self.0.iter().map(|(name, value)| {
            let hide = SECRET.iter().any(|word| name.contains(word));
            let shown = match hide {
                true => redacted::text(value),
                false => value.into(),
            };
            (name, shown)
        })
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_map(self.shown())
    }
}

/// Properties that nobody else may set, and why.
// Each would break a promise silently: an offset committed before its event was delivered, a
// topic created by a typo, an end of a partition that nobody sees.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "set `bootstrap_servers`"),
    ("metadata.broker.list", "set `bootstrap_servers`"),
    ("group.id", "set `group`"),
    (
        "enable.auto.commit",
        "offsets are committed when events are delivered, not when they are read",
    ),
    (
        "enable.auto.offset.store",
        "offsets are committed when events are delivered, not when they are read",
    ),
    (
        "auto.commit.enable",
        "offsets are committed when events are delivered, not when they are read",
    ),
    (
        "auto.commit.interval.ms",
        "set the pipeline's commit interval",
    ),
    ("offset.store.method", "offsets are kept by the broker"),
    ("offset.store.path", "offsets are kept by the broker"),
    (
        "enable.partition.eof",
        "eventlane needs it to see the end of a partition",
    ),
    (
        "allow.auto.create.topics",
        "a consumer must not create topics; create them beforehand",
    ),
    ("log.queue", "librdkafka's log goes to `tracing`"),
    ("log.thread.name", "librdkafka's log goes to `tracing`"),
    ("enabled_events", "events are handled by eventlane"),
    (
        "sasl.oauthbearer.method",
        "OIDC is not built in; use a token provider",
    ),
];

/// Turns properties that stand for a setting into that setting, and refuses those that are not the
/// user's to set.
///
/// A setting that was made both ways, differently, is refused: it would be a guess which one was
/// meant.
pub(super) fn absorb(config: &mut KafkaConfig) -> Result<()> {
    let mut properties = std::mem::take(&mut config.properties.0);
    for (name, reason) in OURS {
        if properties.contains_key(*name) {
            return Err(refuse(name, reason));
        }
    }
    let normal = KafkaConfig::default();
    let mut take = |name: &str| properties.remove(name);
    if let Some(value) = take("group.protocol") {
        let value = match value.to_ascii_lowercase().as_str() {
            "classic" => GroupProtocol::Classic,
            "consumer" => GroupProtocol::Consumer,
            _ => return Err(refuse("group.protocol", "it is `classic` or `consumer`")),
        };
        adopt(
            "group.protocol",
            &mut config.protocol,
            &normal.protocol,
            value,
        )?;
    }
    if let Some(value) = take("partition.assignment.strategy") {
        let value = match value.as_str() {
            "cooperative-sticky" => Assignor::CooperativeSticky,
            "range" => Assignor::Range,
            "roundrobin" => Assignor::RoundRobin,
            "range,roundrobin" => Assignor::RangeOrRoundRobin,
            _ => {
                let reason =
                    "it is `cooperative-sticky`, `range`, `roundrobin` or `range,roundrobin`";
                return Err(refuse("partition.assignment.strategy", reason));
            }
        };
        adopt(
            "partition.assignment.strategy",
            &mut config.assignor,
            &normal.assignor,
            value,
        )?;
    }
    if let Some(value) = take("auto.offset.reset") {
        let value = match value.as_str() {
            "earliest" | "smallest" | "beginning" => StartOffset::Earliest,
            "latest" | "largest" | "end" => StartOffset::Latest,
            _ => return Err(refuse("auto.offset.reset", "it is `earliest` or `latest`")),
        };
        adopt("auto.offset.reset", &mut config.start, &normal.start, value)?;
    }
    if let Some(value) = take("isolation.level") {
        let value = match value.as_str() {
            "read_committed" => Isolation::ReadCommitted,
            "read_uncommitted" => Isolation::ReadUncommitted,
            _ => {
                return Err(refuse(
                    "isolation.level",
                    "it is `read_committed` or `read_uncommitted`",
                ));
            }
        };
        adopt(
            "isolation.level",
            &mut config.isolation,
            &normal.isolation,
            value,
        )?;
    }
    if let Some(value) = take("group.instance.id") {
        adopt(
            "group.instance.id",
            &mut config.instance_id,
            &normal.instance_id,
            Some(value),
        )?;
    }
    if let Some(value) = take("session.timeout.ms") {
        let millis = value.parse().map(Duration::from_millis);
        let value =
            millis.map_err(|_| refuse("session.timeout.ms", "it is a number of milliseconds"))?;
        adopt(
            "session.timeout.ms",
            &mut config.session_timeout,
            &normal.session_timeout,
            value,
        )?;
    }
    let secured = config.sasl.is_some() || config.tls.is_some();
    let security = |name: &str| {
        name == "security.protocol" || name.starts_with("sasl.") || name.starts_with("ssl.")
    };
    if secured && let Some(name) = properties.keys().find(|name| security(name)) {
        let reason = "security is set by `sasl` and `tls`; use either those or properties";
        return Err(refuse(name, reason));
    }
    config.properties.0 = properties;
    Ok(())
}

/// Takes a property's value over, unless the setting itself was made, differently.
fn adopt<T: PartialEq>(name: &str, setting: &mut T, normal: &T, value: T) -> Result<()> {
    if setting != normal && *setting != value {
        return Err(refuse(
            name,
            "the configuration already has a setting for it, and another value",
        ));
    }
    *setting = value;
    Ok(())
}

fn refuse(name: &str, reason: &str) -> Error {
    let message = format!("the property {name} can't be set: {reason}");
    Error::new(ErrorKind::Config, "configure Kafka", message)
}
