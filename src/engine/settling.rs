//! Telling the source what is done: coalesced by time for logs, in batches for queues, and again
//! after a failure.
//!
//!
//! The engine pushes, [`start`](Settling::start) makes calls of it, and
//! [`ended`](Settling::ended) brings them back, to be judged by the engine.
//!
//! * **A log** has one call at a time with the newest position of every partition. What comes
//!   meanwhile is in the partitions (`changed`) and goes with the next one.
//! * **A queue** has up to [`CALLS`] at once, each with at most `max_settle` settlements. One for a
//!   message that is told again after a failure goes to the end of the queue.
//! * **Errors.** After one that may pass, no new call begins for a while, whatever it was about:
//!   they all go to the same broker. Calls under way are not touched.
//! * **Cancellation.** Calls are dropped with the engine. Whether they had an effect is then open.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, timeout};

use super::{Retry, partitions::Partitions};
use crate::{
    Error, ErrorKind, Result,
    source::{Capability, Settle, Settled, Settlement, Settling as Family},
};

/// A queue is settled in so many calls at once, at most. Enough to fill the batches of a source
/// that lets deletes wait for company.
const CALLS: usize = 64;

/// A source answers in bounded time by contract; this is for one that does not.
const LIMIT: Duration = Duration::from_secs(30);

/// `since` is when the first position came that has not been told; `not_before` the back-off.
pub(crate) struct Settling {
    settler: Arc<dyn Settle>,
    capability: Capability,
    /// How long a log's positions are coalesced.
    interval: Duration,
    queue: VecDeque<Settlement>,
    calls: FuturesUnordered<BoxFuture<'static, Call>>,
    since: Option<Instant>,
    failures: u32,
    not_before: Option<Instant>,
}

/// A settle call that has ended.
///
/// Keeps what was sent: the answer names only what failed. `asked` is when the call began, from
/// which an extension of a lease counts at the earliest.
pub(crate) struct Call {
    pub(crate) sent: Vec<Settlement>,
    pub(crate) result: Result<Settled>,
    pub(crate) asked: Instant,
}

impl Settling {
    pub(crate) fn new(
        settler: Arc<dyn Settle>,
        capability: Capability,
        interval: Duration,
    ) -> Self {
        Self {
            settler,
            capability,
            interval,
            queue: VecDeque::new(),
            calls: FuturesUnordered::new(),
            since: None,
            failures: 0,
            not_before: None,
        }
    }

    pub(crate) fn is_cumulative(&self) -> bool {
        self.capability.settling == Family::Cumulative
    }

    /// A settlement for a queue.
    pub(crate) fn push(&mut self, settlement: Settlement) {
        self.queue.push_back(settlement);
    }

    /// Whether everything that is done has been told and answered.
    pub(crate) fn is_idle(&self, partitions: &Partitions) -> bool {
        self.calls.is_empty() && self.queue.is_empty() && !partitions.changed()
    }

    /// Whether [`ended`](Self::ended) has something to wait for.
    pub(crate) fn is_calling(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Whether anything is being told, or waits to be, apart from positions.
    pub(crate) fn is_busy(&self) -> bool {
        !self.calls.is_empty() || !self.queue.is_empty()
    }

    /// Settlements of a queue that were not confirmed.
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.queue.len() as u64
    }

    /// Begins what is due; `hurry` skips the coalescing. Returns when to come back.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        hurry: bool,
        partitions: &mut Partitions,
    ) -> Option<Instant> {
        if let Some(at) = self.not_before {
            if now < at {
                return Some(at);
            }
            self.not_before = None;
        }
        if self.is_cumulative() {
            // One call at a time: a later position must not be overtaken by an earlier one.
            if !partitions.changed() || !self.calls.is_empty() {
                return None;
            }
            let due = *self.since.get_or_insert(now) + self.interval;
            if now < due && !hurry {
                return Some(due);
            }
            self.since = None;
            let batch = partitions.settlements();
            if !batch.is_empty() {
                self.call(batch, now);
            }
        } else {
            while !self.queue.is_empty() && self.calls.len() < CALLS {
                let count = self.queue.len().min(self.capability.max_settle.max(1));
                let batch = self.queue.drain(..count).collect();
                self.call(batch, now);
            }
        }
        None
    }

    fn call(&mut self, sent: Vec<Settlement>, asked: Instant) {
        let settler = Arc::clone(&self.settler);
        let call = async move {
            let result = match timeout(LIMIT, settler.settle(sent.clone())).await {
                Ok(result) => result,
                Err(_) => Err(Error::new(
                    ErrorKind::Unavailable,
                    "settle",
                    format!("no answer within {} s", LIMIT.as_secs()),
                )),
            };
            Call {
                sent,
                result,
                asked,
            }
        };
        self.calls.push(call.boxed());
    }

    /// Waits for a call to end.
    pub(crate) async fn ended(&mut self) -> Call {
        match self.calls.next().await {
            Some(call) => call,
            None => std::future::pending().await,
        }
    }

    /// After a failure that may pass: the next call waits. Calls that were under way together fail
    /// together, which is one failure: counted one by one, they would let leases run out.
    pub(crate) fn back_off(&mut self, now: Instant, error: &Error, random: &mut fastrand::Rng) {
        let asked = error.retry_after().unwrap_or_default().min(LIMIT);
        if let Some(at) = self.not_before.filter(|at| now < *at) {
            self.not_before = Some(at.max(now + asked));
            return;
        }
        self.failures = self.failures.saturating_add(1);
        let pace = Retry::default().with_delays(Duration::from_millis(100), Duration::from_secs(5));
        let delay = pace.delay(self.failures, random).max(asked);
        self.not_before = Some(now + delay);
    }

    /// The next failure begins with the short delay again. A back-off under way goes on.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }
}
