//! What is kept of an event that was given up, and the trait of where it goes.
//!
//! The marks follow Knative Eventing's `knativeerror*` attributes, so that its tools can read them.

use std::borrow::Cow;

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::Failure;
use crate::{
    Event, Result,
    event::{Timestamp, Value},
    source::Receipt,
};

/// An event that was given up, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event as it was to be delivered.
    pub event: Event,
    /// The last failure.
    pub failure: Failure,
    /// Where it did not get to.
    pub destination: String,
    /// How often it was tried; 0 if never (an invalid message).
    pub attempts: u32,
    /// How often the broker had handed it out by then; 1 if it doesn't say.
    pub deliveries: u32,
    /// When the first attempt failed.
    pub first_failure: Timestamp,
    /// The delivery that it was, for a sink that has the broker itself make the letter.
    pub receipt: Option<Receipt>,
}

/// Extension attributes that a letter sets, or takes away if it has no value for them: an event may
/// have been one before.
const MARKS: [&str; 8] = [
    "knativeerrordest",
    "knativeerrorcode",
    "knativeerrordata",
    "eventlaneattempts",
    "eventlanedeliveries",
    "eventlanefirstfailed",
    "eventlanemessage",
    "eventlanereason",
];

/// How much of a response's body is kept, before base64: Knative's rule.
const KEPT_BODY: usize = 1024;

/// The longest text, in bytes: it may become a header.
const LONGEST_TEXT: usize = 1024;

impl DeadLetter {
    /// An event that was given up after its first attempt, just now.
    pub fn new(event: Event, failure: Failure, destination: impl Into<String>) -> Self {
        Self {
            event,
            failure,
            destination: destination.into(),
            attempts: 1,
            deliveries: 1,
            first_failure: Timestamp::now(),
            receipt: None,
        }
    }

    /// Sets [`attempts`](Self::attempts) and [`first_failure`](Self::first_failure).
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32, first_failure: Timestamp) -> Self {
        self.attempts = attempts;
        self.first_failure = first_failure;
        self
    }

    /// The event with extension attributes that say what happened. Knative's, where it has them:
    ///
    /// | attribute | type | value |
    /// |---|---|---|
    /// | `knativeerrordest` | String | the [destination](Self::destination) |
    /// | `knativeerrorcode` | Integer | the HTTP status, if there was a response |
    /// | `knativeerrordata` | String | base64 of the response's first 1024 bytes, if there was one |
    /// | `eventlaneattempts` | Integer | how often it was tried |
    /// | `eventlanedeliveries` | Integer | how often the broker had handed it out |
    /// | `eventlanefirstfailed` | Timestamp | when the first attempt failed |
    /// | `eventlanereason` | String | the [reason](Failure::reason) of the last failure |
    /// | `eventlanemessage` | String | its [message](Failure::message) |
    ///
    /// and those that the destination asked for in `kne-` headers ([`Failure::attributes`]), which
    /// can't replace the ones above. Characters that CloudEvents doesn't allow become U+FFFD; text
    /// over 1024 bytes is cut short.
    pub fn to_event(&self) -> Event {
        let mut event = unmarked(&self.event);
        let mut set = |name: &str, value: Value| {
            // Fails for a name that the destination made up; then it goes without.
            if let Ok(marked) = event.clone().with_extension(name, value) {
                event = marked;
            }
        };
        let failure = &self.failure;
        for (name, value) in &failure.attributes {
            if !MARKS.contains(&name.as_str()) {
                set(name, text(value));
            }
        }
        set("knativeerrordest", text(&self.destination));
        if let Some(status) = failure.status {
            let body = failure.body.get(..KEPT_BODY).unwrap_or(&failure.body);
            set("knativeerrorcode", Value::Integer(status.into()));
            set("knativeerrordata", BASE64_STANDARD.encode(body).into());
        }
        let attempts = i32::try_from(self.attempts).unwrap_or(i32::MAX);
        set("eventlaneattempts", Value::Integer(attempts));
        let deliveries = i32::try_from(self.deliveries).unwrap_or(i32::MAX);
        set("eventlanedeliveries", Value::Integer(deliveries));
        set(
            "eventlanefirstfailed",
            Value::Timestamp(self.first_failure.clone()),
        );
        set("eventlanereason", text(&failure.reason));
        set("eventlanemessage", text(&failure.message));
        event
    }
}

/// The event without the marks of an earlier letter.
fn unmarked(event: &Event) -> Event {
    if !MARKS.iter().any(|mark| event.extension(mark).is_some()) {
        return event.clone();
    }
    let without = copy(event, |name| !MARKS.contains(&name));
    let without = match event.data() {
        Some(data) => without.data(data.clone()),
        None => without,
    };
    without.build().unwrap_or_else(|_| event.clone())
}

/// The event without its data, and with those of its extension attributes that `keep` names.
pub(super) fn copy(event: &Event, keep: impl Fn(&str) -> bool) -> crate::event::EventBuilder {
    let mut copy = Event::builder()
        .id(event.id())
        .source(event.source())
        .ty(event.ty());
    if let Some(subject) = event.subject() {
        copy = copy.subject(subject);
    }
    if let Some(time) = event.time() {
        copy = copy.time(time.clone());
    }
    if let Some(media_type) = event.data_content_type() {
        copy = copy.data_content_type(media_type);
    }
    if let Some(schema) = event.data_schema() {
        copy = copy.data_schema(schema);
    }
    for (name, value) in event.extensions().filter(|(name, _)| keep(name)) {
        copy = copy.extension(name, value.clone());
    }
    copy
}

/// What CloudEvents allows in a String, and not too much of it.
fn text(text: &str) -> Value {
    let end = (0..=LONGEST_TEXT.min(text.len()))
        .rfind(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    let allowed = |c: char| {
        !c.is_control() && !matches!(c, '\u{fdd0}'..='\u{fdef}') && u32::from(c) & 0xfffe != 0xfffe
    };
    let clean = |c: char| {
        if allowed(c) {
            c
        } else {
            char::REPLACEMENT_CHARACTER
        }
    };
    let mut out: String = text[..end].chars().map(clean).collect();
    if end < text.len() {
        out.push('…');
    }
    out.into()
}

/// Keeps events that were given up.
///
/// The engine settles an event only after its letter was kept *durably*; as long as that fails it
/// holds the watermark and tries again. Cancellation: dropping the future leaves it open which
/// letters were kept; they are written again.
///
/// ```
/// use std::{borrow::Cow, sync::Mutex};
///
/// use eventlane::{Event, Result, sink::{DeadLetter, DeadLetterSink}};
///
/// /// For a test: keeps letters in memory, which is durable enough there.
/// #[derive(Default)]
/// struct Kept(Mutex<Vec<Event>>);
///
/// #[async_trait::async_trait]
/// impl DeadLetterSink for Kept {
///     async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>> {
///         let events = letters.iter().map(DeadLetter::to_event);
///         self.0.lock().unwrap().extend(events);
///         letters.iter().map(|_| Ok(())).collect()
///     }
///
///     fn destination(&self) -> Cow<'_, str> {
///         "memory".into()
///     }
/// }
/// ```
#[async_trait]
pub trait DeadLetterSink: Send + Sync {
    /// Keeps the letters, and says of each, in their order, whether it is kept durably now.
    ///
    /// A letter without an answer counts as not kept. Whatever fails is tried again, so an error's
    /// kind is for the log; its [`retry_after`](crate::Error::retry_after) is followed. A call that
    /// takes more than 30 s, or panics, has kept none.
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>>;

    /// Where they go, for logs, without secrets.
    fn destination(&self) -> Cow<'_, str>;
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::event::Data;

    fn event() -> crate::event::EventBuilder {
        Event::builder()
            .id("1")
            .source("/test")
            .ty("test")
            .extension("partitionkey", "k")
    }

    fn mark(event: &Event, name: &str) -> Option<String> {
        event.extension(name).map(ToString::to_string)
    }

    fn failure() -> Failure {
        let mut failure = Failure::new("status_503", "POST http://a answered 503");
        failure.status = Some(503);
        failure.body = vec![b'x'; 1025].into();
        failure.attributes = vec![
            ("tenant".into(), "a\u{0}b\u{ffff}".into()),
            ("Bad-Name".into(), "x".into()),
            ("id".into(), "x".into()),
            ("knativeerrordest".into(), "http://attacker".into()),
            ("eventlaneattempts".into(), "0".into()),
        ];
        failure
    }

    #[test]
    fn says_what_happened() {
        let first = Timestamp::from_unix_millis(0);
        let letter = DeadLetter::new(event().build().unwrap(), failure(), "http://a")
            .with_attempts(10, first.clone());
        let event = letter.to_event();
        assert_eq!(mark(&event, "knativeerrordest").unwrap(), "http://a");
        assert_eq!(
            event.extension("knativeerrorcode"),
            Some(&Value::Integer(503))
        );
        let data = BASE64_STANDARD
            .decode(mark(&event, "knativeerrordata").unwrap())
            .unwrap();
        assert_eq!(data, [b'x'; 1024]);
        assert_eq!(
            event.extension("eventlaneattempts"),
            Some(&Value::Integer(10))
        );
        assert_eq!(
            event.extension("eventlanedeliveries"),
            Some(&Value::Integer(1))
        );
        assert_eq!(
            event.extension("eventlanefirstfailed"),
            Some(&Value::Timestamp(first))
        );
        assert_eq!(mark(&event, "eventlanereason").unwrap(), "status_503");
        assert_eq!(
            mark(&event, "eventlanemessage").unwrap(),
            "POST http://a answered 503"
        );
        assert_eq!(mark(&event, "tenant").unwrap(), "a\u{fffd}b\u{fffd}");
        assert_eq!(mark(&event, "partitionkey").unwrap(), "k");
        assert_eq!((event.id(), event.extensions().len()), ("1", 10));
    }

    #[test]
    fn marks_of_an_earlier_letter_are_gone() {
        let data = Data::json("{}").unwrap();
        let before =
            DeadLetter::new(event().data(data).build().unwrap(), failure(), "http://a").to_event();
        let after =
            DeadLetter::new(before, Failure::new("timeout", "too slow"), "http://b").to_event();
        assert_eq!(mark(&after, "knativeerrorcode"), None);
        assert_eq!(mark(&after, "knativeerrordata"), None);
        assert_eq!(mark(&after, "knativeerrordest").unwrap(), "http://b");
        assert_eq!(mark(&after, "tenant").unwrap(), "a\u{fffd}b\u{fffd}");
        assert_eq!(after.data().unwrap().as_bytes(), "{}");
    }

    #[test]
    fn a_response_without_body_has_empty_data() {
        let mut failure = Failure::new("status_500", "");
        failure.status = Some(500);
        let event = DeadLetter::new(event().build().unwrap(), failure, "").to_event();
        assert_eq!(mark(&event, "knativeerrordata").unwrap(), "");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let failure = Failure::new("x", format!("a{}", "ü".repeat(1024)));
        let event = DeadLetter::new(event().build().unwrap(), failure, "").to_event();
        let message = mark(&event, "eventlanemessage").unwrap();
        assert_eq!(message, format!("a{}…", "ü".repeat(511)));
    }

    proptest! {
        #[test]
        fn whatever_a_destination_says_makes_a_valid_event(
            reason: String,
            message in "(?s).{0,1100}",
            destination: String,
            body in vec(any::<u8>(), 0..1100),
            status in option::of(any::<u16>()),
            attributes in vec(("[a-z0-9]{0,260}|(?s).{0,9}|eventlanereason|id|data", any::<String>()), 0..6),
        ) {
            let mut failure = Failure::new(reason, message);
            (failure.status, failure.body) = (status, body.into());
            failure.attributes = attributes;
            let letter = DeadLetter::new(event().build().unwrap(), failure, destination);
            let mut out = Vec::new();
            crate::event::json::write(&letter.to_event(), &mut out);
            let read = crate::event::json::read(&out.into());
            prop_assert!(read.is_ok(), "{read:?}");
        }
    }
}
