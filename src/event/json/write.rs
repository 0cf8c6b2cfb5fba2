//! Writing the JSON format. Into the caller's buffer, without a tree of values in between.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::event::{Data, Event, Value, media_type};

/// Appends the event to `out`, which may be reused from event to event.
///
/// How data is written (JSON format §3.1): under a JSON `datacontenttype` or none, as the JSON
/// value that it is; data of unknown validity is checked for that, once per event, and written as
/// `data_base64` if it is not JSON. Under `text/*` and XML types, and for
/// [`Data::text`](crate::event::Data::text), as a string; anything else as `data_base64`.
pub fn write(event: &Event, out: &mut Vec<u8>) {
    write_with(event, out, |_| true);
}

/// The same on one line with every byte of the data, for files of JSON lines: JSON that has line
/// breaks, or whitespace around it, becomes `data_base64`. No line break follows.
pub fn write_line(event: &Event, out: &mut Vec<u8>) {
    write_with(event, out, |json| {
        let edges = [json.first(), json.last()];
        !edges.into_iter().flatten().any(u8::is_ascii_whitespace)
            && !json.iter().any(|b| matches!(b, b'\n' | b'\r'))
    });
}

fn write_with(event: &Event, out: &mut Vec<u8>, splice: fn(&[u8]) -> bool) {
    out.reserve(512 + event.data().map_or(0, Data::len));
    out.extend_from_slice(br#"{"specversion":"1.0","id":"#);
    string(event.id(), out);
    let optional = |name: &[u8], value: Option<&str>, out: &mut Vec<u8>| {
        if let Some(value) = value {
            out.extend_from_slice(name);
            string(value, out);
        }
    };
    optional(br#","source":"#, Some(event.source()), out);
    optional(br#","type":"#, Some(event.ty()), out);
    optional(br#","subject":"#, event.subject(), out);
    if let Some(time) = event.time() {
        time.with_str(|time| optional(br#","time":"#, Some(time), out));
    }
    optional(br#","datacontenttype":"#, event.data_content_type(), out);
    optional(br#","dataschema":"#, event.data_schema(), out);
    for (name, value) in event.extensions() {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match value {
            Value::Boolean(_) | Value::Integer(_) => {
                out.extend_from_slice(value.as_str().as_bytes());
            }
            _ => string(&value.as_str(), out),
        }
    }
    data(event, out, splice);
    out.push(b'}');
}

/// Appends a batch: a JSON array, `[]` if there are no events (JSON format §4).
pub fn write_batch<'a>(events: impl IntoIterator<Item = &'a Event>, out: &mut Vec<u8>) {
    out.push(b'[');
    let mut first = true;
    for event in events {
        if !first {
            out.push(b',');
        }
        first = false;
        write(event, out);
    }
    out.push(b']');
}

/// `splice` says whether JSON may be written as it is.
fn data(event: &Event, out: &mut Vec<u8>, splice: fn(&[u8]) -> bool) {
    let Some(data) = event.data() else { return };
    let bytes = data.as_bytes();
    let content_type = event.data_content_type();
    if media_type::is_json(content_type) {
        if data.valid_json() && splice(bytes) {
            out.extend_from_slice(br#","data":"#);
            out.extend_from_slice(bytes);
            return;
        }
    } else if (data.is_text() || content_type.is_some_and(media_type::is_text))
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        out.extend_from_slice(br#","data":"#);
        string(text, out);
        return;
    }
    out.extend_from_slice(br#","data_base64":""#);
    base64(bytes, out);
    out.push(b'"');
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The length is exact; were it not, nothing would be written.
    let written = BASE64_STANDARD
        .encode_slice(bytes, &mut out[start..])
        .unwrap_or_default();
    out.truncate(start + written);
}

/// A JSON string. Only what must be escaped is.
fn string(text: &str, out: &mut Vec<u8>) {
    let special = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
    let mut rest = text.as_bytes();
    out.push(b'"');
    // Almost no text has anything to escape. Without an early exit this loop vectorises.
    if rest.iter().fold(false, |found, b| found | special(b)) {
        while let Some(at) = rest.iter().position(special) {
            out.extend_from_slice(&rest[..at]);
            escape(rest[at], out);
            rest = &rest[at + 1..];
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// The short form where JSON has one (RFC 8259 §7), else `\u00XX`.
fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
