//! Knative's `KafkaSource`.

use eventlane::Ordering;
use eventlane_kafka::{KafkaConfig, KeyType, Pem, Sasl, StartOffset, Tls};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Common, Context, Resource, assemble,
    delivery::DeliverySpec,
    destination::Destination,
    environment::Overrides,
    metadata::{Metadata, Whole},
    secret::SecretValue,
    text::{Count, Texts},
};
use crate::config::{DeliveryConfig, SourceConfig, fault::Fault};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    bootstrap_servers: Texts,
    topics: Texts,
    consumer_group: Option<String>,
    consumers: Option<Count>,
    initial_offset: Option<InitialOffset>,
    ordering: Option<DeliveryOrder>,
    #[serde(default)]
    net: Net,
    delivery: Option<DeliverySpec>,
    sink: Option<Destination>,
    ce_overrides: Option<Overrides>,
    /// Of `v1alpha1`, and in a cluster.
    service_account_name: Option<IgnoredAny>,
    resources: Option<IgnoredAny>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum InitialOffset {
    Earliest,
    Latest,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DeliveryOrder {
    Ordered,
    Unordered,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Net {
    sasl: SaslSpec,
    tls: TlsSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct SaslSpec {
    enable: bool,
    user: SecretValue,
    password: SecretValue,
    #[serde(rename = "type")]
    mechanism: SecretValue,
    token_provider: Option<IgnoredAny>,
    #[serde(rename = "roleARN")]
    role_arn: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct TlsSpec {
    enable: bool,
    cert: SecretValue,
    key: SecretValue,
    ca_cert: SecretValue,
}

/// The label that says what record keys are.
const KEY_TYPE: &str = "kafkasources.sources.knative.dev/key-type";

pub(super) fn read(context: &Context<'_>) -> Result<Resource, Fault> {
    let Whole { metadata, spec, .. } = context.site.read::<Whole<Spec>>()?;
    let mut notes = Vec::new();
    for (name, said) in [
        ("serviceAccountName", spec.service_account_name.is_some()),
        ("resources", spec.resources.is_some()),
    ] {
        if said {
            notes.push(format!("spec.{name} means nothing here"));
        }
    }
    let mut kafka = KafkaConfig::new(
        spec.bootstrap_servers.0.join(","),
        group(spec.consumer_group, &metadata, &mut notes),
        spec.topics.0,
    );
    kafka.start = match spec.initial_offset {
        Some(InitialOffset::Earliest) => StartOffset::Earliest,
        Some(InitialOffset::Latest) | None => StartOffset::Latest,
    };
    let event = kafka.event.with_name(metadata.namespace(), &metadata.name);
    kafka.event = event.with_key_type(key_type(context, &metadata)?);
    kafka.sasl = sasl(context, &spec.net.sasl)?;
    kafka.tls = tls(context, &spec.net.tls)?;
    let order = DeliveryConfig {
        ordering: match spec.ordering {
            Some(DeliveryOrder::Unordered) => Ordering::None,
            Some(DeliveryOrder::Ordered) | None => Ordering::Partition,
        },
        ..DeliveryConfig::default()
    };
    let common = Common {
        metadata: &metadata,
        consumers: spec.consumers,
        sink: spec.sink.as_ref(),
        delivery: spec.delivery.as_ref(),
        overrides: spec.ce_overrides.as_ref(),
        order,
    };
    let source = SourceConfig {
        kafka: Some(kafka),
        ..SourceConfig::default()
    };
    assemble(context, common, source, notes)
}

/// Knative makes a group up and keeps its name in the resource. One that is made up anew at every
/// start would begin at `initialOffset` every time.
fn group(said: Option<String>, metadata: &Metadata, notes: &mut Vec<String>) -> String {
    said.filter(|group| !group.is_empty()).unwrap_or_else(|| {
        let (namespace, name) = (metadata.namespace(), &metadata.name);
        let group = format!("knative-kafka-source-{namespace}-{name}");
        notes.push(format!("spec.consumerGroup is not set: it is {group}"));
        group
    })
}

fn key_type(context: &Context<'_>, metadata: &Metadata) -> Result<KeyType, Fault> {
    match metadata.labels.get(KEY_TYPE).map(String::as_str) {
        None | Some("string") => Ok(KeyType::String),
        Some("int") => Ok(KeyType::Int),
        Some("float") => Ok(KeyType::Float),
        Some("byte-array") => Ok(KeyType::ByteArray),
        Some(_) => {
            let path = ["metadata", "labels", KEY_TYPE];
            let message = "expected one of string, int, float, byte-array";
            Err(context.site.fault(&path, message))
        }
    }
}

fn sasl(context: &Context<'_>, spec: &SaslSpec) -> Result<Option<Sasl>, Fault> {
    if !spec.enable {
        return Ok(None);
    }
    let path = ["spec", "net", "sasl"];
    let under = |key| [&path[..], &[key]].concat();
    let mechanism = spec.mechanism.text(context, &under("type"))?;
    let mechanism = mechanism.as_deref().unwrap_or("PLAIN");
    let make = match mechanism {
        "" | "PLAIN" => Sasl::plain,
        "SCRAM-SHA-256" => Sasl::scram_sha_256,
        "SCRAM-SHA-512" => Sasl::scram_sha_512,
        _ if spec.token_provider.is_some() || spec.role_arn.is_some() => {
            let message = "tokens of a `tokenProvider` are not to be had here";
            return Err(context.site.fault(&under("tokenProvider"), message));
        }
        _ => {
            let message = "the secret says none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512";
            return Err(context.site.fault(&under("type"), message));
        }
    };
    let user = spec.user.required(context, &under("user"))?;
    let password = spec.password.required(context, &under("password"))?;
    Ok(Some(make(user, password)))
}

fn tls(context: &Context<'_>, spec: &TlsSpec) -> Result<Option<Tls>, Fault> {
    if !spec.enable {
        return Ok(None);
    }
    let file = |value: &SecretValue, key| {
        let file = value.file(context, &["spec", "net", "tls", key])?;
        Ok(file.map(Pem::Path))
    };
    let mut tls = Tls::new();
    tls.ca = file(&spec.ca_cert, "caCert")?;
    tls.certificate = file(&spec.cert, "cert")?;
    tls.key = file(&spec.key, "key")?;
    Ok(Some(tls))
}
