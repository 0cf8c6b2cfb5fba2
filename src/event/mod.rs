//! CloudEvents 1.0.2: the event, and its formats and bindings.
//!
//! * An [`Event`] is always valid: built by [`EventBuilder`] or read by a codec, it has passed the
//!   same checks (`spec.md` §3). What breaks a rule is an [`InvalidEvent`], never a guess.
//! * **Values pass through as they came.** URIs, times and content types are checked and not
//!   normalised; [`Data`] is kept byte for byte.
//! * Codecs: [`json`] (one event, batches), [`http`] (binary, structured, batched) and [`headers`]
//!   (`ce_`, for Kafka and RocketMQ). Nothing that a remote sends makes them panic, recurse or take
//!   more than linear time.
//! * Bounds beyond the specification's: a name has at most 255 characters, an event at most 1000
//!   extensions.
//!
//! With the feature `cloudevents-sdk`, events convert to and from that crate's by `TryFrom`.
//!
//! ```
//! use eventlane::event::{Data, Event, json};
//!
//! let event = Event::builder()
//!     .id("42")
//!     .source("/shop/7")
//!     .ty("com.example.order.placed")
//!     .data_content_type("application/json")
//!     .extension("partitionkey", "customer-9")
//!     .data(Data::json(r#"{"total": 1.10}"#)?)
//!     .build()?;
//!
//! let mut out = Vec::new();
//! json::write(&event, &mut out);
//! assert!(out.ends_with(br#""data":{"total": 1.10}}"#));
//! assert_eq!(json::read(&out.into())?, event);
//! # Ok::<(), eventlane::event::InvalidEvent>(())
//! ```

use std::{fmt, sync::Arc};

use smallvec::SmallVec;

mod builder;
mod check;
mod data;
mod draft;
mod error;
pub mod headers;
pub mod http;
pub mod json;
mod media_type;
#[cfg(feature = "cloudevents-sdk")]
mod sdk;
mod timestamp;
mod value;

pub use builder::EventBuilder;
pub use data::Data;
pub use error::InvalidEvent;
pub use timestamp::Timestamp;
pub use value::Value;

/// The text of attributes: short ones inline, static ones as they are, others shared.
pub type Str = smol_str::SmolStr;

/// A CloudEvent, always valid. Cloning is cheap: the content is shared until changed.
///
/// Two events are equal if their attributes and the bytes of their data are.
#[derive(Clone, PartialEq, Eq)]
pub struct Event(Arc<Inner>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Inner {
    id: Str,
    source: Str,
    ty: Str,
    subject: Option<Str>,
    time: Option<Timestamp>,
    datacontenttype: Option<Str>,
    dataschema: Option<Str>,
    /// Sorted by name, each name once.
    extensions: SmallVec<[(Str, Value); 6]>,
    data: Option<Data>,
}

impl Event {
    /// Begins an event.
    pub fn builder() -> EventBuilder {
        EventBuilder::default()
    }

    fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Identifies the event among those of its [`source`](Self::source).
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The context in which it happened.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The `type` attribute.
    pub fn ty(&self) -> &str {
        &self.0.ty
    }

    /// What it is about, within the source.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// When it happened.
    pub fn time(&self) -> Option<&Timestamp> {
        self.0.time.as_ref()
    }

    /// The media type of the data. May be there without data.
    pub fn data_content_type(&self) -> Option<&str> {
        self.0.datacontenttype.as_deref()
    }

    /// The schema that the data follows.
    pub fn data_schema(&self) -> Option<&str> {
        self.0.dataschema.as_deref()
    }

    /// An extension attribute.
    pub fn extension(&self, name: &str) -> Option<&Value> {
        let at = self.0.find(name).ok()?;
        self.0.extensions.get(at).map(|(_, value)| value)
    }

    /// All extension attributes, sorted by name.
    pub fn extensions(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0
            .extensions
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// What it carries. An event without data is not the same as one with empty data.
    pub fn data(&self) -> Option<&Data> {
        self.0.data.as_ref()
    }

    /// How many bytes of memory it holds, about: what budgets count. Text and data that are shared
    /// with other events count in full.
    pub fn size(&self) -> usize {
        const FIXED: usize = size_of::<Inner>() + 2 * size_of::<usize>();
        let inner = &*self.0;
        let required = [&inner.id, &inner.source, &inner.ty];
        let optional = [&inner.subject, &inner.datacontenttype, &inner.dataschema];
        let text = required
            .into_iter()
            .chain(optional.into_iter().flatten())
            .map(heap_size);
        let extensions = inner
            .extensions
            .iter()
            .map(|(name, value)| heap_size(name) + value.heap_size());
        let spilled = match inner.extensions.spilled() {
            true => inner.extensions.capacity() * size_of::<(Str, Value)>(),
            false => 0,
        };
        FIXED
            + text.sum::<usize>()
            + extensions.sum::<usize>()
            + spilled
            + inner.time.as_ref().map_or(0, Timestamp::heap_size)
            + inner.data.as_ref().map_or(0, Data::len)
    }

    /// The event with an extension attribute added or replaced. Other clones of it don't change.
    ///
    /// # Errors
    /// If the name or the value is not allowed.
    pub fn with_extension(
        mut self,
        name: impl Into<Str>,
        value: impl Into<Value>,
    ) -> Result<Self, InvalidEvent> {
        let (name, value) = (name.into(), value.into());
        check_extension(&name, &value)?;
        let inner = Arc::make_mut(&mut self.0);
        match inner.find(&name) {
            Ok(at) => inner.extensions[at].1 = value,
            Err(at) => {
                inner.extensions.insert(at, (name, value));
                check_extension_count(inner.extensions.len())?;
            }
        }
        Ok(self)
    }

    /// The content type where data stands alone, in binary modes: data of a JSON event without one
    /// SHOULD become `application/json` (JSON format §3.1).
    pub(crate) fn wire_content_type(&self) -> Option<&str> {
        let implied = self
            .data()
            .is_some_and(Data::is_json)
            .then_some("application/json");
        self.data_content_type().or(implied)
    }
}

impl Inner {
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.extensions
            .binary_search_by(|(other, _)| other.as_str().cmp(name))
    }

    fn check(&self) -> Result<(), InvalidEvent> {
        use check::{media_type, optional, required, string, uri_reference};
        let rule = |name: &str, result: check::Check| {
            result.map_err(|reason| InvalidEvent::of(name, reason))
        };
        rule("id", required(&self.id, string))?;
        rule("source", check::source(&self.source))?;
        rule("type", required(&self.ty, string))?;
        rule("subject", optional(self.subject.as_deref(), string))?;
        rule(
            "datacontenttype",
            optional(self.datacontenttype.as_deref(), media_type),
        )?;
        rule(
            "dataschema",
            optional(self.dataschema.as_deref(), uri_reference),
        )?;
        check_extension_count(self.extensions.len())?;
        self.extensions
            .iter()
            .try_for_each(|(name, value)| check_extension(name, value))
    }
}

fn check_extension_count(count: usize) -> Result<(), InvalidEvent> {
    check::extension_count(count).map_err(InvalidEvent::new)
}

fn check_extension(name: &str, value: &Value) -> Result<(), InvalidEvent> {
    check::extension_name(name)
        .and_then(|()| value.check())
        .map_err(|reason| InvalidEvent::of(name, reason))
}

/// Shows what is set, under the specification's names, and the start of the data.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Event");
        shown
            .field("id", &self.id())
            .field("source", &self.source())
            .field("type", &self.ty());
        let optional = [
            ("subject", self.subject()),
            ("datacontenttype", self.data_content_type()),
            ("dataschema", self.data_schema()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                shown.field(name, &value);
            }
        }
        if let Some(time) = self.time() {
            shown.field("time", &time.as_str());
        }
        for (name, value) in self.extensions() {
            shown.field(name, value);
        }
        if let Some(data) = self.data() {
            shown.field("data", data);
        }
        shown.finish()
    }
}

fn heap_size(text: &Str) -> usize {
    if text.is_heap_allocated() {
        text.len() + 2 * size_of::<usize>()
    } else {
        0
    }
}
