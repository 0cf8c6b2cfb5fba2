//! Header values (§3.1.3.2).

use std::borrow::Cow;

use ::http::HeaderValue;
use bytes::Bytes;

use crate::event::{InvalidEvent, Str};

/// Encodes what has to be: space, quote, percent and everything outside printable ASCII.
pub(crate) fn header_value(text: &str) -> HeaderValue {
    let plain = |b: &u8| (0x21..0x7f).contains(b) && !matches!(b, b'"' | b'%');
    let value = if text.bytes().all(|b| plain(&b)) {
        HeaderValue::from_str(text)
    } else {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let mut out = Vec::with_capacity(text.len() + 16);
        for byte in text.bytes() {
            if plain(&byte) {
                out.push(byte);
            } else {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(&[b'%', digits[0], digits[1]]);
            }
        }
        HeaderValue::from_maybe_shared(Bytes::from(out))
    };
    value.expect("printable ASCII is a header value")
}

/// Unquotes, then decodes once. A percent sign that begins no triplet stands for itself: peers
/// that don't encode send such.
pub(super) fn decode(text: &str, name: &str) -> Result<Str, InvalidEvent> {
    let text = unquote(text);
    if !text.contains('%') {
        return Ok(text.into());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let mut byte = *first;
        if byte == b'%'
            && let [high, low, tail @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            byte = high << 4 | low;
            rest = tail;
        }
        out.push(byte);
    }
    // Overlong forms and lone surrogates fail here.
    Str::from_utf8(&out)
        .map_err(|_| InvalidEvent::attribute_error(name, "is not UTF-8 when percent-decoded"))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The inside of a quoted string (RFC 9110 §5.6.4), or the text itself if it is none.
fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inside) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return Cow::Borrowed(text);
    };
    if !inside.contains(['\\', '"']) {
        return Cow::Borrowed(inside);
    }
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped) => out.push(escaped),
                // The closing quote was escaped: no quoted string.
                None => return Cow::Borrowed(text),
            },
            '"' => return Cow::Borrowed(text),
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}
