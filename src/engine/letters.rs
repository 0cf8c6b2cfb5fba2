//! Events on their way to the dead letters.
//!
//!
//! Holds events between the end of their retries and the moment their letter is durable. Until then
//! they count as out: their lane waits, and the watermark does, too.
//!
//! * **Order.** Of a lane one letter at a time, the first one first, so that what is kept is never
//!   later than what is not.
//! * **Errors.** What was not kept waits for the retry delay (or longer, if the sink's error says
//!   so) and is written again, without a limit: giving up here would lose the event.
//! * **Cancellation.** Dropping a write leaves it open which letters were kept; all are written
//!   again. Duplicates of letters are possible, as of events.
//! * A sink that panics, or takes longer than [`LIMIT`], has kept none.

use std::{collections::VecDeque, panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::{Instant, timeout};

use super::{
    Retry,
    lanes::{InHand, Item},
};
use crate::{
    Error, ErrorKind, Result,
    event::Timestamp,
    sink::{DeadLetter, DeadLetterSink},
};

/// A call keeps at most so many letters: bounds what a failed call repeats.
const LETTERS: usize = 64;

/// How long a call may take: a sink ends its own attempts sooner, so that letters that were taken
/// are known to be.
const LIMIT: Duration = Duration::from_secs(30);

/// One write at a time; what comes meanwhile goes with the next one, so that a file is synced once
/// for many.
/// `waiting` is in the order in which letters are written.
pub(crate) struct Letters<'a> {
    sink: Option<&'a dyn DeadLetterSink>,
    waiting: VecDeque<InHand>,
    writing: Option<Writing<'a>>,
    failures: u32,
    not_before: Option<Instant>,
}

/// The call under way, and what it is about, in the order of its letters.
struct Writing<'a> {
    items: Vec<InHand>,
    call: BoxFuture<'a, Vec<Result<()>>>,
}

impl<'a> Letters<'a> {
    pub(crate) fn new(sink: Option<&'a dyn DeadLetterSink>) -> Self {
        Self {
            sink,
            waiting: VecDeque::new(),
            writing: None,
            failures: 0,
            not_before: None,
        }
    }

    /// Adds an event. Those of one lane come last one first, as everything that goes back.
    pub(crate) fn push(&mut self, item: InHand) {
        self.waiting.push_front(item);
    }

    /// Whether no event is in here.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.writing.is_none()
    }

    /// Whether any that `which` names is being written.
    pub(crate) fn writes(&self, which: impl FnMut(&InHand) -> bool) -> bool {
        let writing = self.writing.as_ref();
        writing.is_some_and(|writing| writing.items.iter().any(which))
    }

    /// When the oldest event that waits or is being written came in.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let writing = self.writing.iter().flat_map(|writing| &writing.items);
        let all = self.waiting.iter().chain(writing);
        all.map(|(_, item)| item.received).min()
    }

    /// Whether [`written`](Self::written) has something to wait for.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Begins to write what waits, if it is time. Returns when to come back.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        letter: impl Fn(&InHand) -> DeadLetter,
    ) -> Option<Instant> {
        if self.waiting.is_empty() || self.writing.is_some() {
            return None;
        }
        if let Some(at) = self.not_before
            && now < at
        {
            return Some(at);
        }
        let sink = self.sink?;
        // Of a lane only the first: a later one must not be kept where an earlier one is not.
        let mut items: Vec<InHand> = Vec::new();
        let mut rest = VecDeque::new();
        for item in self.waiting.drain(..) {
            if items.len() < LETTERS && items.iter().all(|(lane, _)| *lane != item.0) {
                items.push(item);
            } else {
                rest.push_back(item);
            }
        }
        self.waiting = rest;
        let letters: Vec<_> = items.iter().map(letter).collect();
        let call = async move {
            let failed = |why: &str| {
                let error = Error::new(ErrorKind::Unavailable, "write dead letters", why)
                    .with_context("to", sink.destination());
                vec![Err(error)]
            };
            let keep = AssertUnwindSafe(sink.keep(&letters)).catch_unwind();
            match timeout(LIMIT, keep).await {
                Ok(Ok(results)) => results,
                Ok(Err(_)) => failed("the dead-letter sink panicked"),
                Err(_) => failed("no answer in time"),
            }
        };
        self.writing = Some(Writing {
            items,
            call: call.boxed(),
        });
        None
    }

    /// Waits for the write under way, and returns what was kept; the rest is written again later.
    pub(crate) async fn written(
        &mut self,
        retry: &Retry,
        random: &mut fastrand::Rng,
    ) -> (Vec<InHand>, Option<Error>) {
        let Some(writing) = &mut self.writing else {
            return std::future::pending().await;
        };
        let results = (&mut writing.call).await;
        let items = self
            .writing
            .take()
            .map(|writing| writing.items)
            .unwrap_or_default();
        let (mut kept, mut again, mut error) = (Vec::new(), Vec::new(), None);
        let mut results = results.into_iter();
        for item in items {
            // A sink that answers for fewer letters than it was given has kept none of the rest.
            match results.next() {
                Some(Ok(())) => kept.push(item),
                Some(Err(why)) => {
                    error = Some(why);
                    again.push(item);
                }
                None => again.push(item),
            }
        }
        if again.is_empty() {
            (self.failures, self.not_before) = (0, None);
        } else {
            self.failures = self.failures.saturating_add(1);
            let asked = error.as_ref().and_then(Error::retry_after);
            let delay = retry.delay(self.failures, random);
            self.not_before = Some(Instant::now() + delay.max(asked.unwrap_or_default()));
            for item in again.into_iter().rev() {
                self.waiting.push_front(item);
            }
        }
        (kept, error)
    }

    /// Where they go.
    pub(crate) fn destination(&self) -> String {
        self.sink
            .map_or_else(String::new, |sink| sink.destination().into_owned())
    }

    /// Takes out what waits and is not being written.
    pub(crate) fn remove(&mut self, mut which: impl FnMut(&InHand) -> bool) -> Vec<InHand> {
        let (gone, kept): (Vec<_>, VecDeque<_>) = {
            let (gone, kept): (Vec<_>, Vec<_>) =
                self.waiting.drain(..).partition(|item| which(item));
            (gone, kept.into())
        };
        self.waiting = kept;
        gone
    }

    /// Forgets the write under way, and returns what it was about.
    pub(crate) fn cancel(&mut self) -> Vec<InHand> {
        self.writing
            .take()
            .map(|writing| writing.items)
            .unwrap_or_default()
    }
}

/// The dead letter of an event that was given up.
pub(super) fn letter(item: &Item, destination: &str) -> DeadLetter {
    let trouble = item.trouble.as_deref();
    DeadLetter {
        receipt: Some(item.receipt),
        event: item.event.clone(),
        failure: trouble
            .map(|trouble| trouble.last.clone())
            .unwrap_or_default(),
        destination: destination.to_owned(),
        attempts: item.attempts,
        deliveries: item.deliveries,
        first_failure: trouble.map_or_else(Timestamp::now, |trouble| trouble.first_failure.clone()),
    }
}
