//! The error of every source, sink and connector.

use std::{error::Error as StdError, fmt, time::Duration};

/// A `Result` whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whatever the other side says: what it says is waited for, and added to instants.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

type BoxError = Box<dyn StdError + Send + Sync>;

/// What the engine decides on. Each connector maps its broker's codes to a kind once, in its
/// `error.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration can't work; nothing was or will be consumed. Never retried.
    Config,
    /// Credentials are missing, wrong or lack a permission. Never retried by the engine.
    Unauthorized,
    /// The other side can't be reached or is not ready; retried.
    /// A time-out belongs here too, though it leaves it open whether the request had an effect.
    Unavailable,
    /// The other side asks for less; retried after [`Error::retry_after`] or a back-off.
    Throttled,
    /// The other side refuses this very request, and will again.
    Rejected,
    /// What is settled belongs to somebody else by now: a lost partition, an expired lease. The
    /// message will be delivered again, by whoever owns it.
    Fenced,
    /// The source can't do what was asked: see [`Capability`](crate::Capability).
    Unsupported,
    /// Anything else; a defect until shown otherwise.
    Unexpected,
}

impl ErrorKind {
    /// Whether trying again later may help without anybody mending anything: `Unavailable` and
    /// `Throttled`.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable | Self::Throttled)
    }

    /// The kind as a metric label or log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::Rejected => "rejected",
            Self::Fenced => "fenced",
            Self::Unsupported => "unsupported",
            Self::Unexpected => "unexpected",
        }
    }
}

/// An error: its kind, what was being done, on what, and how long to wait if the other side said
/// so.
///
/// `Display` is one line that says what to do where that is known; `Debug` shows the whole. Neither
/// ever holds a secret: whoever builds an error must not put one into its message or context.
///
/// ```
/// use eventlane::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Unavailable, "fetch metadata", "no broker answered within 5 s")
///     .with_context("broker", "127.0.0.1:9092");
/// assert_eq!(
///     error.to_string(),
///     "fetch metadata: no broker answered within 5 s (broker: 127.0.0.1:9092)",
/// );
/// assert!(error.kind().is_transient());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    context: Vec<(&'static str, String)>,
    retry_after: Option<Duration>,
    source: Option<BoxError>,
}

impl Error {
    /// An error of `kind` that happened while doing `operation` (a verb phrase, such as
    /// `"commit offsets"`).
    ///
    /// The message is one line for people and holds no secret; what varies (a broker, a topic)
    /// belongs into the [context](Self::with_context), so that logs can be grouped by it.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            message: message.into(),
            context: Vec::new(),
            retry_after: None,
            source: None,
        }))
    }

    /// Adds what the operation was about: a broker, topic, partition, URL.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Adds how long the other side asked to wait: a day at most, whatever it says.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after.min(LONGEST_WAIT));
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the engine decides on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// How long the other side asked to wait, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.message)?;
        for (at, (name, value)) in self.0.context.iter().enumerate() {
            f.write_str(if at == 0 { " (" } else { ", " })?;
            write!(f, "{name}: {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("message", &self.0.message)
            .field("context", &self.0.context)
            .field("retry_after", &self.0.retry_after)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}
