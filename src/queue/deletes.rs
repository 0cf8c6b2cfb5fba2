//! Deletes: together where that can wait, at once where it can't.
//!
//! A batch goes when it is full, when one of it is urgent, when its first message has waited for
//! `linger`, or when the poller closes. From then on it is a task of its own: a delete is carried
//! out although nobody waits for its result any more. Nothing is repeated here; a delete that
//! failed is the engine's to settle again.
//!
//! Invariant: whenever messages wait, a task is about to take them. It is started by whoever puts
//! the first one there.

use std::{mem, sync::Arc};

use tokio::{sync::oneshot, time::sleep};

use super::{QueueBackend, monitor::Count, shared::Shared};
use crate::Result;

/// A message to be deleted, and who waits for it.
pub(super) struct Pending<H> {
    handle: H,
    done: oneshot::Sender<Result<()>>,
}

impl<B: QueueBackend> Shared<B> {
    /// Deletes messages; `urgent` ones take along what waits. One answer for each, in order.
    ///
    /// Returns at once. Whether the lease is still ours is the caller's to have checked.
    pub(super) fn delete(
        self: &Arc<Self>,
        handles: Vec<B::Handle>,
        urgent: bool,
    ) -> Vec<oneshot::Receiver<Result<()>>> {
        let count = handles.len();
        let mut answers = Vec::with_capacity(count);
        let mut batches = Vec::new();
        let mut begins = false;
        {
            let mut state = self.state();
            let urgent = urgent || state.closed;
            let most = self.limits.batch.max(1);
            begins |= state.deletes.is_empty();
            for handle in handles {
                let (done, answer) = oneshot::channel();
                answers.push(answer);
                state.deletes.push(Pending { handle, done });
                if state.deletes.len() >= most {
                    batches.push(mem::take(&mut state.deletes));
                }
            }
            if urgent && !state.deletes.is_empty() {
                batches.push(mem::take(&mut state.deletes));
            }
            begins &= !state.deletes.is_empty();
        }
        for batch in batches {
            self.tasks.spawn(Arc::clone(self).flush(batch));
        }
        if begins {
            self.tasks.spawn(Arc::clone(self).flush_later());
        }
        answers
    }

    /// Takes what waits after `linger`, or sooner what came after a batch that went meanwhile.
    async fn flush_later(self: Arc<Self>) {
        tokio::select! {
            () = sleep(self.linger()) => {}
            () = self.closing.cancelled() => {}
        }
        let batch = mem::take(&mut self.state().deletes);
        self.flush(batch).await;
    }

    /// One request. If it fails as a whole, every message of it has that error.
    async fn flush(self: Arc<Self>, batch: Vec<Pending<B::Handle>>) {
        if batch.is_empty() {
            return;
        }
        let (handles, waiting): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|pending| (pending.handle, pending.done))
            .unzip();
        let results = self.delete_now(&handles).await;
        for (done, result) in waiting.into_iter().zip(results) {
            self.monitor
                .add(Count::DeleteFailed, usize::from(result.is_err()));
            // Whoever asked may have gone; the delete counts all the same.
            drop(done.send(result));
        }
    }
}
