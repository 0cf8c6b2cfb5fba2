//! `RocketMQSource`: made like a `KafkaSource`, for topics of Apache RocketMQ 5.

use eventlane::{Keyless, Ordering};
use eventlane_rocketmq::{Credentials, RocketMqConfig, Subscription, Tls};
use serde::Deserialize;

use super::{
    Common, Context, Resource, assemble_queue,
    delivery::DeliverySpec,
    destination::Destination,
    environment::Overrides,
    kafka::DeliveryOrder,
    metadata::Whole,
    secret::SecretValue,
    text::{Count, Texts},
};
use crate::config::{DeliveryConfig, SourceConfig, fault::Fault};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    endpoints: Texts,
    topics: Vec<Topic>,
    consumer_group: String,
    namespace: Option<String>,
    consumers: Option<Count>,
    ordering: Option<DeliveryOrder>,
    #[serde(default)]
    net: Net,
    delivery: Option<DeliverySpec>,
    sink: Option<Destination>,
    ce_overrides: Option<Overrides>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Topic {
    name: String,
    tags: Option<String>,
    sql: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Net {
    acl: Acl,
    tls: TlsSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Acl {
    enable: bool,
    access_key: SecretValue,
    secret_key: SecretValue,
    session_token: SecretValue,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct TlsSpec {
    enable: bool,
    ca_cert: SecretValue,
}

pub(super) fn read(context: &Context<'_>) -> Result<Resource, Fault> {
    let Whole { metadata, spec, .. } = context.site.read::<Whole<Spec>>()?;
    let mut rocketmq = RocketMqConfig::new(spec.endpoints.0.join(";"), spec.consumer_group);
    rocketmq.topics = spec.topics.into_iter().map(subscription).collect();
    rocketmq.namespace = spec.namespace.unwrap_or_default();
    let Net { acl, tls } = &spec.net;
    if acl.enable {
        let path = |key| ["spec", "net", "acl", key];
        let key = acl.access_key.required(context, &path("accessKey"))?;
        let secret = acl.secret_key.required(context, &path("secretKey"))?;
        let mut credentials = Credentials::new(key, secret);
        let token = acl.session_token.text(context, &path("sessionToken"))?;
        credentials.session_token = token.map(Into::into);
        rocketmq.credentials = Some(credentials);
    }
    if tls.enable {
        let ca = tls
            .ca_cert
            .file(context, &["spec", "net", "tls", "caCert"])?;
        let mut tls = Tls::new();
        tls.ca = ca;
        rocketmq.tls = Some(tls);
    }
    let common = Common {
        metadata: &metadata,
        consumers: spec.consumers,
        sink: spec.sink.as_ref(),
        delivery: spec.delivery.as_ref(),
        overrides: spec.ce_overrides.as_ref(),
        order: order(spec.ordering),
    };
    let source = SourceConfig {
        rocketmq: Some(rocketmq),
        ..SourceConfig::default()
    };
    assemble_queue(context, common, source)
}

fn subscription(topic: Topic) -> Subscription {
    let Topic { name, tags, sql } = topic;
    let mut subscription = Subscription::new(name);
    (subscription.tags, subscription.sql) = (tags, sql);
    subscription
}

/// A queue has no partitions that could be in order. Its message groups can be, and what has none
/// has no order.
pub(super) fn order(said: Option<DeliveryOrder>) -> DeliveryConfig {
    DeliveryConfig {
        ordering: match said {
            Some(DeliveryOrder::Unordered) => Ordering::None,
            Some(DeliveryOrder::Ordered) | None => Ordering::Key,
        },
        keyless: Keyless::Unordered,
        ..DeliveryConfig::default()
    }
}
