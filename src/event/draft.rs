//! An event that is being read. The one place where the codecs' rules meet: a name twice, a core
//! attribute of the wrong type, a `specversion` other than 1.0 or none at all.

use std::mem;

use super::{
    Data, Event, Inner, InvalidEvent, Timestamp, Value,
    check::{CORE, REQUIRED, VERSION},
};

/// An event as a codec takes it from the wire: attributes come in any order and under any name,
/// and none may come twice.
#[derive(Default)]
pub(crate) struct Draft {
    inner: Inner,
    /// Which of `CORE` have come, in its order.
    seen: [bool; CORE.len()],
}

const TWICE: &str = "is given twice";

impl Draft {
    /// An attribute that has a value. `name` is what the wire says.
    pub(crate) fn set(&mut self, name: &str, value: Value) -> Result<(), InvalidEvent> {
        let fail = |reason: &'static str| Err(InvalidEvent::of(name, reason));
        let Some(at) = CORE.iter().position(|core| *core == name) else {
            self.inner.extensions.push((name.into(), value));
            return Ok(());
        };
        if mem::replace(&mut self.seen[at], true) {
            return fail(TWICE);
        }
        let Value::String(text) = value else {
            return fail("must be a string");
        };
        let inner = &mut self.inner;
        match name {
            "id" => inner.id = text,
            "source" => inner.source = text,
            "type" => inner.ty = text,
            "subject" => inner.subject = Some(text),
            "datacontenttype" => inner.datacontenttype = Some(text),
            "dataschema" => inner.dataschema = Some(text),
            "time" => match Timestamp::new(&text) {
                Some(time) => inner.time = Some(time),
                None => return fail("is not an RFC 3339 timestamp"),
            },
            _ if text == "1.0" => {}
            _ => return fail(VERSION),
        }
        Ok(())
    }

    /// What `datacontenttype` has been so far.
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.inner.datacontenttype.as_deref()
    }

    /// The event, checked by the same rules as one that was built.
    ///
    /// # Errors
    /// If `specversion` is missing, an extension is given twice, or an attribute breaks a rule.
    pub(crate) fn finish(mut self, data: Option<Data>) -> Result<Event, InvalidEvent> {
        let [specversion, ..] = self.seen;
        if !specversion {
            return Err(InvalidEvent::of("specversion", REQUIRED));
        }
        let extensions = &mut self.inner.extensions;
        extensions.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = extensions.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(InvalidEvent::of(&pair[0].0, TWICE));
        }
        self.inner.data = data;
        self.inner.check()?;
        Ok(Event::new(self.inner))
    }
}
