//! How a message becomes an event.
//!
//! A message that is a CloudEvent passes through as what it is: its body is one in the JSON format
//! (an object with `specversion`, `id`, `source` and `type`), with or without a content type
//! `application/cloudevents+json`, or it has the message attributes `ce_…` of the binary mode that
//! message systems share. Any other is wrapped:
//!
//! | attribute | value |
//! |---|---|
//! | `id` | the message's id: the same each time it is handed out |
//! | `source` | the queue's ARN; its URL if the ARN may not be read; or as configured |
//! | `type` | `com.amazon.sqs.message`, or as configured |
//! | `time` | when it was sent |
//! | `datacontenttype` | the message attribute `content-type`, if it is a media type; else `application/json` or `text/plain` |
//! | `partitionkey` | the message group, if it has one |
//! | `sequence` | its sequence number, with 20 digits (FIFO queues) |
//! | `traceparent`, `tracestate` | the message attributes of those names |
//! | `awstraceheader` | the trace header of AWS X-Ray |
//! | `sqsmsg<name>` | every other message attribute that is not binary ([configurable](crate::AttributeExtensions)), its name in lower case without what is not a letter or digit |
//! | data | the body, byte for byte; as JSON if it is a JSON value and no content type says otherwise, else as text |
//!
//! Nothing in it changes from one attempt to the next. `content-type` may be written in any case,
//! and with `_` or nothing for the hyphen. Of message attributes whose names become the same, the
//! last in the order of their names wins. Characters that no attribute may have (control characters
//! above all) become U+FFFD.
//!
//! * **Whole messages** ([`whole_message`](crate::EventConfig::whole_message)): data is a JSON
//!   object with `MessageId`, `Body` (the value itself if it is JSON), `Attributes` and
//!   `MessageAttributes`, without what changes from attempt to attempt.
//! * **SNS** ([`unwrap_sns`](crate::EventConfig::unwrap_sns)): of a notification in its envelope,
//!   message and message attributes take the place of the body and its attributes; `subject` is its
//!   subject, `snstopicarn` and `snsmessageid` say what it was.

use std::collections::HashMap;

use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName as System};
use bytes::Bytes;
use eventlane::{
    Event,
    event::{Data, EventBuilder, InvalidEvent, Str, Timestamp, Value, headers, json},
};

use crate::config::{AttributeExtensions, EventConfig, OnInvalid};

mod claim;
mod sns;
mod text;
mod whole;

use text::{clean, data, media_type};

/// A message, as far as its event depends on it.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// `MessageId`.
    pub(crate) id: String,
    /// `Body`. SQS takes no message without one; other servers may.
    pub(crate) body: Option<String>,
    /// `Attributes`: what SQS says of it.
    pub(crate) system: HashMap<System, String>,
    /// `MessageAttributes`: what the sender says.
    pub(crate) attributes: HashMap<String, MessageAttributeValue>,
}

/// What a message became.
#[derive(Debug)]
pub(crate) struct Converted {
    pub(crate) event: Event,
    /// Whether it claims to be a CloudEvent and is not.
    pub(crate) broken: bool,
    /// Why it has to be rejected.
    pub(crate) invalid: Option<Box<str>>,
}

/// Turns messages into events: the same message into the same event, each time it comes.
#[derive(Debug)]
pub(crate) struct Converter {
    config: EventConfig,
    source: Str,
    ty: Str,
}

/// What is delivered: of the message, or of the notification in it.
struct Content {
    body: Option<Bytes>,
    /// Those that are text, in the order of their names.
    attributes: Vec<(String, String)>,
    notification: Option<sns::Notification>,
}

const MOST_ATTRIBUTES: usize = 500;
const LONGEST_NAME: usize = 200;
const CONTENT_TYPE: &str = "content-type";
const ATTRIBUTE: &str = "sqsmsg";

impl Converter {
    pub(crate) fn new(config: &EventConfig, source: &str) -> Self {
        Self {
            config: config.clone(),
            source: source.into(),
            ty: config.ty.as_str().into(),
        }
    }

    /// Converts a message. What is wrong with it never costs the message: attributes that can't be
    /// are mended or left out, and a false claim is delivered as what it is, or rejected.
    ///
    /// # Errors
    /// If no event can be made of it, because it has no id.
    pub(crate) fn convert(&self, message: Input) -> Result<Converted, InvalidEvent> {
        if self.config.whole_message {
            let data = Data::bytes(whole::write(&message));
            let event = self.begin(&message.id, &message.system);
            let event = event.data_content_type("application/json").data(data);
            return event.build().map(|event| Converted {
                event,
                broken: false,
                invalid: None,
            });
        }
        let Input {
            id,
            body,
            system,
            attributes,
        } = message;
        let content = self.content(body, attributes);
        let error = match content.event() {
            Ok(Some(event)) => {
                return Ok(Converted {
                    event,
                    broken: false,
                    invalid: None,
                });
            }
            Ok(None) => None,
            Err(error) => Some(error),
        };
        let event = self.wrap(&id, &system, content)?;
        let reason = error
            .as_ref()
            .filter(|_| self.config.on_invalid == OnInvalid::Reject);
        let reason =
            reason.map(|error| format!("not the CloudEvent that it claims to be: {error}"));
        Ok(Converted {
            event,
            broken: error.is_some(),
            invalid: reason.map(Into::into),
        })
    }

    /// What is to be delivered: the message's own, or what SNS has wrapped. Binary attributes are
    /// left out, and so is whatever else has no string value.
    fn content(
        &self,
        body: Option<String>,
        attributes: HashMap<String, MessageAttributeValue>,
    ) -> Content {
        let notification = match &body {
            Some(body) if self.config.unwrap_sns => sns::read(body),
            _ => None,
        };
        if let Some(mut notification) = notification {
            return Content {
                body: Some(std::mem::take(&mut notification.message).into()),
                attributes: std::mem::take(&mut notification.attributes),
                notification: Some(notification),
            };
        }
        let texts = attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.string_value?)));
        let mut attributes: Vec<_> = texts.collect();
        // A hash map's order differs from attempt to attempt.
        attributes.sort_unstable();
        Content {
            body: body.map(Bytes::from),
            attributes,
            notification: None,
        }
    }

    /// The event of a message that is none itself.
    fn wrap(
        &self,
        id: &str,
        system: &HashMap<System, String>,
        content: Content,
    ) -> Result<Event, InvalidEvent> {
        let mut event = self.begin(id, system);
        if let Some(notification) = &content.notification {
            event = event
                .extension("snstopicarn", clean(&notification.topic))
                .extension("snsmessageid", clean(&notification.id));
            if let Some(subject) = &notification.subject {
                event = event.subject(clean(subject));
            }
        }
        let given = content.attribute(CONTENT_TYPE).map(clean);
        // That of an event would turn a request with a broken event's data into that event.
        let given = given.filter(|given| media_type(given) && !claim::envelope(given));
        for (name, value) in content.attributes.iter().take(MOST_ATTRIBUTES) {
            event = self.attribute(event, name, value, given.is_some());
        }
        if let Some(body) = content.body {
            let (media_type, data) = data(given, body);
            event = event.data_content_type(media_type).data(data);
        } else if let Some(given) = given {
            event = event.data_content_type(given);
        }
        event.build()
    }

    /// What does not depend on the body and the message attributes.
    fn begin(&self, id: &str, system: &HashMap<System, String>) -> EventBuilder {
        let get = |name| system.get(&name).filter(|value| !value.is_empty());
        let mut event = Event::builder()
            .id(clean(id))
            .source(self.source.clone())
            .ty(self.ty.clone());
        if let Some(millis) = get(System::SentTimestamp).and_then(|millis| millis.parse().ok()) {
            event = event.time(Timestamp::from_unix_millis(millis));
        }
        if let Some(group) = get(System::MessageGroupId) {
            event = event.extension("partitionkey", clean(group));
        }
        if let Some(number) = get(System::SequenceNumber) {
            // Sequences are compared as text, and some servers don't pad them.
            event = event.extension("sequence", clean(&format!("{number:0>20}")));
        }
        if let Some(trace) = get(System::AwsTraceHeader) {
            event = event.extension("awstraceheader", clean(trace));
        }
        event
    }

    /// Adds a message attribute to the event, if it is wanted. `typed`: its content type has been
    /// understood, and is not repeated.
    fn attribute(&self, event: EventBuilder, name: &str, value: &str, typed: bool) -> EventBuilder {
        for trace in ["traceparent", "tracestate"] {
            if name.eq_ignore_ascii_case(trace) {
                return event.extension(Str::new_static(trace), clean(value));
            }
        }
        let wanted = match &self.config.attributes {
            _ if typed && text::wire_name(name) == CONTENT_TYPE => false,
            AttributeExtensions::All => true,
            AttributeExtensions::None => false,
            AttributeExtensions::Only(names) => {
                names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
            }
        };
        if !wanted {
            return event;
        }
        let legal = name.chars().filter(char::is_ascii_alphanumeric);
        let legal = legal.map(|c| c.to_ascii_lowercase()).take(LONGEST_NAME);
        let name: String = ATTRIBUTE.chars().chain(legal).collect();
        event.extension(name, Value::String(clean(value)))
    }
}

impl Content {
    fn attribute(&self, wanted: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        attributes
            .find(|(name, _)| text::wire_name(name).eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_str())
    }

    /// The CloudEvent that it is; `None` if it does not claim to be one. Attributes are asked
    /// first: they say whether it is one in binary or in structured mode, whatever its body looks
    /// like.
    ///
    /// # Errors
    /// If the claim is false: what is wrong with it.
    fn event(&self) -> Result<Option<Event>, InvalidEvent> {
        let by_attributes = self.attribute(CONTENT_TYPE).is_some_and(claim::envelope)
            || self.attribute("ce_specversion").is_some();
        if by_attributes {
            let attributes = self.attributes.iter();
            let attributes =
                attributes.map(|(name, value)| (text::wire_name(name), Some(value.as_bytes())));
            return headers::read(attributes, self.body.clone());
        }
        let Some(body) = self.body.as_ref().filter(|body| claim::possible(body)) else {
            return Ok(None);
        };
        match json::read(body) {
            Ok(event) => Ok(Some(event)),
            Err(error) if claim::made_by(body) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

/// A message of lines `name:value`, those that begin with a capital being the system's; then an
/// empty line, and the body.
#[cfg(fuzzing)]
pub(crate) fn fuzz_message(bytes: &[u8]) -> Input {
    let text = String::from_utf8_lossy(bytes);
    let (lines, body) = text.split_once("\n\n").unwrap_or(("", &text));
    let mut message = Input {
        id: "m".to_owned(),
        body: Some(body.to_owned()),
        ..Input::default()
    };
    for (name, value) in lines.lines().filter_map(|line| line.split_once(':')) {
        if name.starts_with(|first: char| first.is_ascii_uppercase()) {
            message.system.insert(System::from(name), value.to_owned());
        } else {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build()
                .expect("it has a type");
            message.attributes.insert(name.to_owned(), value);
        }
    }
    message
}

#[cfg(test)]
mod tests;
