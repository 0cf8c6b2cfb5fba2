use std::{fmt, sync::OnceLock};

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::InvalidEvent;

/// What an event carries: bytes that are passed on as they are, and what is known of them.
///
/// What is known decides only how the JSON format shows them (as a JSON value, as a string or as
/// base64), never what they are: equality compares the bytes alone. Cloning is cheap.
///
/// ```
/// use eventlane::event::Data;
///
/// let data = Data::json(r#"{"price": 1.10}"#)?;
/// assert!(data.is_json());
/// assert_eq!(data.as_bytes(), r#"{"price": 1.10}"#);
/// assert!(Data::json("{").is_err());
/// # Ok::<(), eventlane::event::InvalidEvent>(())
/// ```
#[derive(Clone)]
pub struct Data {
    bytes: Bytes,
    kind: Kind,
    // Retries write the same event again; whether its data is JSON is found out once.
    valid_json: OnceLock<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unknown,
    Text,
    Json,
}

impl Data {
    /// A JSON document, checked here once; the JSON format then writes it by copying.
    ///
    /// # Errors
    /// If it is not a single JSON value in UTF-8.
    pub fn json(document: impl Into<Bytes>) -> Result<Self, InvalidEvent> {
        let bytes = document.into();
        if !is_json(&bytes) {
            return Err(InvalidEvent::new("the data is not valid JSON"));
        }
        Ok(Self::new(bytes, Kind::Json))
    }

    /// Bytes of which nothing is known. Under a JSON `datacontenttype` (or none) the JSON format
    /// checks them when it first writes them.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(bytes.into(), Kind::Unknown)
    }

    /// Text. The JSON format writes it as a string under any `datacontenttype` but a JSON one.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(text.into().into(), Kind::Text)
    }

    /// `document` must be valid JSON.
    pub(crate) fn known_json(document: Bytes) -> Self {
        Self::new(document, Kind::Json)
    }

    /// `text` must be UTF-8.
    pub(crate) fn known_text(text: Bytes) -> Self {
        Self::new(text, Kind::Text)
    }

    fn new(bytes: Bytes, kind: Kind) -> Self {
        Self {
            bytes,
            kind,
            valid_json: OnceLock::new(),
        }
    }

    /// The bytes, as they came.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it was made from checked JSON. `false` means that nothing is known, not that it
    /// isn't.
    pub fn is_json(&self) -> bool {
        self.kind == Kind::Json
    }

    /// In bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no bytes. An event without data has no `Data` at all.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn is_text(&self) -> bool {
        self.kind == Kind::Text
    }

    /// Whether the bytes are JSON, found out if need be.
    pub(crate) fn valid_json(&self) -> bool {
        self.is_json() || *self.valid_json.get_or_init(|| is_json(&self.bytes))
    }
}

/// Shows the first bytes only.
impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 256;
        let start = self.bytes.slice(..self.len().min(SHOWN));
        let more = if self.len() > SHOWN { "…" } else { "" };
        write!(
            f,
            "Data({:?}, {} bytes, {start:?}{more})",
            self.kind,
            self.len()
        )
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Data {}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Self {
        Self::bytes(bytes)
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(bytes)
    }
}

/// Skips over values without recursion, so nesting can't exhaust the stack.
fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}
