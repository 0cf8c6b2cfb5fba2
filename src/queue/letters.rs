//! Dead letters that the broker makes itself.
//!
//! The engine only knows receipts, so the letter's way leads through the poller: it has the newest
//! handle, keeps a letter and an extension of one message apart, and knows when a lease is over.
//! That matters, because brokers look at none of it and make a copy.

use std::{borrow::Cow, fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{QueueBackend, buffer::receipt, monitor::Count, shared::Shared};
use crate::{
    Error, ErrorKind, Result,
    sink::{DeadLetter, DeadLetterSink},
    source::Receipt,
};

/// Has the broker itself make dead letters: [`Poller::dead_letters`](super::Poller::dead_letters).
///
/// * **Only the one message** goes there, as it came: what happened to it is not written on it.
///   Then it is done, and its group goes on.
/// * **Twice** it goes there if the broker has made the letter and the answer was lost. A message
///   whose lease is over has no letter: it comes again.
/// * **Whose.** Letters of other sources are refused.
pub struct BrokerDeadLetters<B: QueueBackend>(pub(super) Arc<Shared<B>>);

#[async_trait]
impl<B: QueueBackend> DeadLetterSink for BrokerDeadLetters<B> {
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>> {
        let kept = letters.iter().map(|letter| self.keep_one(letter.receipt));
        join_all(kept).await
    }

    fn destination(&self) -> Cow<'_, str> {
        format!("the dead letters of {}", self.0.backend.name()).into()
    }
}

impl<B: QueueBackend> BrokerDeadLetters<B> {
    async fn keep_one(&self, of: Option<Receipt>) -> Result<()> {
        let ours = of.filter(|it| *it == receipt(it.seq));
        let Some(receipt) = ours else {
            return Err(failed(ErrorKind::Unsupported, "it is not of this queue"));
        };
        let job = {
            let state = self.0.state();
            if state.closed {
                return Err(failed(ErrorKind::Unavailable, "the queue is closed"));
            }
            // A request is not given up half-way, whoever stops waiting for it.
            let shared = Arc::clone(&self.0);
            self.0.settling.spawn(shared.bury(receipt.seq))
        };
        let lost = |_| Err(failed(ErrorKind::Unexpected, "it did not end"));
        job.await.unwrap_or_else(lost)
    }
}

impl<B: QueueBackend> Shared<B> {
    /// Ok of a message whose lease is over, too: the settlement that follows says so.
    async fn bury(self: Arc<Self>, number: u64) -> Result<()> {
        let (handle, renewals) = loop {
            let changed = self.changed.notified();
            self.expire();
            if let Some(entry) = self.state().held.get(number) {
                if entry.dead {
                    return Ok(());
                }
                if !entry.busy {
                    entry.busy = true;
                    break (entry.handle.clone(), entry.renewals);
                }
            } else {
                return Ok(());
            }
            changed.await;
        };
        let mut result = self.dead_letter(&handle).await;
        let mut back = Vec::new();
        {
            let (mut state, now) = (self.state(), tokio::time::Instant::now());
            if let Some(entry) = state.held.get(number) {
                entry.busy = false;
                // Handed out anew meanwhile, it is there, and has to be deleted.
                entry.dead = result.is_ok() && entry.renewals == renewals;
                let fenced = result
                    .as_ref()
                    .is_err_and(|it| it.kind() == ErrorKind::Fenced);
                if fenced && entry.renewals == renewals {
                    self.monitor.add(Count::Expired, 1);
                    if let Some(gone) = state.held.remove(number) {
                        back = state.take_behind(&gone, number, now);
                    }
                    result = Ok(());
                }
            }
        }
        self.give_back_later(back);
        self.launch();
        self.changed.notify_waiters();
        result
    }
}

impl<B: QueueBackend> fmt::Debug for BrokerDeadLetters<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BrokerDeadLetters")
            .field(&self.0.backend.name())
            .finish()
    }
}

fn failed(kind: ErrorKind, reason: &str) -> Error {
    Error::new(kind, "make a dead letter", reason)
}
