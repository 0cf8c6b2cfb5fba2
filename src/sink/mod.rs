//! Where events go.

use std::{borrow::Cow, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use smallvec::SmallVec;

use crate::Event;

mod dead_letter;
mod file;
mod function;
#[cfg(feature = "http")]
pub mod http;

#[cfg(feature = "http")]
pub use self::http::{HttpSink, HttpSinkConfig};
pub use dead_letter::{DeadLetter, DeadLetterSink};
pub use file::{DeadLetters, FileDeadLetter};
pub use function::{FunctionSink, IntoOutcome, IntoVerdict};

/// Takes events.
///
/// * **Order.** The engine never has two events of one lane in two concurrent calls. Within a
///   batch, events of a lane are in order.
/// * **Cancellation.** The engine drops the future at the attempt's timeout, at the deadline of a
///   revocation and at a hard stop. Whether the events were accepted is then unknown: they are sent
///   again.
/// * **Panics** are caught and count as a failed attempt.
/// * **Time.** An attempt's timeout is the engine's ([`Retry::timeout`](crate::Retry)).
#[async_trait]
pub trait Sink: Send + Sync {
    /// Sends a batch and says what became of each event.
    async fn send(&self, batch: Batch) -> Outcome;

    /// Whether a batch stands or falls as a whole. Decides how batches are composed: with
    /// [`Verdicts::PerEvent`] a batch holds at most one event of each lane, since a later one might
    /// be taken where an earlier one is not.
    fn verdicts(&self) -> Verdicts {
        Verdicts::Whole
    }

    /// The destination, for logs and dead letters, without secrets.
    fn destination(&self) -> Cow<'_, str>;
}

/// Events sent together. One event, unless batching is configured.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Never empty.
    pub events: SmallVec<[Event; 1]>,
    /// The attempt, from 1: the highest among the events.
    pub attempt: u32,
}

impl Batch {
    /// One event, tried for the first time.
    pub fn one(event: Event) -> Self {
        Self::new([event])
    }

    /// These events, at least one, tried for the first time.
    pub fn new(events: impl IntoIterator<Item = Event>) -> Self {
        Self {
            events: events.into_iter().collect(),
            attempt: 1,
        }
    }
}

/// What a sink says of a batch.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The same of every event.
    All(Verdict),
    /// Of each event, in the order of the batch. Events without a verdict count as
    /// [`Verdict::Retry`].
    Each(Vec<Verdict>),
}

/// Whether a sink answers for a batch or for each of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdicts {
    /// All or none of a batch is taken.
    Whole,
    /// Some events of a batch may be taken and others not.
    PerEvent,
}

/// What a sink says of one event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Taken. It will be settled.
    Delivered,
    /// Not now: try this event again. Counts as an attempt.
    Retry(Box<Failure>),
    /// The destination takes nothing from us at present, whatever the event: a rotated credential,
    /// a gateway that wants authentication. Not counted as an attempt; the engine holds everything
    /// and probes.
    Hold(Box<Failure>),
    /// This event will never be taken. Of a batch of several: one of them, and the engine finds out
    /// which.
    Reject(Box<Failure>),
    /// The batch is too large. Of a single event: rejected.
    TooLarge(Box<Failure>),
    /// The destination is gone for good (HTTP 410): stop.
    Stop(Box<Failure>),
}

impl Verdict {
    /// What went wrong, if anything.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Delivered => None,
            Self::Retry(failure)
            | Self::Hold(failure)
            | Self::Reject(failure)
            | Self::TooLarge(failure)
            | Self::Stop(failure) => Some(failure),
        }
    }
}

/// Why an event was not taken.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Failure {
    /// A short, fixed word for metrics: `timeout`, `connect`, `status_503`.
    pub reason: Cow<'static, str>,
    /// One line for people, without secrets.
    pub message: String,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The beginning of the response's body, at most 1 KiB.
    pub body: Bytes,
    /// How long the destination asked to be left alone. Rests the whole destination.
    pub retry_after: Option<Duration>,
    /// Attributes that the destination wants on the dead-lettered event (`kne-*` response headers,
    /// names without the prefix). Names that are no attribute names are left out.
    pub attributes: Vec<(String, String)>,
}

impl Failure {
    /// A failure with a reason and a message.
    pub fn new(reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
            ..Self::default()
        }
    }
}

fn _object_safe(_: &dyn Sink, _: &dyn DeadLetterSink) {}
