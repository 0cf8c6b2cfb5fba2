//! How records become events.

use eventlane::{Error, ErrorKind, Event, Result};
use serde::{Deserialize, Serialize};

/// How records become events; see [`convert`](crate::convert).
///
/// ```
/// use eventlane_kafka::{EventConfig, HeaderExtensions, KeyType, OnInvalid};
///
/// let event = EventConfig::new()
///     .with_source("https://shop.example/{topic}")
///     .with_key_type(KeyType::Int)
///     .with_headers(HeaderExtensions::Only(vec!["tenant".to_owned()]))
///     .with_on_invalid(OnInvalid::Reject);
/// assert_eq!(event.ty, "dev.knative.kafka.event");
/// ```
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EventConfig {
    /// `NS` of the source `/apis/v1/namespaces/NS/kafkasources/NAME#TOPIC`. Default `default`.
    pub namespace: String,
    /// `NAME` of it. Default `eventlane`.
    pub name: String,
    /// A source of your own instead: a URI reference. `{topic}` in it stands for the topic; without
    /// that, `#TOPIC` is appended, since ids are unique only within a topic.
    pub source: Option<String>,
    /// The type of records that are no CloudEvents. Default `dev.knative.kafka.event`.
    #[serde(rename = "type")]
    pub ty: String,
    /// What the record key is, for the attributes `key` and `partitionkey`. Default: text.
    pub key_type: KeyType,
    /// Which attributes say where the record was. Default: topic, partition and offset.
    pub position: PositionExtensions,
    /// Which headers become attributes. Default: all.
    pub headers: HeaderExtensions,
    /// What becomes of a record that claims to be a CloudEvent and is not. Default: it is wrapped.
    pub on_invalid: OnInvalid,
}

impl Default for EventConfig {
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            name: "eventlane".to_owned(),
            source: None,
            ty: "dev.knative.kafka.event".to_owned(),
            key_type: KeyType::default(),
            position: PositionExtensions::default(),
            headers: HeaderExtensions::default(),
            on_invalid: OnInvalid::default(),
        }
    }
}

impl EventConfig {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets namespace and name, as those of a Knative `KafkaSource`.
    #[must_use]
    pub fn with_name(mut self, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        (self.namespace, self.name) = (namespace.into(), name.into());
        self
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

    /// Sets what the record key is.
    #[must_use]
    pub fn with_key_type(mut self, key_type: KeyType) -> Self {
        self.key_type = key_type;
        self
    }

    /// Sets which attributes say where the record was.
    #[must_use]
    pub fn with_position(mut self, position: PositionExtensions) -> Self {
        self.position = position;
        self
    }

    /// Sets which headers become attributes.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderExtensions) -> Self {
        self.headers = headers;
        self
    }

    /// Sets what becomes of a record that claims to be a CloudEvent and is not.
    #[must_use]
    pub fn with_on_invalid(mut self, on_invalid: OnInvalid) -> Self {
        self.on_invalid = on_invalid;
        self
    }

    /// The source of the events of a topic.
    /// Made once for each topic, not for each record.
    pub(crate) fn source_of(&self, topic: &str) -> String {
        match &self.source {
            Some(source) if source.contains("{topic}") => source.replace("{topic}", topic),
            Some(source) => format!("{source}#{topic}"),
            None => {
                let Self {
                    namespace, name, ..
                } = self;
                format!("/apis/v1/namespaces/{namespace}/kafkasources/{name}#{topic}")
            }
        }
    }

    /// Whether an event can be made with these settings at all.
    ///
    /// # Errors
    /// `Config` if source or type would be none that CloudEvents allows. Else every record would
    /// fail.
    pub(crate) fn validate(&self) -> Result<()> {
        // Names of topics have only letters, digits and `._-`, so what holds for one holds for all.
        let sample = Event::builder()
            .id("0")
            .source(self.source_of("t"))
            .ty(self.ty.as_str());
        match sample.build() {
            Ok(_) => Ok(()),
            Err(error) => {
                let message = format!("events would be invalid: {error}");
                Err(Error::new(ErrorKind::Config, "configure Kafka", message))
            }
        }
    }
}

/// What a record key is. A key that is empty or absent becomes no attribute.
///
/// Concerns the attributes only. What is kept in order goes by the key's bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeyType {
    /// UTF-8 text. What is not becomes replacement characters.
    #[default]
    String,
    /// Four bytes, a big-endian number; anything else is text.
    Int,
    /// Four or eight bytes, a big-endian IEEE 754 number; anything else is text.
    Float,
    /// Bytes; base64 over HTTP.
    ByteArray,
}

/// Which attributes say where a record was. Each is one more HTTP header.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PositionExtensions {
    /// None: `id`, `subject` and `source` say it, too.
    None,
    /// `knativekafkapartition` and `knativekafkaoffset`, as Knative's KafkaSource.
    Knative,
    /// Those, and `kafkatopic`.
    #[default]
    All,
}

/// Which record headers become attributes, as `kafkaheader<name>`. `content-type`, `traceparent`
/// and `tracestate` are understood whatever this says.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HeaderExtensions {
    /// All.
    #[default]
    All,
    /// None.
    None,
    /// Those with these names, in any case.
    Only(Vec<String>),
}

/// What becomes of a record that claims to be a CloudEvent (a `ce_specversion` header, or a content
/// type `application/cloudevents…`) and is not.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OnInvalid {
    /// It is delivered like a record that makes no such claim.
    #[default]
    Wrap,
    /// It is handed to the engine as rejected: dead-lettered, or what else the pipeline does with
    /// rejected events.
    Reject,
    /// The pipeline ends with an error. Nothing behind the record in its partition is delivered.
    Stop,
}
