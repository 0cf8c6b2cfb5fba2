use super::{Data, Event, Inner, InvalidEvent, Str, Timestamp, Value};

/// Puts an [`Event`] together. `id`, `source` and `ty` are required; nothing is invented.
///
/// A setter called again replaces what it set before, an extension of the same name included.
/// Nothing is checked before [`build`](Self::build).
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EventBuilder(
    // Passing the builder on from call to call moves a pointer, not hundreds of bytes.
    Box<Inner>,
);

impl EventBuilder {
    /// Identifies the event among those of its source. Required.
    pub fn id(mut self, id: impl Into<Str>) -> Self {
        self.0.id = id.into();
        self
    }

    /// The context in which it happened: a URI or relative reference. Required.
    pub fn source(mut self, source: impl Into<Str>) -> Self {
        self.0.source = source.into();
        self
    }

    /// The `type` attribute, by convention beginning with a reversed domain name. Required.
    pub fn ty(mut self, ty: impl Into<Str>) -> Self {
        self.0.ty = ty.into();
        self
    }

    /// What it is about, within the source.
    pub fn subject(mut self, subject: impl Into<Str>) -> Self {
        self.0.subject = Some(subject.into());
        self
    }

    /// When it happened.
    pub fn time(mut self, time: Timestamp) -> Self {
        self.0.time = Some(time);
        self
    }

    /// The media type of the data.
    pub fn data_content_type(mut self, media_type: impl Into<Str>) -> Self {
        self.0.datacontenttype = Some(media_type.into());
        self
    }

    /// The schema that the data follows: a URI.
    pub fn data_schema(mut self, uri: impl Into<Str>) -> Self {
        self.0.dataschema = Some(uri.into());
        self
    }

    /// An extension attribute. The name has only the characters a–z and 0–9 and is not one of the
    /// specification's own.
    pub fn extension(mut self, name: impl Into<Str>, value: impl Into<Value>) -> Self {
        self.0.extensions.push((name.into(), value.into()));
        self
    }

    /// What the event carries.
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
        if extensions.len() > 1 {
            // Stable, so the last of equal names is the one that was set last.
            extensions.sort_by(|a, b| a.0.cmp(&b.0));
            extensions.reverse();
            extensions.dedup_by(|a, b| a.0 == b.0);
            extensions.reverse();
        }
        self.0.check()?;
        Ok(Event::new(*self.0))
    }
}
