//! The HTTP binding (`bindings/http-protocol-binding.md`): binary, structured and batched mode,
//! both ways.
//!
//! ```
//! use eventlane::event::{Event, http};
//!
//! let event = Event::builder().id("1").source("/s").ty("t").subject("Euro € 😀").build()?;
//! let mut headers = ::http::HeaderMap::new();
//! let body = http::write_binary(&event, &mut headers);
//! assert_eq!(headers["ce-subject"], "Euro%20%E2%82%AC%20%F0%9F%98%80");
//!
//! let http::Message::One(received) = http::read(&headers, body)? else { unreachable!() };
//! assert_eq!(received, event);
//! # Ok::<(), eventlane::event::InvalidEvent>(())
//! ```

use ::http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use bytes::Bytes;
use smallvec::SmallVec;

use super::{
    Data, Event, InvalidEvent, Value, draft::Draft, json, media_type, media_type::Envelope,
};

mod percent;

#[cfg(feature = "http")]
pub(crate) use percent::header_value;

const PREFIX: &str = "ce-";

/// How events are put into HTTP messages (§3).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Attributes as headers, data as the body.
    #[default]
    Binary,
    /// One event in the JSON format as the body.
    Structured,
    /// Several events in the JSON format as the body. Only for receivers that are known to take it.
    Batched,
}

/// What an HTTP message turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An event, in binary or structured mode.
    One(Event),
    /// A batch; perhaps empty.
    Batch(Vec<Event>),
    /// Something else: its body.
    NotCloudEvent(Bytes),
}

/// Inserts the `ce-` headers and `content-type`, and returns the body, which shares the event's
/// memory (§3.1).
///
/// Values are percent-encoded (§3.1.3.2). An event whose data is known to be JSON, but that has no
/// `datacontenttype`, gets `application/json`; without either, `content-type` is removed. Headers
/// of other names stay as they are; `ce-` headers of an earlier event must not be there.
pub fn write_binary(event: &Event, headers: &mut HeaderMap) -> Bytes {
    const ID: HeaderName = HeaderName::from_static("ce-id");
    const SOURCE: HeaderName = HeaderName::from_static("ce-source");
    const TYPE: HeaderName = HeaderName::from_static("ce-type");
    const SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");
    const SUBJECT: HeaderName = HeaderName::from_static("ce-subject");
    const TIME: HeaderName = HeaderName::from_static("ce-time");
    const DATASCHEMA: HeaderName = HeaderName::from_static("ce-dataschema");

    headers.reserve(8 + event.extensions().len());
    // All values share one buffer, which saves an allocation for each.
    let mut values = percent::Values::default();
    headers.insert(SPECVERSION, HeaderValue::from_static("1.0"));
    headers.insert(ID, values.push(event.id()));
    headers.insert(SOURCE, values.recurring(0, event.source()));
    headers.insert(TYPE, values.recurring(1, event.ty()));
    if let Some(subject) = event.subject() {
        headers.insert(SUBJECT, values.push(subject));
    }
    if let Some(time) = event.time() {
        headers.insert(TIME, time.with_str(|time| values.push(time)));
    }
    if let Some(schema) = event.data_schema() {
        headers.insert(DATASCHEMA, values.push(schema));
    }
    for (name, value) in event.extensions() {
        let value = match value {
            Value::Integer(number) => HeaderValue::from(*number),
            value => values.push(&value.as_str()),
        };
        headers.insert(extension_header(name), value);
    }
    match event.wire_content_type().map(HeaderValue::from_str) {
        Some(Ok(content_type)) => headers.insert(CONTENT_TYPE, content_type),
        _ => headers.remove(CONTENT_TYPE),
    };
    event
        .data()
        .map(|data| data.as_bytes().clone())
        .unwrap_or_default()
}

/// Sets `content-type` and returns the event in the JSON format (§3.2).
pub fn write_structured(event: &Event, headers: &mut HeaderMap) -> Bytes {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(json::MEDIA_TYPE));
    let mut body = Vec::new();
    json::write(event, &mut body);
    body.into()
}

/// Sets `content-type` and returns the events in the JSON batch format (§3.3).
pub fn write_batched<'a>(
    events: impl IntoIterator<Item = &'a Event>,
    headers: &mut HeaderMap,
) -> Bytes {
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(json::BATCH_MEDIA_TYPE),
    );
    let mut body = Vec::new();
    json::write_batch(events, &mut body);
    body.into()
}

/// Reads a message in whatever mode it is (§3: batched, then structured, then binary).
///
/// A message is a binary event if it has `ce-specversion`. In binary mode an empty body is no
/// data, every extension is a [`Value::String`], and a `ce-datacontenttype`, which must not exist,
/// is passed over. A format other than JSON is taken as binary if the headers allow it, so that it
/// goes on as it came. Header values that should have been percent-encoded and were not are taken
/// if they are UTF-8.
///
/// # Errors
/// If the message claims to be a CloudEvent and is not a valid one.
pub fn read(headers: &HeaderMap, body: Bytes) -> Result<Message, InvalidEvent> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .map(|value| text("datacontenttype", value));
    let envelope = match &content_type {
        Some(Ok(content_type)) => media_type::envelope(content_type),
        _ => Envelope::None,
    };
    match envelope {
        Envelope::Batch => return json::read_batch(&body).map(Message::Batch),
        Envelope::Structured => return json::read(&body).map(Message::One),
        Envelope::Unknown | Envelope::None => {}
    }
    if !headers.contains_key("ce-specversion") {
        return match envelope {
            Envelope::Unknown => Err(InvalidEvent::new(media_type::UNKNOWN_FORMAT)),
            _ => Ok(Message::NotCloudEvent(body)),
        };
    }
    let mut draft = Draft::default();
    if let Some(content_type) = content_type {
        draft.set("datacontenttype", Value::from(content_type?))?;
    }
    for (name, value) in headers {
        match name.as_str().strip_prefix(PREFIX) {
            None | Some("datacontenttype") => {}
            Some(name) => draft.set(name, percent::decode(text(name, value)?, name)?.into())?,
        }
    }
    draft
        .finish((!body.is_empty()).then(|| Data::bytes(body)))
        .map(Message::One)
}

fn extension_header(name: &str) -> HeaderName {
    // What most events have: a static name is neither allocated nor parsed.
    macro_rules! known {
        ($($name:literal)*) => {
            match name {
                $($name => {
                    const NAME: HeaderName = HeaderName::from_static(concat!("ce-", $name));
                    return NAME;
                })*
                _ => {}
            }
        };
    }
    known! {
        "partitionkey" "key" "kafkatopic" "knativekafkapartition" "knativekafkaoffset"
        "traceparent" "tracestate" "sequence"
    }
    let mut bytes = SmallVec::<[u8; 64]>::from_slice(PREFIX.as_bytes());
    bytes.extend_from_slice(name.as_bytes());
    HeaderName::from_bytes(&bytes).expect("lower-case letters and digits are a header name")
}

fn text<'a>(name: &str, value: &'a HeaderValue) -> Result<&'a str, InvalidEvent> {
    std::str::from_utf8(value.as_bytes()).map_err(|_| InvalidEvent::of(name, "is not UTF-8"))
}
