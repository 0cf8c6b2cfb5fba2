//! The envelope of Amazon SNS, in which a subscription without raw message delivery puts a message
//! into a queue. Its signature is not looked at: who may send to the queue is the queue's policy.
//!
//! The format is that of the SNS developer guide, "Parsing Amazon SNS message formats". Only
//! notifications are taken out of it: confirmations of subscriptions stay what they are.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What SNS has put into a queue.
pub(super) struct Notification {
    /// SNS's own; not the id of the message in the queue.
    pub(super) id: String,
    /// The topic's ARN.
    pub(super) topic: String,
    pub(super) subject: Option<String>,
    /// What was published, to the letter.
    pub(super) message: String,
    /// Those that are text, in the order of their names.
    pub(super) attributes: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    r#type: String,
    message_id: String,
    topic_arn: String,
    subject: Option<String>,
    message: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, Attribute>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    r#type: String,
    value: String,
}

/// `None` if a body is anything else. Bodies that do not have the word in them are not parsed.
pub(super) fn read(body: &str) -> Option<Notification> {
    if !body.contains("\"Notification\"") {
        return None;
    }
    let envelope: Envelope = serde_json::from_str(body).ok()?;
    let attributes = envelope.message_attributes.into_iter();
    (envelope.r#type == "Notification").then(|| Notification {
        id: envelope.message_id,
        topic: envelope.topic_arn,
        subject: envelope.subject.filter(|subject| !subject.is_empty()),
        message: envelope.message,
        attributes: attributes
            .filter(|(_, attribute)| !attribute.r#type.starts_with("Binary"))
            .map(|(name, attribute)| (name, attribute.value))
            .collect(),
    })
}
