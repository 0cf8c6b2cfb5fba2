//! How a message becomes an event.
//!
//! A message with a property `CE_specversion` or `ce_specversion` is a CloudEvent in binary mode:
//! every property with that prefix is an attribute or an extension, the body is the data, and its
//! media type is in `CE_contenttype` or, as some write it, `CE_datacontenttype`. A body of one zero
//! byte is no data, since RocketMQ has no empty bodies. If that media type begins with
//! `application/cloudevents`, the body is the whole event, in JSON. Both pass through as what they
//! are; other properties are not in the event, and so neither are the extensions that the
//! CloudEvents SDK for Java writes in binary mode, which have no prefix. Any other message is mapped:
//!
//! | attribute | value |
//! |---|---|
//! | `id` | the message's id, which stays the same however often it is handed out |
//! | `source` | `rocketmq://NAMESPACE/TOPIC`, with the endpoint's host where there is no namespace; or as configured |
//! | `type` | `org.apache.rocketmq.message`, or as configured |
//! | `subject` | the tag; or the first key, or none, as configured |
//! | `time` | when the message was sent |
//! | `datacontenttype` | `application/json` if the body parses as that, `text/plain; charset=utf-8` if it is text, else `application/octet-stream` |
//! | `datacontentencoding` | how the body is still compressed, if it could not be decompressed; also of events in binary mode |
//! | `partitionkey` | the message group |
//! | `rocketmqtopic`, `rocketmqtag`, `rocketmqbornhost` | what they say |
//! | `rocketmqkeys` | the keys, separated by spaces |
//! | `traceparent` | the producer's trace, if it has the form of W3C's |
//! | `rocketmqprop<name>` | every user property that is allowed, its name in lower case without what is not a letter or digit |
//! | data | the body, byte for byte |
//!
//! Of properties whose names become the same, the last in order of their names wins. Characters
//! that no attribute may have become U+FFFD. What differs between attempts (the number of the
//! attempt, queue and offset, which are others when a message comes again) and between consumer
//! groups is not in the event: the event of a message is always the same.
//!
//! A message that is not what it claims to be never stops a topic:
//! [`OnInvalid`] says whether it is delivered as it came or rejected.

use std::collections::HashMap;

use bytes::Bytes;
use eventlane::{
    Event,
    event::{Data, EventBuilder, InvalidEvent, Str, headers},
};

use crate::{
    client::ReceivedMessage,
    config::{OnInvalid, Properties, RocketMqConfig, Subject},
};

/// What a message became.
#[derive(Debug)]
pub(crate) struct Converted {
    pub(crate) event: Event,
    /// Why it has to be rejected, if it has to.
    pub(crate) invalid: Option<Box<str>>,
}

/// Turns messages into events.
#[derive(Debug)]
pub(crate) struct Converter {
    sources: HashMap<String, Str>,
    /// Of a topic that was not asked for, which no server should send.
    other: Str,
    ty: Str,
    subject: Subject,
    properties: Properties,
    on_invalid: OnInvalid,
}

const PREFIX: &str = "ce_";
const VERSION: &str = "ce_specversion";

/// Where producers write the media type; the first that is there counts.
const CONTENT_TYPES: [&str; 6] = [
    "CE_contenttype",
    "CE_contentType",
    "CE_datacontenttype",
    "ce_contenttype",
    "ce_datacontenttype",
    "content-type",
];

/// What servers leave among the user properties.
const INTERNAL: [&str; 2] = ["__SHARDINGKEY", "TRACE_CONTEXT"];

const MOST_PROPERTIES: usize = 500;
const LONGEST_NAME: usize = 200;

impl Converter {
    pub(crate) fn new(config: &RocketMqConfig) -> Self {
        let topics = config.topics.iter().map(|it| it.topic.clone());
        Self {
            sources: topics
                .map(|topic| (topic.clone(), config.source(&topic).into()))
                .collect(),
            other: config.source("").into(),
            ty: config.event.ty.as_str().into(),
            subject: config.event.subject,
            properties: config.event.properties.clone(),
            on_invalid: config.event.on_invalid,
        }
    }

    /// Converts a message.
    ///
    /// # Errors
    /// If no event can be made of it at all. No message is known of which that is true.
    pub(crate) fn convert(&self, message: &ReceivedMessage) -> Result<Converted, InvalidEvent> {
        let reject = self.on_invalid == OnInvalid::Reject;
        let (event, fault) = match read(message) {
            Ok(Some(event)) => (event, None),
            Ok(None) => (self.wrap(message)?, None),
            Err(error) => {
                let fault = format!("not the CloudEvent that it claims to be: {error}");
                (self.wrap(message)?, Some(fault))
            }
        };
        let packed = message.content_encoding;
        let fault = fault.or_else(|| {
            packed.map(|encoding| format!("the body can't be decompressed ({encoding})"))
        });
        Ok(Converted {
            event,
            invalid: fault.filter(|_| reject).map(Into::into),
        })
    }

    fn wrap(&self, message: &ReceivedMessage) -> Result<Event, InvalidEvent> {
        let plain = self.begin(message);
        self.extend(plain.clone(), message)
            .build()
            .or_else(|error| {
                tracing::warn!(
                    id = message.id, %error,
                    "a message's properties can't be attributes; delivered without them",
                );
                plain.build()
            })
    }

    /// All but the extensions.
    fn begin(&self, message: &ReceivedMessage) -> EventBuilder {
        let (data, media_type) = data(&message.body);
        let source = self.sources.get(&message.topic).unwrap_or(&self.other);
        let mut event = Event::builder()
            .id(clean(&message.id))
            .source(source.clone())
            .ty(self.ty.clone())
            .data_content_type(Str::new_static(media_type))
            .data(data);
        let subject = match self.subject {
            Subject::Tag => message.tag.as_ref(),
            Subject::Key => message.keys.first(),
            Subject::None => None,
        };
        if let Some(subject) = subject.filter(|subject| !subject.is_empty()) {
            event = event.subject(clean(subject));
        }
        match &message.born {
            Some(time) => event.time(time.clone()),
            None => event,
        }
    }

    /// The extensions.
    fn extend(&self, mut event: EventBuilder, message: &ReceivedMessage) -> EventBuilder {
        let keys = (!message.keys.is_empty()).then(|| message.keys.join(" "));
        let host = Some(message.born_host.as_str()).filter(|host| !host.is_empty());
        let trace = message.trace_context.as_deref();
        let trace = trace.or_else(|| message.properties.get("traceparent").map(String::as_str));
        let texts = [
            ("rocketmqtopic", Some(message.topic.as_str())),
            ("rocketmqtag", message.tag.as_deref()),
            ("rocketmqkeys", keys.as_deref()),
            ("rocketmqbornhost", host),
            ("partitionkey", message.message_group.as_deref()),
            ("datacontentencoding", message.content_encoding),
            ("traceparent", trace.filter(|trace| is_trace(trace))),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                event = event.extension(name, clean(text));
            }
        }
        let mut properties: Vec<_> = message.properties.iter().collect();
        properties.retain(|(name, _)| match &self.properties {
            Properties::All => !INTERNAL.contains(&name.as_str()),
            Properties::Only(allowed) => allowed.contains(name),
        });
        // A map has no order of its own, and an event must be the same every time.
        properties.sort_unstable();
        for (property, value) in properties.into_iter().take(MOST_PROPERTIES) {
            let mut name = String::from("rocketmqprop");
            let lower = property.chars().map(|c| c.to_ascii_lowercase());
            let legal = lower.filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            name.extend(legal.take(LONGEST_NAME));
            event = event.extension(name, clean(value));
        }
        event
    }
}

/// The CloudEvent that a message is; `None` if it does not claim to be one.
fn read(message: &ReceivedMessage) -> Result<Option<Event>, InvalidEvent> {
    let properties = &message.properties;
    let content_type = CONTENT_TYPES.iter().find_map(|name| properties.get(*name));
    let attributes = properties.iter().filter(|(name, _)| {
        let is_prefixed = name
            .get(..PREFIX.len())
            .is_some_and(|it| it.eq_ignore_ascii_case(PREFIX));
        is_prefixed && !CONTENT_TYPES.iter().any(|it| name.eq_ignore_ascii_case(it))
    });
    let attributes: Vec<_> = attributes.map(|(name, value)| (&**name, value)).collect();
    let content_type = content_type.map(|value| ("content-type", value));
    let headers = attributes.iter().copied().chain(content_type);
    let headers = headers.map(|(name, value)| (name, Some(value.as_bytes())));
    let is_binary = attributes
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(VERSION));
    let nothing = matches!(&message.body[..], [] | [0]) && is_binary;
    let body = (!nothing).then(|| message.body.clone());
    let event = headers::read(headers, body)?;
    match (event, message.content_encoding) {
        (Some(event), Some(encoding)) => event
            .with_extension("datacontentencoding", encoding)
            .map(Some),
        (event, _) => Ok(event),
    }
}

/// What the body is, and its media type.
fn data(body: &Bytes) -> (Data, &'static str) {
    if let Ok(json) = Data::json(body.clone()) {
        return (json, "application/json");
    }
    match std::str::from_utf8(body) {
        Ok(text) => (Data::text(text), "text/plain; charset=utf-8"),
        Err(_) => (Data::bytes(body.clone()), "application/octet-stream"),
    }
}

/// Whether it looks like W3C's `traceparent`.
fn is_trace(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let lengths = [2, 32, 16, 2];
    parts.len() == lengths.len()
        && parts.iter().zip(lengths).all(|(part, length)| {
            part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit())
        })
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

#[cfg(test)]
mod tests;
