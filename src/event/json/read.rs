//! Reading the JSON format.
//!
//! Attributes are taken as they come; data is taken as the raw text between them, so JSON data is
//! never parsed into values. Members that the specification does not name are extensions. Nothing
//! recurses by what a remote sends beyond serde_json's own limit.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use crate::event::{
    Data, Event, InvalidEvent, Str, Value, check::INTEGER, draft::Draft, media_type,
};

/// Reads one event.
///
/// JSON data shares the memory of `bytes` when it makes up at least half of it, and is copied out
/// otherwise, so that an event doesn't keep a large body alive.
///
/// # Errors
/// If it is not a JSON object in UTF-8, an attribute comes twice or is not allowed, or `data` and
/// `data_base64` contradict each other. Members that are `null` count as absent (JSON format
/// §2.2), but `"data": null` is JSON data.
pub fn read(bytes: &Bytes) -> Result<Event, InvalidEvent> {
    serde_json::from_str::<Members<'_>>(utf8(bytes)?)
        .map_err(fault)?
        .event(bytes)
}

/// Reads a batch (JSON format §4). One invalid event makes the whole batch invalid.
///
/// # Errors
/// As for [`read`]; the message says which event is at fault.
pub fn read_batch(bytes: &Bytes) -> Result<Vec<Event>, InvalidEvent> {
    let mut invalid = None;
    let mut json = serde_json::Deserializer::from_str(utf8(bytes)?);
    let batch = BatchSeed {
        body: bytes,
        invalid: &mut invalid,
    };
    let read = batch
        .deserialize(&mut json)
        .and_then(|events| json.end().map(|()| events));
    match invalid {
        Some(invalid) => Err(invalid),
        None => read.map_err(fault),
    }
}

fn utf8(bytes: &Bytes) -> Result<&str, InvalidEvent> {
    std::str::from_utf8(bytes).map_err(|_| InvalidEvent::new("the JSON is not UTF-8"))
}

/// Never shows what was received, as serde's own texts would.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn fault(error: serde_json::Error) -> InvalidEvent {
    let what = match error.classify() {
        Category::Syntax => "malformed JSON",
        Category::Eof => "incomplete JSON",
        Category::Data | Category::Io => "not an event in JSON",
    };
    let (line, column) = (error.line(), error.column());
    InvalidEvent::new(format!("{what} (line {line}, column {column})"))
}

/// The members of an event's object.
#[derive(Default)]
struct Members<'a> {
    attributes: Draft,
    data: Option<&'a RawValue>,
    data_base64: Option<Result<Vec<u8>, InvalidEvent>>,
    /// The first thing that was wrong. Reading goes on, since serde's errors carry only text.
    invalid: Option<InvalidEvent>,
}

impl Members<'_> {
    fn event(self, body: &Bytes) -> Result<Event, InvalidEvent> {
        if let Some(invalid) = self.invalid {
            return Err(invalid);
        }
        let json = media_type::is_json(self.attributes.content_type());
        // Under another content type `null` is no data but an unset member, and so it is beside
        // `data_base64`.
        let data = self
            .data
            .filter(|raw| raw.get() != "null" || (json && self.data_base64.is_none()));
        let data = match (self.data_base64, data) {
            (None, None) => None,
            (None, Some(raw)) if json => Some(Data::known_json(share(body, raw.get()))),
            (None, Some(raw)) => Some(Data::known_text(text(body, raw)?)),
            (Some(bytes), None) => Some(Data::bytes(bytes?)),
            (Some(_), Some(_)) => {
                return Err(InvalidEvent::new("has both data and data_base64"));
            }
        };
        self.attributes.finish(data)
    }

    fn attribute(&mut self, name: &str, value: Member) {
        let result = match value {
            Member::Null => Ok(()),
            Member::Value(value) => self.attributes.set(name, value),
            Member::Wrong(reason) => Err(InvalidEvent::of(name, reason)),
        };
        if let Err(invalid) = result {
            self.invalid.get_or_insert(invalid);
        }
    }
}

/// `part` must lie within `body`.
fn share(body: &Bytes, part: &str) -> Bytes {
    if part.len() >= body.len() / 2 {
        body.slice_ref(part.as_bytes())
    } else {
        Bytes::copy_from_slice(part.as_bytes())
    }
}

/// Data that is a JSON string, without its quotes and escapes.
fn text(body: &Bytes, raw: &RawValue) -> Result<Bytes, InvalidEvent> {
    let quoted = raw
        .get()
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match quoted {
        Some(plain) if !plain.contains('\\') => Ok(share(body, plain)),
        // Lone surrogates are found out here.
        Some(_) => serde_json::from_str::<String>(raw.get())
            .map(Bytes::from)
            .map_err(|_| InvalidEvent::new("data is not a valid string")),
        None => Err(InvalidEvent::new(
            "data must be a string under a datacontenttype that is not JSON",
        )),
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(Name(name)) = map.next_key()? {
            let twice = match name.as_str() {
                "data" => members.data.replace(map.next_value()?).is_some(),
                "data_base64" => match map.next_value()? {
                    Base64(None) => false,
                    Base64(Some(bytes)) => members.data_base64.replace(bytes).is_some(),
                },
                name => {
                    members.attribute(name, map.next_value()?);
                    false
                }
            };
            if twice {
                members
                    .invalid
                    .get_or_insert(InvalidEvent::new("has data twice"));
            }
        }
        Ok(members)
    }
}

struct Name(Str);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Name(name.into()))
    }
}

/// The value of an attribute.
enum Member {
    Null,
    Value(Value),
    Wrong(&'static str),
}

const SCALAR: &str = "must be a string, a number or a boolean";

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value of an attribute")
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Member, E> {
        Ok(Member::Value(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Member, E> {
        Ok(Member::Value(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Member, E> {
        Ok(
            i32::try_from(value)
                .map_or(Member::Wrong(INTEGER), |value| Member::Value(value.into())),
        )
    }

    fn visit_u64<E>(self, value: u64) -> Result<Member, E> {
        Ok(
            i32::try_from(value)
                .map_or(Member::Wrong(INTEGER), |value| Member::Value(value.into())),
        )
    }

    fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
        Ok(Member::Wrong(INTEGER))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Member, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Wrong(SCALAR))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::Wrong(SCALAR))
    }
}

/// `data_base64`: decoded, or why not; `None` if null.
struct Base64(Option<Result<Vec<u8>, InvalidEvent>>);

/// Padding may be missing: nothing is lost by taking it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Base64Visitor)
    }
}

struct Base64Visitor;

impl Visitor<'_> for Base64Visitor {
    type Value = Base64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64")
    }

    fn visit_unit<E>(self) -> Result<Base64, E> {
        Ok(Base64(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Base64, E> {
        let fault = |_| InvalidEvent::new("data_base64 is not base64");
        Ok(Base64(Some(BASE64.decode(text).map_err(fault))))
    }
}

/// Turns each member into an event at once: many small invalid ones never pile up in memory.
struct BatchSeed<'a> {
    body: &'a Bytes,
    invalid: &'a mut Option<InvalidEvent>,
}

impl<'de> DeserializeSeed<'de> for BatchSeed<'_> {
    type Value = Vec<Event>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for BatchSeed<'_> {
    type Value = Vec<Event>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(members) = seq.next_element::<Members<'de>>()? {
            match members.event(self.body) {
                Ok(event) => events.push(event),
                Err(invalid) => {
                    *self.invalid = Some(invalid.within(events.len()));
                    return Err(A::Error::custom("invalid event"));
                }
            }
        }
        Ok(events)
    }
}
