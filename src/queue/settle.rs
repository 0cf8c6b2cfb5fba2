//! Tells the queue what became of its messages.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{QueueBackend, buffer::receipt, deletes::repeat, monitor::Count, shared::Shared};
use crate::{
    Error, ErrorKind, Result,
    source::{Action, Receipt, Settle, Settled, Settlement},
};

/// Requests of one settle call under way at a time.
const AT_ONCE: usize = 8;

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
            // On a task of its own, so that a request about a message ends before the next begins, whoever
            // stops waiting for it.
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
    handle: H,
    action: Action,
    /// A delete that can't wait for company.
    urgent: bool,
}

type Outcome<H> = (Receipt, Action, Instant, Result<Option<H>>);

impl<B: QueueBackend> Shared<B> {
    async fn settle(self: Arc<Self>, batch: Vec<Settlement>) -> Settled {
        let mut settled = Settled::default();
        let mut todo = batch;
        while !todo.is_empty() {
            // Made before the state is read, so that no change from here on is missed.
            let changed = self.changed.notified();
            self.expire();
            let (ready, later) = self.sort(todo, &mut settled);
            if ready.is_empty() && !later.is_empty() {
                changed.await;
            }
            for outcome in self.carry_out(ready).await {
                self.finish(outcome, &mut settled);
            }
            self.changed.notify_waiters();
            todo = later;
        }
        self.launch();
        settled
    }

    /// Those whose turn it is, and those that wait for a request about the same message.
    fn sort(
        &self,
        todo: Vec<Settlement>,
        settled: &mut Settled,
    ) -> (Vec<Ready<B::Handle>>, Vec<Settlement>) {
        let (mut ready, mut later) = (Vec::new(), Vec::new());
        let mut state = self.state();
        let soon = Instant::now() + self.options.linger + Duration::from_secs(1);
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
                Some(entry) => {
                    entry.busy = true;
                    ready.push(Ready {
                        receipt,
                        handle: entry.handle.clone(),
                        urgent: entry.binding.is_some() || entry.until < soon,
                        action: settlement.action,
                    });
                }
            }
        }
        (ready, later)
    }

    async fn carry_out(self: &Arc<Self>, ready: Vec<Ready<B::Handle>>) -> Vec<Outcome<B::Handle>> {
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
            let (receipts, handles): (Vec<_>, Vec<_>) = group
                .into_iter()
                .map(|ready| (ready.receipt, ready.handle))
                .unzip();
            answers.extend(receipts.into_iter().zip(self.delete(handles, urgent)));
        }
        let mut outcomes = self.change(changes, asked).await;
        for (receipt, answer) in answers {
            let result = answer.await.unwrap_or_else(|_| Err(repeat(None)));
            outcomes.push((receipt, Action::Done, asked, result.map(|()| None)));
        }
        outcomes
    }

    /// Releases and extensions, in batches side by side.
    async fn change(
        &self,
        changes: Vec<Ready<B::Handle>>,
        asked: Instant,
    ) -> Vec<Outcome<B::Handle>> {
        let most = self.limits.batch.max(1);
        let mut changes = changes.into_iter();
        let mut chunks = Vec::new();
        loop {
            let chunk: Vec<_> = changes.by_ref().take(most).collect();
            if chunk.is_empty() {
                break;
            }
            chunks.push(self.change_chunk(chunk, asked));
        }
        stream::iter(chunks)
            .buffered(AT_ONCE)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn change_chunk(
        &self,
        chunk: Vec<Ready<B::Handle>>,
        asked: Instant,
    ) -> Vec<Outcome<B::Handle>> {
        let visibility = |action: &Action| match action {
            Action::Release { after } => self.spread(*after),
            Action::Extend { by } => *by,
            _ => Duration::ZERO,
        };
        let changes: Vec<_> = chunk
            .iter()
            .map(|ready| (ready.handle.clone(), self.clamp(visibility(&ready.action))))
            .collect();
        let (results, all) = match self.backend.change_visibility(&changes).await {
            Ok(results) => (results, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut results = results.into_iter();
        let outcomes = chunk.into_iter().map(|ready| {
            let result = results.next().unwrap_or_else(|| Err(repeat(all.as_ref())));
            (ready.receipt, ready.action, asked, result.map(Some))
        });
        outcomes.collect()
    }

    /// What was given back together does not come back together.
    fn spread(&self, after: Duration) -> Duration {
        after.mul_f64(1.0 + self.state().random.f64() / 10.0)
    }

    fn finish(
        self: &Arc<Self>,
        (receipt, action, asked, result): Outcome<B::Handle>,
        settled: &mut Settled,
    ) {
        let (number, mut back) = (receipt.seq, Vec::new());
        let mut state = self.state();
        match (result, action) {
            (Ok(Some(handle)), Action::Extend { by }) => {
                if let Some(entry) = state.held.get(number) {
                    (entry.handle, entry.busy) = (handle, false);
                    entry.until = asked + self.clamp(by);
                    self.monitor.add(Count::Extended, 1);
                }
            }
            (Ok(_), action) => {
                let entry = state.held.remove(number);
                if matches!(action, Action::Release { .. }) {
                    let binding = entry.and_then(|entry| entry.binding);
                    back = state.take_behind(binding.as_ref(), number);
                }
            }
            (Err(error), _) => {
                if error.kind() == ErrorKind::Fenced {
                    if let Some(entry) = state.held.remove(number) {
                        self.monitor.add(Count::Expired, 1);
                        back = state.take_behind(entry.binding.as_ref(), number);
                    }
                } else if let Some(entry) = state.held.get(number) {
                    entry.busy = false;
                }
                settled.failed.push((receipt, error));
            }
        }
        self.monitor.set_held(state.held.len());
        drop(state);
        if !back.is_empty() {
            let shared = Arc::clone(self);
            self.tasks
                .spawn(async move { shared.give_back(back).await });
        }
    }
}

fn fenced() -> Error {
    Error::new(
        ErrorKind::Fenced,
        "settle",
        "the lease of the message has run out, or it has been given back",
    )
}
