use super::{Data, Event, Inner, InvalidEvent, Timestamp, Value};

/// An event as a codec takes it from the wire: attributes come in any order and under any name,
/// and none may come twice.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    inner: Inner,
    version: Option<bool>,
}

const TWICE: &str = "is given twice";

impl Draft {
    /// An attribute that has a value. `name` is what the wire says.
    pub(crate) fn set(&mut self, name: &str, value: Value) -> Result<(), InvalidEvent> {
        let fail = |reason: &'static str| Err(InvalidEvent::attribute_error(name, reason));
        let optional = match name {
            "specversion" | "id" | "source" | "type" | "time" => None,
            "subject" => Some(&mut self.inner.subject),
            "datacontenttype" => Some(&mut self.inner.datacontenttype),
            "dataschema" => Some(&mut self.inner.dataschema),
            _ => {
                self.inner.extensions.push((name.into(), value));
                return Ok(());
            }
        };
        let Value::String(text) = value else {
            return fail("must be a string");
        };
        if let Some(slot) = optional {
            return if slot.replace(text).is_some() {
                fail(TWICE)
            } else {
                Ok(())
            };
        }
        let required = match name {
            "id" => &mut self.inner.id,
            "source" => &mut self.inner.source,
            "type" => &mut self.inner.ty,
            "time" => {
                let Some(time) = Timestamp::new(&text) else {
                    return fail("is not an RFC 3339 timestamp");
                };
                return if self.inner.time.replace(time).is_some() {
                    fail(TWICE)
                } else {
                    Ok(())
                };
            }
            _ => {
                let twice = self.version.replace(text == "1.0").is_some();
                return if twice { fail(TWICE) } else { Ok(()) };
            }
        };
        // Empty stands for unset: it is no legal value of these, as `check` will say.
        if required.is_empty() {
            *required = text;
            Ok(())
        } else {
            fail(TWICE)
        }
    }

    pub(crate) fn content_type(&self) -> Option<&str> {
        self.inner.datacontenttype.as_deref()
    }

    pub(crate) fn finish(mut self, data: Option<Data>) -> Result<Event, InvalidEvent> {
        let version = |reason| Err(InvalidEvent::attribute_error("specversion", reason));
        match self.version {
            Some(true) => {}
            Some(false) => return version("only version 1.0 of CloudEvents is supported"),
            None => return version("is required and must not be empty"),
        }
        let extensions = &mut self.inner.extensions;
        extensions.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = extensions.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(InvalidEvent::attribute_error(&pair[0].0, TWICE));
        }
        self.inner.data = data;
        self.inner.check()?;
        Ok(Event::new(self.inner))
    }
}
