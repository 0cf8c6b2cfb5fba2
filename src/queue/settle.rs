//! Tells the queue what became of its messages.
//!
//! * **One request at a time for a message.** A settlement of a message that is busy waits until
//!   the request has ended; two of one batch are carried out in their order.
//! * **Cancellation.** The work is a task. Dropping the future of a settle call stops nothing: it
//!   only leaves it open for the caller what became of it. A close waits for what was accepted.
//! * **Errors** are each receipt's own. After `Fenced` the message is not ours any more and is
//!   forgotten; after any other error it stays on lease, and may be settled again.
//! * **Groups.** With a message that goes back, or whose lease is lost, everything of its group
//!   goes back that waits behind it in the buffer: nothing may overtake it. What is in the engine's
//!   hands is the engine's to release.
//! * No lock is held while a request is under way.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{
    QueueBackend,
    buffer::receipt,
    monitor::Count,
    shared::{AT_ONCE, Shared, State},
};
use crate::{
    Error, ErrorKind, Result,
    source::{Action, Receipt, Settle, Settled, Settlement},
};

/// The settling half of a poller.
pub(super) struct QueueSettle<B: QueueBackend>(pub(super) Arc<Shared<B>>);

#[async_trait]
impl<B: QueueBackend> Settle for QueueSettle<B> {
    async fn settle(&self, batch: Vec<Settlement>) -> Result<Settled> {
        let job = {
            // Under the lock, so that a close either waits for it or has begun before.
            let state = self.0.state();
            if state.closed {
                let failed = batch.into_iter().map(|one| (one.receipt, fenced()));
                return Ok(Settled {
                    failed: failed.collect(),
                });
            }
            // On a task of its own, so that a request about a message ends before the next begins,
            // whoever stops waiting for it.
            self.0.settling.spawn(Arc::clone(&self.0).settle(batch))
        };
        job.await.map_err(|error| {
            Error::new(
                ErrorKind::Unexpected,
                "settle",
                "the settlement did not end",
            )
            .with_source(error)
        })
    }
}

/// A settlement whose turn it is.
struct Ready<H> {
    receipt: Receipt,
    /// The newest when its turn came; its message is busy since.
    handle: H,
    renewals: u32,
    action: Action,
    /// A delete that can't wait for company.
    urgent: bool,
}

/// What became of a settlement, and the handle that is valid from now on, if it stays on lease.
struct Outcome<H> {
    receipt: Receipt,
    renewals: u32,
    action: Action,
    asked: Instant,
    result: Result<Option<H>>,
}

impl<B: QueueBackend> Shared<B> {
    /// Carries out a batch, in as many rounds as there are requests to wait for. Every receipt that
    /// is not among the failed is confirmed by the broker.
    async fn settle(self: Arc<Self>, batch: Vec<Settlement>) -> Settled {
        let mut settled = Settled::default();
        let mut todo = batch;
        while !todo.is_empty() {
            // Made before the state is read, so that no change from here on is missed.
            let changed = self.changed.notified();
            self.expire();
            let (ready, later) = self.sort(todo, &mut settled);
            todo = later;
            if !ready.is_empty() {
                self.carry_out(ready, &mut settled).await;
            } else if !todo.is_empty() {
                // Without a word to others that wait: they would wake each other without an end.
                changed.await;
            }
        }
        settled
    }

    /// Those whose turn it is, and those that wait for a request about the same message. Marks the
    /// former as busy. What can't be is failed here, without a request: a receipt that is not
    /// known, or not any more, and a position, which a queue does not have.
    ///
    /// A delete is urgent if its message is of a group, which the broker holds back until then, or
    /// if its lease would end while it waits for company and, by a second, for its answer.
    fn sort(
        &self,
        todo: Vec<Settlement>,
        settled: &mut Settled,
    ) -> (Vec<Ready<B::Handle>>, Vec<Settlement>) {
        let (mut ready, mut later) = (Vec::new(), Vec::new());
        let mut state = self.state();
        let soon = Instant::now() + self.linger() + Duration::from_secs(1);
        for settlement in todo {
            let receipt = settlement.receipt;
            if matches!(settlement.action, Action::DoneBelow { .. }) {
                let error = Error::new(
                    ErrorKind::Unsupported,
                    "settle",
                    "a queue is settled one by one",
                );
                settled.failed.push((receipt, error));
                continue;
            }
            let known = receipt == self::receipt(receipt.seq);
            match state.held.get(receipt.seq).filter(|_| known) {
                None => settled.failed.push((receipt, fenced())),
                Some(entry) if entry.busy => later.push(settlement),
                // Nothing more may be asked of the broker about it, and nothing has to be.
                Some(entry) if entry.dead => {
                    if !matches!(settlement.action, Action::Extend { .. }) {
                        state.held.remove(receipt.seq);
                    }
                }
                Some(entry) => {
                    entry.busy = true;
                    entry.releasing = goes_back(&settlement.action);
                    ready.push(Ready {
                        receipt,
                        handle: entry.handle.clone(),
                        renewals: entry.renewals,
                        urgent: entry.binding.is_some() || entry.until < soon,
                        action: settlement.action,
                    });
                }
            }
        }
        (ready, later)
    }

    /// Makes the requests, waits for all of them, and takes down each outcome as it comes. Deletes
    /// begin first and are awaited last, so that the changes run beside them.
    async fn carry_out(self: &Arc<Self>, ready: Vec<Ready<B::Handle>>, settled: &mut Settled) {
        let asked = Instant::now();
        let (deletes, changes): (Vec<_>, Vec<_>) = ready
            .into_iter()
            .partition(|ready| matches!(ready.action, Action::Done));
        let (urgent, calm): (Vec<_>, Vec<_>) = deletes.into_iter().partition(|ready| ready.urgent);
        let mut answers = Vec::new();
        for (group, urgent) in [(calm, false), (urgent, true)] {
            if group.is_empty() {
                continue;
            }
            let handles = group.iter().map(|ready| ready.handle.clone()).collect();
            answers.extend(group.into_iter().zip(self.delete(handles, urgent)));
        }
        let (extended, others): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|ready| matches!(ready.action, Action::Extend { .. }));
        let (released, given_back): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|ready| matches!(ready.action, Action::Release { .. }));
        let mut requests = Vec::new();
        for group in [released, given_back, extended] {
            let mut group = group.into_iter();
            while group.len() > 0 {
                let chunk = group.by_ref().take(self.limits.batch.max(1)).collect();
                requests.push(self.change_chunk(chunk, asked));
            }
        }
        let mut requests = stream::iter(requests).buffer_unordered(AT_ONCE);
        while let Some(outcomes) = requests.next().await {
            for outcome in outcomes {
                self.finish(outcome, settled);
            }
            self.went_on();
        }
        for (ready, answer) in answers {
            let lost = |_| Err(Error::new(ErrorKind::Unavailable, "delete", "no answer"));
            let result = answer.await.unwrap_or_else(lost);
            self.finish(ready.outcome(asked, result.map(|()| None)), settled);
        }
        self.went_on();
    }

    /// Requests have ended: others may have waited for that, or for the room.
    fn went_on(self: &Arc<Self>) {
        self.launch();
        self.changed.notify_waiters();
    }

    /// One request, about messages that all have the same kind of settlement.
    async fn change_chunk(
        &self,
        chunk: Vec<Ready<B::Handle>>,
        asked: Instant,
    ) -> Vec<Outcome<B::Handle>> {
        let handles = chunk.iter().map(|ready| ready.handle.clone());
        let no_handle = |result: Result<()>| result.map(|()| None);
        let results: Vec<Result<Option<B::Handle>>> = match chunk.first().map(|it| &it.action) {
            Some(Action::GiveBack) => {
                let handles: Vec<_> = handles.collect();
                self.receives_end_soon().await;
                let results = self.give_back_now(&handles).await;
                results.into_iter().map(no_handle).collect()
            }
            Some(Action::Release { .. }) => {
                let releases = handles
                    .zip(&chunk)
                    .map(|(handle, ready)| match ready.action {
                        Action::Release { after } => (handle, self.spread(after)),
                        _ => (handle, Duration::ZERO),
                    });
                let results = self.release(releases.collect()).await;
                results.into_iter().map(no_handle).collect()
            }
            _ => {
                let changes = handles
                    .zip(&chunk)
                    .map(|(handle, ready)| match ready.action {
                        Action::Extend { by } => (handle, by),
                        _ => (handle, Duration::ZERO),
                    });
                let results = self.change(changes.collect()).await;
                results.into_iter().map(|it| it.map(Some)).collect()
            }
        };
        let outcomes = chunk.into_iter().zip(results);
        outcomes
            .map(|(ready, result)| ready.outcome(asked, result))
            .collect()
    }

    /// What was given back together does not come back together: up to a tenth later than asked, at
    /// random.
    fn spread(&self, after: Duration) -> Duration {
        let after = after.min(self.limits.max_visibility);
        after.mul_f64(1.0 + self.state().random.f64() / 10.0)
    }

    /// Takes down an outcome: the message is no longer busy, or no longer here.
    ///
    /// An extended lease counts from when it was asked for, so that it never outlasts the broker's
    /// here. An outcome says nothing of a message that was handed out anew meanwhile, but that it
    /// was deleted.
    fn finish(self: &Arc<Self>, outcome: Outcome<B::Handle>, settled: &mut Settled) {
        let Outcome {
            receipt,
            renewals,
            action,
            asked,
            result,
        } = outcome;
        let (number, mut back) = (receipt.seq, Vec::new());
        let (mut state, now) = (self.state(), Instant::now());
        let renewed = state
            .held
            .get(number)
            .is_some_and(|entry| entry.renewals != renewals);
        match (result, action) {
            (Ok(_), Action::Extend { .. }) if renewed => {
                self.try_again(&mut state, receipt, settled);
            }
            (Err(error), _) if renewed && error.kind() == ErrorKind::Fenced => {
                self.try_again(&mut state, receipt, settled);
            }
            (Ok(Some(handle)), Action::Extend { by }) => {
                if let Some(entry) = state.held.get(number) {
                    (entry.handle, entry.busy) = (handle, false);
                    entry.until = asked + self.clamp(by);
                    self.monitor.add(Count::Extended, 1);
                }
            }
            (Ok(_), action) => {
                if let Some(entry) = state.held.remove(number)
                    && goes_back(&action)
                {
                    back = state.take_behind(&entry, number, now);
                }
            }
            (Err(error), _) => {
                if error.kind() == ErrorKind::Fenced {
                    if let Some(entry) = state.held.remove(number) {
                        self.monitor.add(Count::Expired, 1);
                        back = state.take_behind(&entry, number, now);
                    }
                } else if let Some(entry) = state.held.get(number) {
                    (entry.busy, entry.releasing) = (false, false);
                }
                settled.failed.push((receipt, error));
            }
        }
        self.monitor.set_held(state.held.len());
        drop(state);
        self.give_back_later(back);
    }

    /// The request was made by a handle that is dead by now.
    fn try_again(&self, state: &mut State<B::Handle>, receipt: Receipt, settled: &mut Settled) {
        if let Some(entry) = state.held.get(receipt.seq) {
            (entry.busy, entry.releasing) = (false, false);
        }
        let message = "the broker handed the message out anew meanwhile";
        let error = Error::new(ErrorKind::Unavailable, "settle", message);
        settled.failed.push((receipt, error));
    }
}

impl<H> Ready<H> {
    fn outcome(self, asked: Instant, result: Result<Option<H>>) -> Outcome<H> {
        Outcome {
            receipt: self.receipt,
            renewals: self.renewals,
            action: self.action,
            asked,
            result,
        }
    }
}

fn goes_back(action: &Action) -> bool {
    matches!(action, Action::Release { .. } | Action::GiveBack)
}

/// For a receipt that names nothing on lease here: it would do no good to ask the broker, which may
/// take a dead handle without a word.
fn fenced() -> Error {
    Error::new(
        ErrorKind::Fenced,
        "settle",
        "the lease of the message has run out, or it has been given back",
    )
}
