//! What producers do to bodies.
//!
//! Nothing is lost here: what can't be decoded is refused with a reason, and delivered or rejected
//! by the caller with the body as it came.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

use crate::config::BodyEncoding;

/// A body as its producer had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body(pub(super) Bytes);

impl Body {
    pub(super) fn text(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

/// Undoes the encoding, or says why that can't be.
pub(super) fn decode(encoding: BodyEncoding, body: &str) -> Result<Body, &'static str> {
    match encoding {
        BodyEncoding::Raw => Ok(Body::text(body)),
        BodyEncoding::Base64 => base64(body)
            .map(|bytes| Body(bytes.into()))
            .ok_or("the body is not base64 (body_encoding)"),
        BodyEncoding::Auto => Ok(guess(body).unwrap_or_else(|| Body::text(body))),
    }
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// With or without padding, and with line breaks: some encoders make them.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    if text.contains(|c: char| c.is_ascii_whitespace()) {
        let text: String = text.split_ascii_whitespace().collect();
        return LENIENT.decode(text).ok();
    }
    LENIENT.decode(text).ok()
}

/// Base64 as an encoder would have made it, of text as people write it. Short words are base64 of
/// something, too, but rarely of that.
fn guess(body: &str) -> Option<Body> {
    if body.is_empty() || !body.len().is_multiple_of(4) {
        return None;
    }
    let bytes = base64(body)?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    (!text.contains(odd)).then(|| Body(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: BodyEncoding, body: &str) -> Option<Vec<u8>> {
        decode(encoding, body).ok().map(|Body(bytes)| bytes.into())
    }

    #[test]
    fn base64_is_decoded() {
        for (body, bytes) in [
            ("aGVsbG8=", Some("hello")),
            ("aGVsbG8", Some("hello")),
            ("aGVs\r\nbG8=\n", Some("hello")),
            ("", Some("")),
            ("hello!", None),
            ("{\"a\":1}", None),
            ("aGVsbG8==", None),
        ] {
            let expected = bytes.map(|text| text.as_bytes().to_vec());
            assert_eq!(decoded(BodyEncoding::Base64, body), expected, "{body}");
        }
        let bytes = decoded(BodyEncoding::Base64, "//79AA==").unwrap();
        assert_eq!(bytes, [0xff, 0xfe, 0xfd, 0]);
    }

    #[test]
    fn raw_is_left_alone() {
        for body in ["aGVsbG8=", "", " x\n", "中"] {
            let bytes = decoded(BodyEncoding::Raw, body).unwrap();
            assert_eq!(bytes, body.as_bytes());
        }
    }

    #[test]
    fn auto_decodes_what_can_hardly_be_anything_else() {
        for (body, text) in [
            ("aGVsbG8=", "hello"),
            ("eyJhIjoxfQ==", "{\"a\":1}"),
            ("5Lit", "中"),
            // Not of that form, not UTF-8, not text.
            ("aGVsbG8", "aGVsbG8"),
            ("test", "test"),
            ("//79AA==", "//79AA=="),
            ("AAAA", "AAAA"),
            ("{\"a\":1}", "{\"a\":1}"),
            ("", ""),
        ] {
            let bytes = decoded(BodyEncoding::Auto, body).unwrap();
            assert_eq!(bytes, text.as_bytes(), "{body}");
        }
    }
}
