//! `MnsSource`: made like a `KafkaSource`, for a queue of Alibaba Cloud MNS.

use eventlane_mns::{BodyEncoding, Credentials, MnsConfig};
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
    let Auth {
        access_key_id: id,
        access_key_secret: secret,
        security_token: token,
    } = &spec.auth;
    let keys = Keys::read(
        context,
        ("accessKeyId", id.as_ref()),
        ("accessKeySecret", secret.as_ref()),
        ("securityToken", token),
    )?;
    mns.credentials = keys.map(|keys| {
        let mut credentials = Credentials::new(keys.id, keys.secret);
        credentials.security_token = keys.token.map(Into::into);
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
        mns: Some(mns),
        ..SourceConfig::default()
    };
    assemble_queue(context, common, source)
}
