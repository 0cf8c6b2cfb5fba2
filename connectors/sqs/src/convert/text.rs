//! Names, media types and text as events may have them.

use bytes::Bytes;
use eventlane::event::{Data, Str};

/// The name under which a message attribute is known: people spell `content-type` in several ways.
/// Any other name is its own.
pub(super) fn wire_name(name: &str) -> &str {
    let letters = name.bytes().filter(|b| !matches!(b, b'-' | b'_'));
    let letters = letters.map(|b| b.to_ascii_lowercase());
    if letters.eq(*b"contenttype") {
        super::CONTENT_TYPE
    } else {
        name
    }
}

/// The body as data, and its media type: the one given, or the one it looks like.
/// A body that is said to be JSON and is not keeps its media type and goes as text.
pub(super) fn data(given: Option<Str>, body: Bytes) -> (Str, Data) {
    if given.as_deref().is_none_or(is_json)
        && let Ok(data) = Data::json(body.clone())
    {
        return (given.unwrap_or(Str::new_static("application/json")), data);
    }
    let data = match String::from_utf8(body.into()) {
        Ok(text) => Data::text(text),
        // It was a string, so this can't be.
        Err(error) => Data::bytes(error.into_bytes()),
    };
    (given.unwrap_or(Str::new_static("text/plain")), data)
}

/// Whether a media type is one of JSON (CloudEvents JSON format §3.1).
fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim_end();
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    let end = subtype.rsplit('+').next().unwrap_or_default();
    end.eq_ignore_ascii_case("json")
}

/// `type/subtype` and perhaps parameters, in printable ASCII.
pub(super) fn media_type(text: &str) -> bool {
    let token = |part: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !part.is_empty() && part.bytes().all(legal)
    };
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let parts = essence.split_once('/');
    parts.is_some_and(|(ty, subtype)| token(ty) && token(subtype))
        && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// As an attribute may have it (CloudEvents §3.1.1, String).
pub(super) fn clean(text: &str) -> Str {
    let illegal = |c: char| {
        c.is_control() || matches!(c, '\u{fdd0}'..='\u{fdef}') || (c as u32) & 0xfffe == 0xfffe
    };
    if text.contains(illegal) {
        text.replace(illegal, "\u{fffd}").into()
    } else {
        text.into()
    }
}
