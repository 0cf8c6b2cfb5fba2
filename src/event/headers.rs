//! Message headers with the prefix `ce_`: the Kafka binding's binary mode
//! (`bindings/kafka-protocol-binding.md`), which RocketMQ's drafts share.
//!
//! ```
//! use eventlane::event::{Event, headers};
//!
//! let event = Event::builder().id("1").source("/s").ty("t").build()?;
//! let (written, value) = headers::write(&event);
//! let received = written.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice())));
//! assert_eq!(headers::read(received, value)?, Some(event));
//! # Ok::<(), eventlane::event::InvalidEvent>(())
//! ```

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    Data, Event, InvalidEvent, Value,
    draft::Draft,
    json, media_type,
    media_type::{Envelope, starts_with_ignore_case},
};

const PREFIX: &str = "ce_";
const CONTENT_TYPE: &str = "content-type";

/// Reads a message; `Ok(None)` if it is not a CloudEvent at all.
///
/// * A `content-type` that begins with `application/cloudevents` makes it structured: the value is
///   the event. Otherwise a header `ce_specversion` makes it binary: the value is the data, and
///   without a value there is none (§3.2). Header names may be in any case.
/// * Headers without a value count as absent. Values are raw UTF-8; nothing is percent-decoded.
/// * A `ce_datacontenttype`, which should not exist, serves where there is no `content-type`.
/// * A format other than JSON is taken as binary if the headers allow it.
///
/// # Errors
/// If it claims to be a CloudEvent and is not: an attribute that is missing, wrong, not UTF-8 or
/// given twice, a structured message without a value, a batch.
pub fn read<'a>(
    headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + Clone,
    value: Option<Bytes>,
) -> Result<Option<Event>, InvalidEvent> {
    let mut content_type = None;
    let mut claims = false;
    for (name, value) in headers.clone() {
        if name.eq_ignore_ascii_case(CONTENT_TYPE) {
            content_type = content_type.or(value);
        } else if name.eq_ignore_ascii_case("ce_specversion") {
            claims = true;
        }
    }
    let envelope = content_type
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .map_or(Envelope::None, media_type::envelope);
    match envelope {
        Envelope::Structured => {
            let no_value = || InvalidEvent::new("a structured event without a value");
            return json::read(&value.ok_or_else(no_value)?).map(Some);
        }
        Envelope::Batch => {
            return Err(InvalidEvent::new("a message can't hold a batch of events"));
        }
        Envelope::Unknown if !claims => {
            return Err(InvalidEvent::new(media_type::UNKNOWN_FORMAT));
        }
        Envelope::None if !claims => return Ok(None),
        Envelope::Unknown | Envelope::None => {}
    }
    let mut draft = Draft::default();
    for (name, value) in headers {
        let Some(value) = value else { continue };
        if name.eq_ignore_ascii_case(CONTENT_TYPE) {
            draft.set("datacontenttype", text("datacontenttype", value)?)?;
        } else if starts_with_ignore_case(name, PREFIX) {
            let name = lower_case(&name[PREFIX.len()..]);
            if name != "datacontenttype" || content_type.is_none() {
                draft.set(&name, text(&name, value)?)?;
            }
        }
    }
    draft.finish(value.map(Data::bytes)).map(Some)
}

fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

fn text(name: &str, value: &[u8]) -> Result<Value, InvalidEvent> {
    match std::str::from_utf8(value) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(InvalidEvent::of(name, "is not UTF-8")),
    }
}

/// The headers and the value of a message in binary mode. Values are raw UTF-8; an event without
/// data has no value. An event whose data is known to be JSON, but that has no `datacontenttype`,
/// gets `application/json`.
pub fn write(event: &Event) -> (Vec<(String, Vec<u8>)>, Option<Bytes>) {
    let mut headers = Vec::with_capacity(8 + event.extensions().len());
    let mut put = |name: &str, value: &str| {
        headers.push((name.to_owned(), value.as_bytes().to_vec()));
    };
    put("ce_specversion", "1.0");
    put("ce_id", event.id());
    put("ce_source", event.source());
    put("ce_type", event.ty());
    if let Some(subject) = event.subject() {
        put("ce_subject", subject);
    }
    if let Some(time) = event.time() {
        time.with_str(|time| put("ce_time", time));
    }
    if let Some(schema) = event.data_schema() {
        put("ce_dataschema", schema);
    }
    for (name, value) in event.extensions() {
        put(&format!("{PREFIX}{name}"), &value.as_str());
    }
    if let Some(content_type) = event.wire_content_type() {
        put(CONTENT_TYPE, content_type);
    }
    (headers, event.data().map(|data| data.as_bytes().clone()))
}
