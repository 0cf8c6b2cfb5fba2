use std::sync::Arc;

use super::{Data, Event, Inner, InvalidEvent, Str, Timestamp, Value};

/// Puts an [`Event`] together. `id`, `source` and `ty` are required; nothing is invented.
///
/// A setter called again replaces what it set before, an extension of the same name included.
/// Nothing is checked before [`build`](Self::build).
///
/// To change an event, begin with it:
///
/// ```
/// use eventlane::event::{Event, EventBuilder};
///
/// let event = Event::builder().id("1").source("/s").ty("t").build()?;
/// let renamed = EventBuilder::from(event).ty("com.example.t").build()?;
/// assert_eq!((renamed.id(), renamed.ty()), ("1", "com.example.t"));
/// # Ok::<(), eventlane::event::InvalidEvent>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EventBuilder(Box<Inner>);

impl EventBuilder {
    /// Identifies the event among those of its source. Required.
    #[inline]
    pub fn id(mut self, id: impl Into<Str>) -> Self {
        self.0.id = id.into();
        self
    }

    /// The context in which it happened: a URI or relative reference. Required.
    #[inline]
    pub fn source(mut self, source: impl Into<Str>) -> Self {
        self.0.source = source.into();
        self
    }

    /// The `type` attribute, by convention beginning with a reversed domain name. Required.
    #[inline]
    pub fn ty(mut self, ty: impl Into<Str>) -> Self {
        self.0.ty = ty.into();
        self
    }

    /// What it is about, within the source.
    #[inline]
    pub fn subject(mut self, subject: impl Into<Str>) -> Self {
        self.0.subject = Some(subject.into());
        self
    }

    /// When it happened.
    #[inline]
    pub fn time(mut self, time: Timestamp) -> Self {
        self.0.time = Some(time);
        self
    }

    /// The media type of the data.
    #[inline]
    pub fn data_content_type(mut self, media_type: impl Into<Str>) -> Self {
        self.0.datacontenttype = Some(media_type.into());
        self
    }

    /// The schema that the data follows: a URI.
    #[inline]
    pub fn data_schema(mut self, uri: impl Into<Str>) -> Self {
        self.0.dataschema = Some(uri.into());
        self
    }

    /// An extension attribute. The name has only the characters a–z and 0–9 and is not one of the
    /// specification's own.
    #[inline]
    pub fn extension(mut self, name: impl Into<Str>, value: impl Into<Value>) -> Self {
        self.0.extensions.push((name.into(), value.into()));
        self
    }

    /// What the event carries.
    #[inline]
    pub fn data(mut self, data: impl Into<Data>) -> Self {
        self.0.data = Some(data.into());
        self
    }

    /// Checks everything against CloudEvents 1.0.2 §3.
    ///
    /// # Errors
    /// If a required attribute is missing or empty, a value is not of its attribute's type, or an
    /// extension's name is not allowed. `dataschema` is allowed to be a relative reference, against
    /// the letter of the specification: well-known producers send `#`.
    pub fn build(mut self) -> Result<Event, InvalidEvent> {
        let extensions = &mut self.0.extensions;
        // Stable, so the last of equal names is the one that was set last.
        extensions.sort_by(|a, b| a.0.cmp(&b.0));
        extensions.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                std::mem::swap(next, kept);
            }
            same
        });
        self.0.check()?;
        Ok(Event::new(*self.0))
    }
}

impl From<Event> for EventBuilder {
    fn from(event: Event) -> Self {
        Self(Box::new(Arc::unwrap_or_clone(event.0)))
    }
}
