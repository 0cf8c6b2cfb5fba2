//! Header values (§3.1.3.2).

use std::{borrow::Cow, cell::RefCell};

use ::http::HeaderValue;
use bytes::{BufMut, BytesMut};

use crate::event::{InvalidEvent, Str};

/// One encoded value.
pub(crate) fn header_value(text: &str) -> HeaderValue {
    Values(BytesMut::with_capacity(text.len())).push(text)
}

/// Encoded values, in one buffer.
pub(super) struct Values(BytesMut);

impl Default for Values {
    fn default() -> Self {
        Self(BytesMut::with_capacity(256))
    }
}

impl Values {
    /// The same for an attribute that most often is what it was for the event before: the last
    /// header value is kept and shared.
    pub(super) fn recurring(&mut self, attribute: usize, text: &str) -> HeaderValue {
        thread_local! {
            static LAST: [RefCell<(Str, HeaderValue)>; 2] = const {
                [const { RefCell::new((Str::new_static(""), HeaderValue::from_static(""))) }; 2]
            };
        }
        LAST.with(|last| {
            let mut last = last[attribute].borrow_mut();
            if last.0 != text {
                // Not in the buffer of all values, which it would keep alive.
                *last = (text.into(), header_value(text));
            }
            last.1.clone()
        })
    }

    /// Encodes what has to be: space, quote, percent and everything outside printable ASCII.
    pub(super) fn push(&mut self, text: &str) -> HeaderValue {
        let plain = |b: u8| (0x21..0x7f).contains(&b) && !matches!(b, b'"' | b'%');
        let out = &mut self.0;
        // Without an early exit, so that the loop vectorises.
        if text.bytes().fold(true, |fits, b| fits & plain(b)) {
            out.extend_from_slice(text.as_bytes());
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.reserve(text.len() + 16);
            for byte in text.bytes() {
                if plain(byte) {
                    out.put_u8(byte);
                } else {
                    let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                    out.extend_from_slice(&[b'%', digits[0], digits[1]]);
                }
            }
        }
        let value = HeaderValue::from_maybe_shared(out.split().freeze());
        value.expect("printable ASCII is a header value")
    }
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
    Str::from_utf8(&out).map_err(|_| InvalidEvent::of(name, "is not UTF-8 when percent-decoded"))
}

/// The value of a hexadecimal digit, in either case.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Str {
        decode(text, "x").unwrap()
    }

    #[test]
    fn encodes_what_must_be_and_nothing_else() {
        assert_eq!(header_value("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(header_value("a b\"c%d\u{7f}"), "a%20b%22c%25d%7F");
        let untouched: String = ('!'..='~').filter(|c| !matches!(c, '"' | '%')).collect();
        assert_eq!(header_value(&untouched), untouched.as_str());
        assert_eq!(header_value(""), "");
    }

    #[test]
    fn what_recurs_is_encoded_anew_when_it_changes() {
        let mut values = Values::default();
        for _ in 0..2 {
            assert_eq!(values.recurring(0, "a b"), "a%20b");
            assert_eq!(values.recurring(0, "a b"), "a%20b");
            assert_eq!(values.recurring(1, "c"), "c");
            assert_eq!(values.recurring(0, "é"), "%C3%A9");
        }
    }

    #[test]
    fn decodes_once() {
        assert_eq!(decoded("Euro%20%E2%82%AC%20%F0%9F%98%80"), "Euro € 😀");
        assert_eq!(decoded("%2541"), "%41");
        assert_eq!(decoded("%e2%82%ac"), "€");
        assert_eq!(decoded("%41%42"), "AB");
    }

    #[test]
    fn refuses_what_is_not_utf_8() {
        for text in ["%C0%A0", "%ED%A0%80", "%FF", "%E2%82", "%F4%90%80%80"] {
            assert!(decode(text, "x").is_err(), "{text}");
        }
    }

    #[test]
    fn unquotes_what_is_quoted() {
        assert_eq!(decoded(r#""a b""#), "a b");
        assert_eq!(decoded(r#""a \"b\" \\c""#), r#"a "b" \c"#);
        assert_eq!(decoded(r#""%41""#), "A");
        assert_eq!(decoded(r#""""#), "");
        for not_quoted in [r#"""#, r#""a"#, r#"a""#, r#""a"b""#, r#""a\""#, "(comment)"] {
            assert_eq!(decoded(not_quoted), not_quoted);
        }
    }

    #[test]
    fn takes_what_was_never_encoded() {
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("5% of%zz €"), "5% of%zz €");
        assert_eq!(decoded("%4"), "%4");
        assert_eq!(decoded("%é0"), "%é0");
    }
}
