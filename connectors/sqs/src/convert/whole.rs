//! A whole message as JSON.
//!
//! Not the answer of SQS to the letter: without the receipt handle and the digests, without what
//! differs between attempts, and with a body that is JSON as JSON instead of as a string of it.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::MessageSystemAttributeName as System;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Input;

/// The names are those of the SQS API, `Message`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Whole<'a> {
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Body<'a>>,
    attributes: BTreeMap<&'a str, &'a str>,
    message_attributes: BTreeMap<&'a str, Attribute<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute<'a> {
    data_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
}

/// As SQS's own JSON has it, with the names in order, so that every attempt looks the same.
pub(super) fn write(message: &Input) -> Vec<u8> {
    let body = message.body.as_deref();
    let whole = Whole {
        message_id: &message.id,
        body: body.map(|body| serde_json::from_str(body).map_or(Body::Text(body), Body::Json)),
        attributes: message
            .system
            .iter()
            .filter(|(name, _)| !changes(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        message_attributes: message
            .attributes
            .iter()
            .map(|(name, value)| {
                let binary = value.binary_value.as_ref();
                let attribute = Attribute {
                    data_type: &value.data_type,
                    string_value: value.string_value.as_deref(),
                    binary_value: binary.map(|bytes| BASE64_STANDARD.encode(bytes)),
                };
                (name.as_str(), attribute)
            })
            .collect(),
    };
    // Maps with text as keys, and text: nothing that could fail.
    serde_json::to_vec(&whole).unwrap_or_default()
}

/// Whether a system attribute may differ from one attempt to the next.
fn changes(name: &System) -> bool {
    matches!(
        name,
        System::ApproximateReceiveCount | System::ApproximateFirstReceiveTimestamp
    )
}
