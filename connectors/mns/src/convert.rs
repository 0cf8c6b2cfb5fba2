//! How a message becomes an event.
//!
//! The body is decoded as [`BodyEncoding`] says. A body that is a structured
//! CloudEvent (a JSON object with `specversion`, `id`, `type` and `source`) passes through as what
//! it is. Any other is mapped, nearly as Alibaba Cloud's EventBridge does:
//!
//! | attribute | value |
//! |---|---|
//! | `id` | the message's id, which stays the same however often it is handed out |
//! | `source` | `acs:mns`, or as configured |
//! | `type` | `mns:Queue:SendMessage`, or as configured |
//! | `subject` | the queue's name; `acs:mns:REGION:ACCOUNT:queues/NAME` if region and account are known; or as configured |
//! | `time` | when the message was sent |
//! | `datacontenttype` | `application/json` if the body parses as that, `text/plain; charset=utf-8` if it is text, else `application/octet-stream` |
//! | `partitionkey` | the message group |
//! | `mnspriority` | the priority |
//! | `traceparent`, `tracestate` | the system properties of those names |
//! | `mnsprop<name>` | every user property, its name in lower case without what is not a letter or digit |
//! | data | the body, byte for byte |
//!
//! Numbers, truth values and bytes among the properties keep their type if CloudEvents has it. Of
//! properties whose names become the same, the last wins. Characters that no attribute may have
//! become U+FFFD. Nothing that differs between attempts, such as the number of the attempt, is in
//! the event.
//!
//! A body that is not what it should be never stops a queue: [`OnInvalid`] says
//! whether it is delivered as it came or rejected.

use std::collections::HashMap;

use bytes::Bytes;
use eventlane::{
    Event,
    event::{Data, EventBuilder, InvalidEvent, Str, Timestamp, Value, json},
};
use serde::de::IgnoredAny;

use crate::{
    client::{Property, PropertyKind, ReceivedMessage},
    config::{BodyEncoding, EventConfig, OnInvalid},
};

mod body;

use body::Body;

/// What a message became.
#[derive(Debug)]
pub(crate) struct Converted {
    pub(crate) event: Event,
    /// Why it has to be rejected, if it has to.
    pub(crate) invalid: Option<Box<str>>,
}

/// Turns messages into events: the same message into the same event, each time it comes. Made once
/// for a queue; has no state.
#[derive(Debug)]
pub(crate) struct Converter {
    source: Str,
    ty: Str,
    subject: Str,
    encoding: BodyEncoding,
    on_invalid: OnInvalid,
}

const MOST_PROPERTIES: usize = 500;
const LONGEST_NAME: usize = 200;

impl Converter {
    pub(crate) fn new(config: &EventConfig, encoding: BodyEncoding, subject: &str) -> Self {
        Self {
            source: config.source.as_str().into(),
            ty: config.ty.as_str().into(),
            subject: subject.into(),
            encoding,
            on_invalid: config.on_invalid,
        }
    }

    /// Converts a message.
    ///
    /// # Errors
    /// If no event can be made of it at all. No message is known of which that is true.
    pub(crate) fn convert(&self, message: &ReceivedMessage) -> Result<Converted, InvalidEvent> {
        let (body, fault) = match body::decode(self.encoding, &message.body) {
            Ok(body) => (body, None),
            Err(fault) => (Body::text(&message.body), Some(fault.to_owned())),
        };
        let reject = self.on_invalid == OnInvalid::Reject;
        if let Some(fault) = fault.filter(|_| reject) {
            return self.reject(message, body, fault);
        }
        if !claims(&body.0) {
            return self.wrap(message, body);
        }
        match json::read(&body.0) {
            Ok(event) => Ok(Converted {
                event,
                invalid: None,
            }),
            Err(error) if reject => {
                let fault = format!("not the CloudEvent that it claims to be: {error}");
                self.reject(message, body, fault)
            }
            Err(_) => self.wrap(message, body),
        }
    }

    /// The event as it would be delivered, marked as one that is not to be.
    fn reject(
        &self,
        message: &ReceivedMessage,
        body: Body,
        fault: String,
    ) -> Result<Converted, InvalidEvent> {
        let wrapped = self.wrap(message, body)?;
        Ok(Converted {
            invalid: Some(fault.into()),
            ..wrapped
        })
    }

    /// The event of a message that is none itself. Properties that would make it invalid are left
    /// out, all of them together, rather than the message.
    fn wrap(&self, message: &ReceivedMessage, body: Body) -> Result<Converted, InvalidEvent> {
        let plain = self.begin(message, body);
        let event = extend(plain.clone(), message).build().or_else(|error| {
            tracing::warn!(
                id = message.id, %error,
                "a message's properties can't be attributes; delivered without them",
            );
            plain.build()
        })?;
        Ok(Converted {
            event,
            invalid: None,
        })
    }

    /// All but the extensions.
    fn begin(&self, message: &ReceivedMessage, body: Body) -> EventBuilder {
        let (data, media_type) = data(body.0);
        let event = Event::builder()
            .id(clean(&message.id))
            .source(self.source.clone())
            .ty(self.ty.clone())
            .subject(self.subject.clone())
            .data_content_type(Str::new_static(media_type))
            .data(data);
        match message.enqueue_time {
            Some(millis) => event.time(Timestamp::from_unix_millis(millis)),
            None => event,
        }
    }
}

/// Adds what the message says beside its body. Binary property values are bytes, not base64, in the
/// event.
fn extend(mut event: EventBuilder, message: &ReceivedMessage) -> EventBuilder {
    if let Some(group) = &message.group {
        event = event.extension("partitionkey", clean(group));
    }
    if let Some(priority) = message.priority {
        event = event.extension("mnspriority", priority);
    }
    for name in ["traceparent", "tracestate"] {
        let mut properties = message.system_properties.iter();
        if let Some(property) = properties.find(|property| property.name == name) {
            event = event.extension(name, clean(&property.value));
        }
    }
    for property in message.user_properties.iter().take(MOST_PROPERTIES) {
        let mut name = String::from("mnsprop");
        let lower = property.name.chars().map(|c| c.to_ascii_lowercase());
        let legal = lower.filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        name.extend(legal.take(LONGEST_NAME));
        event = event.extension(name, value(property));
    }
    event
}

/// In the type of the property, if that does not change what it says.
fn value(property: &Property) -> Value {
    let text = property.value.as_str();
    let typed = match property.kind {
        PropertyKind::Number => text
            .parse()
            .ok()
            .filter(|number: &i32| number.to_string() == text)
            .map(Value::Integer),
        PropertyKind::Boolean => text.to_ascii_lowercase().parse().ok().map(Value::Boolean),
        PropertyKind::Binary => body::base64(text).map(|bytes| Value::Binary(bytes.into())),
        PropertyKind::String => None,
    };
    typed.unwrap_or_else(|| Value::String(clean(text)))
}

/// What the body is, and its media type.
fn data(body: Bytes) -> (Data, &'static str) {
    if let Ok(json) = Data::json(body.clone()) {
        return (json, "application/json");
    }
    match std::str::from_utf8(&body) {
        Ok(text) => (Data::text(text), "text/plain; charset=utf-8"),
        Err(_) => (Data::bytes(body), "application/octet-stream"),
    }
}

/// Whether a body says that it is a CloudEvent: has all that every one must have.
fn claims(body: &Bytes) -> bool {
    const REQUIRED: [&str; 4] = ["specversion", "id", "type", "source"];
    body.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<HashMap<String, IgnoredAny>>(body)
            .is_ok_and(|members| REQUIRED.iter().all(|name| members.contains_key(*name)))
}

/// As an attribute may have it (CloudEvents §3.1.1, String).
fn clean(text: &str) -> Str {
    let illegal = |c: char| {
        c.is_control() || matches!(c, '\u{fdd0}'..='\u{fdef}') || (c as u32) & 0xfffe == 0xfffe
    };
    match text.contains(illegal) {
        false => text.into(),
        true => text.replace(illegal, "\u{fffd}").into(),
    }
}

/// Converts a message in every way that can be configured.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_message(message: &ReceivedMessage) {
    for encoding in [BodyEncoding::Base64, BodyEncoding::Raw, BodyEncoding::Auto] {
        let converter = Converter::new(&EventConfig::new(), encoding, "orders");
        let converted = converter.convert(message).expect("an event");
        let mut out = Vec::new();
        json::write(&converted.event, &mut out);
        assert!(json::read(&out.into()).is_ok());
    }
}

#[cfg(test)]
mod tests;
