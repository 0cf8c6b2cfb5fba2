//! How messages become events.

use eventlane::{Error, ErrorKind, Event, Result};
use serde::{Deserialize, Serialize};

/// How messages become events; see [`convert`](crate::convert).
///
/// The defaults are nearly what Alibaba Cloud's EventBridge makes of a message of MNS. Structured
/// CloudEvents keep what they say of themselves.
///
/// ```
/// use eventlane_mns::{EventConfig, MnsConfig, OnInvalid};
///
/// let event = EventConfig::new()
///     .with_source("/shop/orders")
///     .with_type("com.example.order")
///     .with_on_invalid(OnInvalid::Reject);
/// let config = MnsConfig::new("http://localhost:8000", "orders").with_event(event);
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EventConfig {
    /// The source of messages that are no CloudEvents: a URI reference. Default `acs:mns`.
    pub source: String,
    /// Their type. Default `mns:Queue:SendMessage`.
    #[serde(rename = "type")]
    pub ty: String,
    /// Their subject. Default: the queue, as `acs:mns:REGION:ACCOUNT:queues/NAME` if region and
    /// account are known.
    pub subject: Option<String>,
    /// What becomes of a message that is not what it claims to be. Default: it is wrapped.
    pub on_invalid: OnInvalid,
}

impl Default for EventConfig {
    fn default() -> Self {
        Self {
            source: "acs:mns".to_owned(),
            ty: "mns:Queue:SendMessage".to_owned(),
            subject: None,
            on_invalid: OnInvalid::default(),
        }
    }
}

impl EventConfig {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// Sets the type.
    #[must_use]
    pub fn with_type(mut self, ty: impl Into<String>) -> Self {
        self.ty = ty.into();
        self
    }

    /// Sets the subject.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets what becomes of a message that is not what it claims to be.
    #[must_use]
    pub fn with_on_invalid(mut self, on_invalid: OnInvalid) -> Self {
        self.on_invalid = on_invalid;
        self
    }

    /// Whether any event can be made under these settings: tried with one, since the rules for
    /// attributes are the event's.
    pub(crate) fn validate(&self, subject: &str) -> Result<()> {
        let sample = Event::builder()
            .id("0")
            .source(self.source.as_str())
            .ty(self.ty.as_str())
            .subject(subject);
        match sample.build() {
            Ok(_) => Ok(()),
            Err(error) => {
                let message = format!("events would be invalid: {error}");
                Err(Error::new(ErrorKind::Config, "configure MNS", message))
            }
        }
    }
}

/// What becomes of a message whose body is not in the configured encoding, or claims to be a
/// structured CloudEvent (a JSON object with `specversion`, `id`, `type` and `source`) and is not a
/// valid one.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OnInvalid {
    /// It is delivered with the body as it came.
    #[default]
    Wrap,
    /// It is handed to the engine as rejected: dead-lettered, or what else the pipeline does with
    /// rejected events.
    Reject,
}

/// What producers do to bodies. That is an agreement among clients; the service does not know of
/// it, and no message says it of itself.
///
/// Bodies go in XML, which can't carry most control characters: hence base64. A body that is not in
/// the encoding is what [`OnInvalid`] is for; with [`Auto`](Self::Auto) there is no such body.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BodyEncoding {
    /// They encode bodies as base64, as the Java and Python SDKs do unless told otherwise. Line
    /// breaks in it, and missing padding, are fine.
    #[default]
    Base64,
    /// Nothing, as the Go and JavaScript SDKs.
    Raw,
    /// Some do, some don't: a body is decoded if it is base64 of UTF-8 text. A text that happens to
    /// be that is decoded, too.
    Auto,
}
