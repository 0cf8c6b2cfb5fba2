//! How a record becomes an event.
//!
//! A record that is a CloudEvent (Kafka binding 1.0.2: `ce_` headers, or a content type
//! `application/cloudevents+json`) passes through as what it is. Any other is mapped as Knative's
//! KafkaSource does:
//!
//! | attribute | value |
//! |---|---|
//! | `id` | `partition:P/offset:O` |
//! | `source` | `/apis/v1/namespaces/NS/kafkasources/NAME#TOPIC`, or as configured |
//! | `type` | `dev.knative.kafka.event`, or as configured |
//! | `subject` | `partition:P#O` |
//! | `time` | the record's timestamp, if it has one |
//! | `datacontenttype` | the header `content-type`, if it is a media type |
//! | `key`, `partitionkey` | the record key as its [type](crate::KeyType) says; absent if it is null or empty |
//! | `knativekafkapartition`, `knativekafkaoffset`, `kafkatopic` | where the record was ([configurable](crate::PositionExtensions)); the offset is a string, since it may not fit a CloudEvents integer |
//! | `traceparent`, `tracestate` | the headers of those names |
//! | `kafkaheader<name>` | every other header ([configurable](crate::HeaderExtensions)), its name in lower case without what is not a letter or digit |
//! | data | the value, byte for byte; none if it is null (a tombstone) |
//!
//! Headers without a value are left out, and those behind the 500th. Of headers whose names become
//! the same, the last wins. Names are cut at 200 characters.
//! Text that is not UTF-8, and characters that no attribute may have (control characters above
//! all), become U+FFFD. It differs from Knative in that `content-type` keeps its case, that the
//! offset is a string, and in `kafkatopic`.

use std::borrow::Cow;

use crate::config::{EventConfig, HeaderExtensions, KeyType, OnInvalid, PositionExtensions};
use bytes::Bytes;
use eventlane::{
    Event,
    event::{Data, EventBuilder, InvalidEvent, Str, Timestamp, Value, headers},
};

/// A record, wherever it is.
pub(crate) struct Input<'a, H> {
    pub(crate) partition: i32,
    pub(crate) offset: u64,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) headers: H,
}

/// What all records of a topic share.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    source: Str,
    name: Str,
}

/// What a record became.
#[derive(Debug)]
pub(crate) enum Converted {
    Event(Event),
    /// To be rejected, with the reason.
    Invalid(Event, Box<str>),
}

/// Turns records into events.
#[derive(Debug)]
pub(crate) struct Converter {
    config: EventConfig,
    ty: Str,
}

// An event has at most 1000 attributes, and must go through HTTP servers, which take fewer.
const MOST_HEADERS: usize = 500;
const LONGEST_NAME: usize = 200;
const CONTENT_TYPE: &[u8] = b"content-type";

impl Converter {
    pub(crate) fn new(config: &EventConfig) -> Self {
        Self {
            config: config.clone(),
            ty: config.ty.as_str().into(),
        }
    }

    /// What all records of this topic share; to be kept, since making it costs several allocations.
    pub(crate) fn topic(&self, name: &str) -> Topic {
        Topic {
            source: self.config.source_of(name).into(),
            name: name.into(),
        }
    }

    /// Converts a record.
    ///
    /// # Errors
    /// If it claims to be a CloudEvent, is not, and such records are to stop the pipeline; or if no
    /// event can be made of it, because its topic has a name that Kafka does not allow.
    pub(crate) fn convert<'a, H>(
        &self,
        topic: &Topic,
        record: Input<'a, H>,
    ) -> Result<Converted, InvalidEvent>
    where
        H: Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone,
    {
        let payload = record.payload.map(Bytes::copy_from_slice);
        if !claims(record.headers.clone()) {
            return self.wrap(topic, record, payload).map(Converted::Event);
        }
        // A name that is no UTF-8 is none of those that matter.
        let headers = record
            .headers
            .clone()
            .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)));
        match headers::read(headers, payload.clone()) {
            Ok(Some(event)) => Ok(Converted::Event(event)),
            Ok(None) => self.wrap(topic, record, payload).map(Converted::Event),
            Err(error) => match self.config.on_invalid {
                OnInvalid::Wrap => self.wrap(topic, record, payload).map(Converted::Event),
                OnInvalid::Reject => {
                    let reason = format!("not the CloudEvent that it claims to be: {error}");
                    let event = self.wrap(topic, record, payload)?;
                    Ok(Converted::Invalid(event, reason.into()))
                }
                OnInvalid::Stop => Err(error),
            },
        }
    }

    /// Any record that makes no valid claim. If its key or a header makes the event invalid, they
    /// are left out rather than the record.
    fn wrap<'a, H>(
        &self,
        topic: &Topic,
        record: Input<'a, H>,
        payload: Option<Bytes>,
    ) -> Result<Event, InvalidEvent>
    where
        H: Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    {
        let Input {
            partition,
            offset,
            timestamp,
            key,
            ..
        } = record;
        let key = key.filter(|key| !key.is_empty()).map(|key| self.key(key));
        let mut event = self.begin(topic, partition, offset, timestamp, key, payload);
        for (name, value) in record.headers.take(MOST_HEADERS) {
            let Some(value) = value else { continue };
            event = self.header(event, name, value);
        }
        event.build().or_else(|error| {
            let topic_name = &topic.name;
            tracing::warn!(
                topic = %topic_name, partition, offset, %error,
                "a record's key or headers can't be attributes; delivered without them",
            );
            let payload = record.payload.map(Bytes::copy_from_slice);
            self.begin(topic, partition, offset, timestamp, None, payload)
                .build()
        })
    }

    /// All but the headers.
    fn begin(
        &self,
        topic: &Topic,
        partition: i32,
        offset: u64,
        timestamp: Option<i64>,
        key: Option<Value>,
        payload: Option<Bytes>,
    ) -> EventBuilder {
        let mut id = Text::default();
        id.push("partition:")
            .push_number(partition.unsigned_abs().into());
        let prefix = id.length;
        let number = id.push("/offset:").length;
        let id = id.push_number(offset).as_str();
        let (prefix, number) = (&id[..prefix], &id[number..]);
        let mut subject = Text::default();
        let subject = subject.push(prefix).push("#").push(number).as_str();
        let mut event = Event::builder()
            .id(Str::new(id))
            .source(topic.source.clone())
            .ty(self.ty.clone())
            .subject(Str::new(subject));
        if let Some(millis) = timestamp {
            event = event.time(Timestamp::from_unix_millis(millis));
        }
        if let Some(payload) = payload {
            event = event.data(Data::bytes(payload));
        }
        // In the order of their names, which is how an event keeps them.
        let position = self.config.position;
        if position == PositionExtensions::All {
            event = event.extension(TOPIC, topic.name.clone());
        }
        if let Some(key) = key.clone() {
            event = event.extension(KEY, key);
        }
        if position != PositionExtensions::None {
            event = event
                .extension(OFFSET, Str::new(number))
                .extension(PARTITION, partition);
        }
        match key {
            Some(key) => event.extension(PARTITION_KEY, key),
            None => event,
        }
    }

    /// The attribute that a key becomes; never an error.
    fn key(&self, key: &[u8]) -> Value {
        match (self.config.key_type, key) {
            (KeyType::Int, &[a, b, c, d]) => Value::Integer(i32::from_be_bytes([a, b, c, d])),
            (KeyType::Float, &[a, b, c, d]) => {
                Value::String(format!("{:?}", f32::from_be_bytes([a, b, c, d])).into())
            }
            (KeyType::Float, &[a, b, c, d, e, f, g, h]) => {
                Value::String(format!("{:?}", f64::from_be_bytes([a, b, c, d, e, f, g, h])).into())
            }
            (KeyType::ByteArray, _) => Value::Binary(Bytes::copy_from_slice(key)),
            (KeyType::String | KeyType::Int | KeyType::Float, _) => Value::String(clean(key)),
        }
    }

    /// One header: the content type, the trace, or an attribute of its own.
    fn header(&self, event: EventBuilder, name: &[u8], value: &[u8]) -> EventBuilder {
        if name.eq_ignore_ascii_case(CONTENT_TYPE) {
            let value = clean(value);
            // In binary mode, the content type of an event would turn a request with a broken
            // event's data into that event.
            if media_type(&value) && !begins_ignoring_case(value.as_bytes(), ENVELOPE) {
                return event.data_content_type(value);
            }
            return self.other(event, name, value);
        }
        for trace in ["traceparent", "tracestate"] {
            if name.eq_ignore_ascii_case(trace.as_bytes()) {
                return event.extension(Str::new_static(trace), Value::String(clean(value)));
            }
        }
        self.other(event, name, clean(value))
    }

    /// A header as `kafkaheader<name>`, if configured.
    fn other(&self, event: EventBuilder, name: &[u8], value: Str) -> EventBuilder {
        let wanted = match &self.config.headers {
            HeaderExtensions::All => true,
            HeaderExtensions::None => false,
            HeaderExtensions::Only(names) => names
                .iter()
                .any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name)),
        };
        if !wanted {
            return event;
        }
        let mut attribute = String::with_capacity(HEADER.len() + name.len());
        attribute.push_str(HEADER);
        let legal = name.iter().map(u8::to_ascii_lowercase);
        let legal = legal.filter(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        attribute.extend(legal.take(LONGEST_NAME).map(char::from));
        event.extension(attribute, Value::String(value))
    }
}

const KEY: Str = Str::new_static("key");
const PARTITION_KEY: Str = Str::new_static("partitionkey");
const PARTITION: Str = Str::new_static("knativekafkapartition");
const OFFSET: Str = Str::new_static("knativekafkaoffset");
const TOPIC: Str = Str::new_static("kafkatopic");
const HEADER: &str = "kafkaheader";
const ENVELOPE: &[u8] = b"application/cloudevents";

/// Whether a record says that it is a CloudEvent.
fn claims<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> bool {
    let mut headers = headers;
    headers.any(|(name, value)| {
        name.eq_ignore_ascii_case(b"ce_specversion")
            || (name.eq_ignore_ascii_case(CONTENT_TYPE)
                && value
                    .is_some_and(|value| begins_ignoring_case(value.trim_ascii_start(), ENVELOPE)))
    })
}

fn begins_ignoring_case(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

/// `type/subtype` and perhaps parameters, in printable ASCII: what no reader and no HTTP header
/// stumbles over.
fn media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    essence
        .split_once('/')
        .is_some_and(|(ty, subtype)| token(ty) && token(subtype))
        && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// As an attribute may have it (CloudEvents §3.1.1, String).
fn clean(bytes: &[u8]) -> Str {
    let text = String::from_utf8_lossy(bytes);
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Str::new(text);
    }
    let illegal = |c: char| {
        c.is_control() || matches!(c, '\u{fdd0}'..='\u{fdef}') || (c as u32) & 0xfffe == 0xfffe
    };
    let text = match text.contains(illegal) {
        false => text,
        true => Cow::Owned(text.replace(illegal, "\u{fffd}")),
    };
    Str::new(text)
}

/// Text with numbers, without an allocation.
struct Text {
    buffer: [u8; 64],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            buffer: [0; 64],
            length: 0,
        }
    }
}

impl Text {
    fn push(&mut self, text: &str) -> &mut Self {
        self.push_ascii(text.as_bytes())
    }

    /// What does not fit is left out; nothing that is ever pushed is that long.
    fn push_ascii(&mut self, text: &[u8]) -> &mut Self {
        let end = self.length + text.len();
        if let Some(place) = self.buffer.get_mut(self.length..end) {
            place.copy_from_slice(text);
            self.length = end;
        }
        self
    }

    fn push_number(&mut self, mut number: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push_ascii(&digits[start..])
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.buffer[..self.length]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
