//! `SqsSource`: made like a `KafkaSource`, for a queue of Amazon SQS.

use eventlane_sqs::{SqsConfig, StaticCredentials};
use serde::Deserialize;

use super::{
    Common, Context, From, Resource, assemble, delivery::DeliverySpec, destination::Destination,
    environment::Overrides, kafka::DeliveryOrder, metadata::Whole, rocketmq::order,
    secret::SecretValue, text::Count,
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
    let auth = &spec.auth;
    if auth.access_key_id.is_some() || auth.secret_access_key.is_some() {
        let path = |key| ["spec", "auth", key];
        let unset = SecretValue::default();
        let id = auth.access_key_id.as_ref().unwrap_or(&unset);
        let id = id.required(context, &path("accessKeyId"))?;
        let secret = auth.secret_access_key.as_ref().unwrap_or(&unset);
        let secret = secret.required(context, &path("secretAccessKey"))?;
        let mut credentials = StaticCredentials::new(id, secret);
        let token = auth.session_token.text(context, &path("sessionToken"))?;
        credentials.token = token.map(Into::into);
        sqs.credentials = Some(credentials);
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
        sqs: Some(sqs),
        ..SourceConfig::default()
    };
    let notes = Vec::new();
    assemble(context, common, From { source, notes })
}
