//! How messages become events.

use eventlane::{Error, ErrorKind, Event, Result};
use serde::{Deserialize, Serialize};

/// How messages become events; see [`convert`](crate::convert).
///
/// ```
/// use eventlane_rocketmq::{EventConfig, OnInvalid, Properties};
///
/// // As Alibaba Cloud's EventBridge names them; of the properties, one is of interest.
/// let config = EventConfig::new()
///     .with_source("acs:mq")
///     .with_type("mq:Topic:SendMessage")
///     .with_properties(Properties::Only(vec!["region".into()]))
///     .with_on_invalid(OnInvalid::Reject);
/// # drop(config);
/// ```
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EventConfig {
    /// The source of messages that are no CloudEvents: a URI reference. Default
    /// `rocketmq://NAMESPACE/TOPIC`, or the endpoint's host where there is no namespace.
    pub source: Option<String>,
    /// Their type. Default `org.apache.rocketmq.message`.
    #[serde(rename = "type")]
    pub ty: String,
    /// What their subject is. Default: the tag.
    pub subject: Subject,
    /// Which user properties become extensions. Default: all.
    pub properties: Properties,
    /// What becomes of a message that is not what it claims to be. Default: it is wrapped.
    pub on_invalid: OnInvalid,
}

impl Default for EventConfig {
    fn default() -> Self {
        Self {
            source: None,
            ty: "org.apache.rocketmq.message".to_owned(),
            subject: Subject::default(),
            properties: Properties::default(),
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
        self.source = Some(source.into());
        self
    }

    /// Sets the type.
    #[must_use]
    pub fn with_type(mut self, ty: impl Into<String>) -> Self {
        self.ty = ty.into();
        self
    }

    /// Sets what the subject is.
    #[must_use]
    pub fn with_subject(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// Sets which user properties become extensions.
    #[must_use]
    pub fn with_properties(mut self, properties: Properties) -> Self {
        self.properties = properties;
        self
    }

    /// Sets what becomes of a message that is not what it claims to be.
    #[must_use]
    pub fn with_on_invalid(mut self, on_invalid: OnInvalid) -> Self {
        self.on_invalid = on_invalid;
        self
    }

    pub(crate) fn validate(&self, source: &str) -> Result<()> {
        let sample = Event::builder().id("0").source(source).ty(self.ty.as_str());
        match sample.build() {
            Ok(_) => Ok(()),
            Err(error) => {
                let message = format!("events would be invalid: {error}");
                Err(Error::new(ErrorKind::Config, "configure RocketMQ", message))
            }
        }
    }
}

/// What the subject of a wrapped message is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Subject {
    /// Its tag, if it has one.
    #[default]
    Tag,
    /// The first of its keys, if it has any.
    Key,
    /// There is none.
    None,
}

/// Which user properties become extensions: in a configuration file `all`, or `only: [a, b]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Properties {
    /// All.
    #[default]
    All,
    /// Those with these names; an empty list is none.
    Only(Vec<String>),
}

/// What becomes of a message that claims to be a CloudEvent and is none, or whose body is not
/// compressed as it says.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OnInvalid {
    /// It is delivered as any other message, with the body as it came.
    #[default]
    Wrap,
    /// It is handed to the engine as rejected: dead-lettered, or what else the pipeline does with
    /// rejected events.
    Reject,
}
