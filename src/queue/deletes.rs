//! Deletes: together where that can wait, at once where it can't.

use std::{mem, sync::Arc};

use tokio::{
    sync::oneshot,
    time::{Duration, sleep},
};

use super::{QueueBackend, monitor::Count, shared::Shared};
use crate::{Error, ErrorKind, Result};

/// A message to be deleted, and who waits for it.
pub(super) struct Pending<H> {
    handle: H,
    done: oneshot::Sender<Result<()>>,
}

const LONGEST_LINGER: Duration = Duration::from_secs(1);

impl<B: QueueBackend> Shared<B> {
    /// Deletes messages; `urgent` ones take along what waits.
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

    async fn flush_later(self: Arc<Self>) {
        tokio::select! {
            () = sleep(self.options.linger.min(LONGEST_LINGER)) => {}
            () = self.closing.cancelled() => {}
        }
        let batch = mem::take(&mut self.state().deletes);
        self.flush(batch).await;
    }

    async fn flush(self: Arc<Self>, batch: Vec<Pending<B::Handle>>) {
        if batch.is_empty() {
            return;
        }
        let (handles, waiting): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|pending| (pending.handle, pending.done))
            .unzip();
        let (mut results, all) = match self.backend.delete(&handles).await {
            Ok(results) => (results, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut results = results.drain(..);
        for done in waiting {
            let result = results.next().unwrap_or_else(|| Err(repeat(all.as_ref())));
            self.monitor
                .add(Count::DeleteFailed, usize::from(result.is_err()));
            // Whoever asked may have gone; the delete counts all the same.
            drop(done.send(result));
        }
    }
}

/// The error of a whole request, for each of its entries.
pub(super) fn repeat(error: Option<&Error>) -> Error {
    match error {
        Some(error) => {
            let again = Error::new(error.kind(), error.operation(), error.to_string());
            match error.retry_after() {
                Some(after) => again.with_retry_after(after),
                None => again,
            }
        }
        None => Error::new(
            ErrorKind::Unavailable,
            "settle",
            "the broker did not say what became of the message",
        ),
    }
}
