//! `SqsSource`: made like a `KafkaSource`, for a queue of Amazon SQS.

use eventlane_sqs::{SqsConfig, StaticCredentials};
use serde::Deserialize;

use super::{
    Common, Context, Resource, assemble_queue,
    delivery::DeliverySpec,
    destination::Destination,
    environment::Overrides,
    kafka::DeliveryOrder,
    metadata::Whole,
    rocketmq::order,
    secret::{Keys, SecretValue},
    text::Count,
};
use crate::config::{SourceConfig, fault::Fault};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "queueURL")]
    queue_url: String,
    region: Option<String>,
    endpoint: Option<String>,
    consumers: Option<Count>,
    ordering: Option<DeliveryOrder>,
    #[serde(default)]
    auth: Auth,
    delivery: Option<DeliverySpec>,
    sink: Option<Destination>,
    ce_overrides: Option<Overrides>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Auth {
    access_key_id: Option<SecretValue>,
    secret_access_key: Option<SecretValue>,
    session_token: SecretValue,
}

pub(super) fn read(context: &Context<'_>) -> Result<Resource, Fault> {
    let Whole { metadata, spec, .. } = context.site.read::<Whole<Spec>>()?;
    let mut sqs = SqsConfig::new(spec.queue_url);
    (sqs.region, sqs.endpoint) = (spec.region, spec.endpoint);
    let Auth {
        access_key_id: id,
        secret_access_key: secret,
        session_token: token,
    } = &spec.auth;
    let keys = Keys::read(
        context,
        ("accessKeyId", id.as_ref()),
        ("secretAccessKey", secret.as_ref()),
        ("sessionToken", token),
    )?;
    sqs.credentials = keys.map(|keys| {
        let mut credentials = StaticCredentials::new(keys.id, keys.secret);
        credentials.token = keys.token.map(Into::into);
        credentials
    });
    let common = Common {
        metadata: &metadata,
        consumers: spec.consumers,
        sink: spec.sink.as_ref(),
        delivery: spec.delivery.as_ref(),
        overrides: spec.ce_overrides.as_ref(),
        order: order(spec.ordering),
    };
    let source = SourceConfig {
        sqs: Some(sqs),
        ..SourceConfig::default()
    };
    assemble_queue(context, common, source)
}
