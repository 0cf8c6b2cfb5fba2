//! Messages, as they come and as they are sent.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use eventlane::{
    Event,
    event::{Timestamp, headers},
};

use super::{Address, ReceiptHandle, body, pb};

/// A message that was received and is on lease.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReceivedMessage {
    /// Its id, which stays the same however often it is handed out.
    pub id: String,
    /// Its topic.
    pub topic: String,
    /// Its body, decompressed.
    pub body: Bytes,
    /// How the body is compressed, if that could not be undone: it is of a kind that this crate
    /// does not know, broken, or would be too large.
    pub content_encoding: Option<&'static str>,
    /// Its tag.
    pub tag: Option<String>,
    /// Its keys.
    pub keys: Vec<String>,
    /// The properties that its producer gave it.
    pub properties: HashMap<String, String>,
    /// The message group, of messages in order.
    pub message_group: Option<String>,
    /// The producer's trace.
    pub trace_context: Option<String>,
    /// When it was sent.
    pub born: Option<Timestamp>,
    /// Where it was sent.
    pub born_host: String,
    /// How often it has been handed out, this time included.
    pub attempt: u32,
    /// The broker that has it.
    pub broker: Arc<str>,
    /// The queue, which may be another one in the next attempt.
    pub queue_id: i32,
    /// Its offset in the queue, which may be another one in the next attempt.
    pub queue_offset: i64,
    /// What the server calls it while it is on lease.
    pub handle: ReceiptHandle,
}

impl ReceivedMessage {
    /// `None` if it has no receipt or no id.
    pub(super) fn read(message: pb::Message, broker: &Arc<str>, address: &Address) -> Option<Self> {
        let system = message.system_properties?;
        let id = system.message_id;
        let receipt = system
            .receipt_handle
            .filter(|receipt| !receipt.is_empty())?;
        if id.is_empty() {
            return None;
        }
        let topic = message.topic.unwrap_or_default();
        let attempt = system.delivery_attempt.unwrap_or(1).max(1).unsigned_abs();
        let (body, content_encoding) =
            body::decode(system.body_encoding, message.body, body::LARGEST);
        let born = system.born_timestamp.map(|born| {
            let millis = i64::from(born.nanos.clamp(0, 999_999_999)) / 1_000_000;
            Timestamp::from_unix_millis(born.seconds.saturating_mul(1000).saturating_add(millis))
        });
        let (name, id_of_handle) = (topic.name.clone(), id.clone());
        Some(Self {
            id,
            topic: name,
            body,
            content_encoding,
            tag: system.tag.filter(|tag| !tag.is_empty()),
            keys: system.keys,
            properties: message.user_properties,
            message_group: system.message_group.filter(|group| !group.is_empty()),
            trace_context: system.trace_context.filter(|trace| !trace.is_empty()),
            born,
            born_host: system.born_host,
            attempt,
            broker: Arc::clone(broker),
            queue_id: system.queue_id.unwrap_or(0),
            queue_offset: system.queue_offset.unwrap_or(0),
            handle: ReceiptHandle::new(address.clone(), topic, id_of_handle, receipt, attempt),
        })
    }
}

/// A message to send.
///
/// ```
/// use std::time::Duration;
/// use eventlane_rocketmq::client::OutgoingMessage;
///
/// let message = OutgoingMessage::new("hello")
///     .with_tag("greeting")
///     .with_key("7")
///     .with_property("region", "eu")
///     .with_delay(Duration::from_secs(10));
/// # drop(message);
/// ```
#[derive(Clone, Debug, Default)]
pub struct OutgoingMessage {
    body: Bytes,
    tag: Option<String>,
    keys: Vec<String>,
    properties: HashMap<String, String>,
    group: Option<String>,
    delay: Option<Duration>,
}

impl OutgoingMessage {
    /// A message without anything but a body, which the server wants not to be empty.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// Sets the tag.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Adds a key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Sets a property.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// Sets the message group. The topic has to be a FIFO one.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Delays the delivery. The topic has to be one for that.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    #[cfg(test)]
    pub(crate) fn parts(self) -> (HashMap<String, String>, Bytes) {
        (self.properties, self.body)
    }

    /// The message group.
    pub(super) fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// As it is sent, `now` after 1970.
    pub(super) fn write(
        &self,
        topic: pb::Resource,
        queue_id: i32,
        message_id: String,
        now: Duration,
    ) -> pb::Message {
        const IDENTITY: i32 = 1;
        const NORMAL: i32 = 1;
        const FIFO: i32 = 2;
        const DELAY: i32 = 3;
        let message_type = match (&self.group, self.delay) {
            (Some(_), _) => FIFO,
            (None, Some(_)) => DELAY,
            (None, None) => NORMAL,
        };
        let timestamp = |at: Duration| prost_types::Timestamp {
            seconds: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
            nanos: at.subsec_nanos().try_into().unwrap_or_default(),
        };
        pb::Message {
            topic: Some(topic),
            user_properties: self.properties.clone(),
            body: self.body.clone(),
            system_properties: Some(pb::SystemProperties {
                tag: self.tag.clone(),
                keys: self.keys.clone(),
                message_id,
                body_encoding: IDENTITY,
                message_type,
                born_timestamp: Some(timestamp(now)),
                born_host: "localhost".to_owned(),
                delivery_timestamp: self.delay.map(|delay| timestamp(now + delay)),
                queue_id: Some(queue_id),
                message_group: self.group.clone(),
                ..Default::default()
            }),
        }
    }
}

impl From<&Event> for OutgoingMessage {
    /// In binary mode: attributes and extensions are properties with the prefix `CE_`, the id is
    /// the key, and `partitionkey` the message group. An event without data has a body of one zero
    /// byte.
    fn from(event: &Event) -> Self {
        const NO_DATA: Bytes = Bytes::from_static(&[0]);
        let (written, data) = headers::write(event);
        let mut message = Self::new(data.filter(|data| !data.is_empty()).unwrap_or(NO_DATA));
        for (name, value) in written {
            let name = match name.strip_prefix("ce_") {
                Some(attribute) => format!("CE_{attribute}"),
                None => "CE_contenttype".to_owned(),
            };
            message = message.with_property(name, String::from_utf8_lossy(&value));
        }
        if let Some(group) = event.extension("partitionkey") {
            message = message.with_group(group.as_str());
        }
        message.with_key(event.id())
    }
}

/// A message for tests: without a body or anything else.
#[cfg(test)]
pub(crate) fn test_message() -> ReceivedMessage {
    let message = pb::Message {
        topic: Some(pb::Resource {
            name: "t".to_owned(),
            ..Default::default()
        }),
        system_properties: Some(pb::SystemProperties {
            message_id: "id".to_owned(),
            receipt_handle: Some("receipt".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let address = Address::parse("a:1").expect("an address");
    ReceivedMessage::read(message, &"broker".into(), &address).expect("a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_is_no_message() {
        let address = Address::parse("a:1").unwrap();
        let message = |id: &str, receipt: Option<&str>| pb::Message {
            system_properties: Some(pb::SystemProperties {
                message_id: id.to_owned(),
                receipt_handle: receipt.map(str::to_owned),
                delivery_attempt: Some(i32::MIN),
                born_timestamp: Some(prost_types::Timestamp {
                    seconds: i64::MAX,
                    nanos: i32::MIN,
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let read = |it| ReceivedMessage::read(it, &"b".into(), &address);
        assert!(read(message("", Some("r"))).is_none());
        assert!(read(message("id", None)).is_none());
        assert!(read(message("id", Some(""))).is_none());
        assert!(read(pb::Message::default()).is_none());
        assert_eq!(read(message("id", Some("r"))).unwrap().attempt, 1);
    }
}
