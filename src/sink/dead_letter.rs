use std::borrow::Cow;

use async_trait::async_trait;

use super::Failure;
use crate::{Event, Result, event::Timestamp};

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
    /// When the first attempt failed.
    pub first_failure: Timestamp,
}

/// Keeps events that were given up.
///
/// The engine settles an event only after its letter was kept *durably*; as long as that fails it holds the watermark and
/// tries again. Cancellation: dropping the future leaves it open which letters were kept; they are written again.
#[async_trait]
pub trait DeadLetterSink: Send + Sync {
    /// Keeps the letters, and says of each, in their order, whether it is kept durably now.
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>>;

    /// Where they go, for logs, without secrets.
    fn destination(&self) -> Cow<'_, str>;
}
