use std::{borrow::Cow, fmt};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::{Str, Timestamp, check, check::Check};

/// The value of an extension attribute: the type system of CloudEvents §3.1.1.
///
/// Over headers (HTTP, Kafka, RocketMQ) every value travels as its canonical string, so it comes
/// back as [`String`](Self::String) whatever it was; the JSON format also keeps
/// [`Boolean`](Self::Boolean) and [`Integer`](Self::Integer). Compare by [`as_str`](Self::as_str)
/// where that matters.
///
/// ```
/// use eventlane::event::Value;
///
/// assert_eq!(Value::from(true).as_str(), "true");
/// assert_eq!(Value::from(-7).to_string(), "-7");
/// assert_eq!(Value::Binary("hi".into()).as_str(), "aGk=");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number of 32 bits.
    Integer(i32),
    /// Unicode text without control characters and noncharacters. May be empty.
    String(Str),
    /// Bytes; base64 as a string.
    Binary(Bytes),
    /// An absolute URI, never normalised.
    Uri(Str),
    /// A URI or relative reference, never normalised.
    UriRef(Str),
    /// A point in time.
    Timestamp(Timestamp),
}

impl Value {
    /// The canonical string of §3.1.1. Borrowed where the value is text already.
    pub fn as_str(&self) -> Cow<'_, str> {
        match self {
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::String(text) | Self::Uri(text) | Self::UriRef(text) => Cow::Borrowed(text),
            Self::Binary(bytes) => Cow::Owned(BASE64_STANDARD.encode(bytes)),
            Self::Timestamp(time) => time.as_str(),
        }
    }

    pub(crate) fn check(&self) -> Check {
        match self {
            Self::Boolean(_) | Self::Integer(_) | Self::Binary(_) | Self::Timestamp(_) => Ok(()),
            Self::String(text) => check::string(text),
            Self::Uri(text) => check::uri(text),
            Self::UriRef(text) => check::uri_reference(text),
        }
    }

    pub(crate) fn heap_size(&self) -> usize {
        match self {
            Self::Boolean(_) | Self::Integer(_) => 0,
            Self::String(text) | Self::Uri(text) | Self::UriRef(text) => super::heap_size(text),
            Self::Binary(bytes) => bytes.len(),
            Self::Timestamp(time) => time.heap_size(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

impl From<Str> for Value {
    fn from(value: Str) -> Self {
        Self::String(value)
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Timestamp(value)
    }
}
