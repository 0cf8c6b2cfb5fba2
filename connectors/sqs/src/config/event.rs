//! How messages become events.

use eventlane::{Event, Result};
use serde::{Deserialize, Serialize};

use super::invalid;

/// How messages become events; see [`convert`](crate::convert).
///
/// Whatever is set here, the event of a message is the same each time SQS hands it out.
///
/// ```
/// use eventlane_sqs::{AttributeExtensions, EventConfig, OnInvalid, SqsConfig};
///
/// let event = EventConfig::new()
///     .with_type("com.example.order")
///     .with_attributes(AttributeExtensions::Only(vec!["tenant".to_owned()]))
///     .with_unwrap_sns(true)
///     .with_on_invalid(OnInvalid::Reject);
/// let queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";
/// assert!(SqsConfig::new(queue).with_event(event).validate().is_ok());
/// ```
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EventConfig {
    /// A source of your own, a URI reference, instead of the queue's ARN. Queues of AWS may share
    /// one: no two messages of theirs have the same id (SQS developer guide, "message
    /// identifiers").
    pub source: Option<String>,
    /// The type of messages that are no CloudEvents. Default `com.amazon.sqs.message`.
    #[serde(rename = "type")]
    pub ty: String,
    /// Which message attributes become attributes of the event. Default: all.
    pub attributes: AttributeExtensions,
    /// Whether the data is the whole message, as JSON, instead of its body. Nothing passes through
    /// as a CloudEvent of its own then, and nothing is unwrapped: excludes
    /// [`unwrap_sns`](Self::unwrap_sns). Default: no.
    pub whole_message: bool,
    /// Whether a notification of Amazon SNS is taken out of the envelope that SNS puts it into.
    /// Default: no. Raw message delivery (`RawMessageDelivery`) in the subscription does the same
    /// at its source.
    pub unwrap_sns: bool,
    /// What becomes of a message that claims to be a CloudEvent and is not. Default: it is wrapped.
    pub on_invalid: OnInvalid,
}

impl Default for EventConfig {
    fn default() -> Self {
        Self {
            source: None,
            ty: "com.amazon.sqs.message".to_owned(),
            attributes: AttributeExtensions::default(),
            whole_message: false,
            unwrap_sns: false,
            on_invalid: OnInvalid::default(),
        }
    }
}

impl EventConfig {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a source of your own.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets the type.
    #[must_use]
    pub fn with_type(mut self, ty: impl Into<String>) -> Self {
        self.ty = ty.into();
        self
    }

    /// Sets which message attributes become attributes of the event.
    #[must_use]
    pub fn with_attributes(mut self, attributes: AttributeExtensions) -> Self {
        self.attributes = attributes;
        self
    }

    /// Sets whether the data is the whole message.
    #[must_use]
    pub fn with_whole_message(mut self, whole_message: bool) -> Self {
        self.whole_message = whole_message;
        self
    }

    /// Sets whether the envelopes of SNS are taken off.
    #[must_use]
    pub fn with_unwrap_sns(mut self, unwrap_sns: bool) -> Self {
        self.unwrap_sns = unwrap_sns;
        self
    }

    /// Sets what becomes of a message that claims to be a CloudEvent and is not.
    #[must_use]
    pub fn with_on_invalid(mut self, on_invalid: OnInvalid) -> Self {
        self.on_invalid = on_invalid;
        self
    }

    /// Whether any event can be made under these settings: tried with one, since the rules for
    /// sources and types are the event's.
    pub(super) fn validate(&self) -> Result<()> {
        if self.whole_message && self.unwrap_sns {
            return Err(invalid(
                "whole_message and unwrap_sns exclude each other; leave one out",
            ));
        }
        let source = self.source.as_deref().unwrap_or("/");
        let event = Event::builder().id("1").source(source).ty(self.ty.as_str());
        match event.build() {
            Ok(_) => Ok(()),
            Err(error) => Err(invalid(format!("the events would be invalid: {error}"))),
        }
    }
}

/// Which message attributes become attributes of the event, as `sqsmsg<name>`. `content-type`,
/// `traceparent`, `tracestate` and `ce_…` are understood whatever this says.
///
/// In a configuration file: `all`, `none`, or the names under `only`.
///
/// ```
/// use eventlane_sqs::{AttributeExtensions, EventConfig};
///
/// let event: EventConfig = serde_json::from_str(
///     r#"{ "attributes": { "only": ["tenant", "Trace-Level"] } }"#, // becomes sqsmsgtracelevel
/// )?;
/// let names = vec!["tenant".to_owned(), "Trace-Level".to_owned()];
/// assert_eq!(event.attributes, AttributeExtensions::Only(names));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AttributeExtensions {
    /// All but binary ones. SQS allows ten for each message.
    #[default]
    All,
    /// None.
    None,
    /// Those with these names as they are sent, in any case; binary ones can't be among them.
    Only(Vec<String>),
}

/// What becomes of a message that claims to be a CloudEvent and is not. Either way it is counted
/// ([`metrics::INVALID`](crate::metrics::INVALID)).
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OnInvalid {
    /// It is delivered like a message that makes no such claim.
    #[default]
    Wrap,
    /// It is handed to the engine as rejected: dead-lettered, or what else the pipeline does with
    /// rejected events.
    Reject,
}
