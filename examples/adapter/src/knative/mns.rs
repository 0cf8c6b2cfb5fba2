//! `MnsSource`: made like a `KafkaSource`, for a queue of Alibaba Cloud MNS.

use eventlane_mns::{BodyEncoding, Credentials, MnsConfig};
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
    endpoint: String,
    queue: String,
    region: Option<String>,
    account: Option<String>,
    body_encoding: Option<BodyEncoding>,
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
    access_key_secret: Option<SecretValue>,
    security_token: SecretValue,
}

pub(super) fn read(context: &Context<'_>) -> Result<Resource, Fault> {
    let Whole { metadata, spec, .. } = context.site.read::<Whole<Spec>>()?;
    let mut mns = MnsConfig::new(spec.endpoint, spec.queue);
    (mns.region, mns.account) = (spec.region, spec.account);
    mns.body_encoding = spec.body_encoding.unwrap_or_default();
    let auth = &spec.auth;
    if auth.access_key_id.is_some() || auth.access_key_secret.is_some() {
        let path = |key| ["spec", "auth", key];
        let unset = SecretValue::default();
        let id = auth.access_key_id.as_ref().unwrap_or(&unset);
        let id = id.required(context, &path("accessKeyId"))?;
        let secret = auth.access_key_secret.as_ref().unwrap_or(&unset);
        let secret = secret.required(context, &path("accessKeySecret"))?;
        let mut credentials = Credentials::new(id, secret);
        let token = auth.security_token.text(context, &path("securityToken"))?;
        credentials.security_token = token.map(Into::into);
        mns.credentials = Some(credentials);
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
        mns: Some(mns),
        ..SourceConfig::default()
    };
    let notes = Vec::new();
    assemble(context, common, From { source, notes })
}
