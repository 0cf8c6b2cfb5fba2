use std::{borrow::Cow, fmt};

use super::Str;
use crate::{Error, ErrorKind};

/// Why something is not a valid CloudEvent: which attribute, and what is wrong with it.
///
/// The text names the attribute and the rule, never the value, so it can go into logs. It converts
/// into [`Error`] of kind [`Rejected`](ErrorKind::Rejected): the same input fails the same way
/// again.
///
/// ```
/// use eventlane::Event;
///
/// let error = Event::builder().id("1").source("/lamp").build().unwrap_err();
/// assert_eq!(error.attribute(), Some("type"));
/// assert_eq!(error.to_string(), "attribute \"type\": is required and must not be empty");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", Subject(attribute.as_deref()))]
pub struct InvalidEvent {
    attribute: Option<Str>,
    reason: Cow<'static, str>,
}

impl InvalidEvent {
    pub(crate) fn of(name: &str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            attribute: Some(name.into()),
            reason: reason.into(),
        }
    }

    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            attribute: None,
            reason: reason.into(),
        }
    }

    /// The same as the fault of one event of a batch.
    pub(crate) fn within(self, at: usize) -> Self {
        Self {
            reason: format!("{} (event {at} of the batch)", self.reason).into(),
            ..self
        }
    }

    /// The attribute at fault, by its CloudEvents name; `None` if it is the message as a whole or
    /// its data. The name is as received: it may be anything.
    pub fn attribute(&self) -> Option<&str> {
        self.attribute.as_deref()
    }
}

impl From<InvalidEvent> for Error {
    fn from(invalid: InvalidEvent) -> Self {
        Self::new(ErrorKind::Rejected, "check CloudEvent", invalid.to_string()).with_source(invalid)
    }
}

/// The attribute's name, escaped and cut short: it may come from a remote.
struct Subject<'a>(Option<&'a str>);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 64;
        let Some(name) = self.0 else { return Ok(()) };
        match name.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "attribute {:?}…: ", &name[..end]),
            None => write!(f, "attribute {name:?}: "),
        }
    }
}
