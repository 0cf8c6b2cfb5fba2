//! Requests to the backend, such that every message has an answer, whatever the backend does.
//!
//! A backend that panics, or answers for fewer messages than it was asked about, has failed like
//! any other: nobody waits for ever, and nothing stays marked as busy.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use super::{Message, QueueBackend, shared::Shared};
use crate::{Error, ErrorKind, Result};

impl<B: QueueBackend> Shared<B> {
    pub(super) async fn receive(&self, max: usize) -> Result<Vec<Message<B::Handle>>> {
        guarded("receive", self.backend.receive(max, self.wait())).await
    }

    /// One result for each handle, in order.
    pub(super) async fn delete_now(&self, handles: &[B::Handle]) -> Vec<Result<()>> {
        let answer = guarded("delete", self.backend.delete(handles)).await;
        self.told(each(answer, handles.len()))
    }

    /// One result for each change, in order. Visibilities are clamped to what the broker allows.
    pub(super) async fn change(
        &self,
        mut changes: Vec<(B::Handle, Duration)>,
    ) -> Vec<Result<B::Handle>> {
        for (_, visibility) in &mut changes {
            *visibility = self.clamp(*visibility);
        }
        let answer = self.backend.change_visibility(&changes);
        let answer = guarded("change visibility", answer).await;
        self.told(each(answer, changes.len()))
    }

    /// The same of what is released.
    pub(super) async fn release(
        &self,
        mut releases: Vec<(B::Handle, Duration)>,
    ) -> Vec<Result<()>> {
        for (_, after) in &mut releases {
            *after = self.clamp(*after);
        }
        let answer = guarded("release", self.backend.release(&releases)).await;
        self.told(each(answer, releases.len()))
    }

    pub(super) async fn dead_letter(&self, handle: &B::Handle) -> Result<()> {
        guarded("make a dead letter", self.backend.dead_letter(handle)).await
    }

    /// One result for each handle, in order.
    pub(super) async fn give_back_now(&self, handles: &[B::Handle]) -> Vec<Result<()>> {
        let answer = guarded("give back", self.backend.give_back(handles)).await;
        self.told(each(answer, handles.len()))
    }

    pub(super) async fn depth(&self) -> Result<Option<u64>> {
        guarded("ask for the depth", self.backend.depth()).await
    }

    /// Lets the monitor know whether settling works at all.
    fn told<T>(&self, results: Vec<Result<T>>) -> Vec<Result<T>> {
        let lasting =
            |error: &&Error| matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Config);
        let errors = results.iter().filter_map(|result| result.as_ref().err());
        match errors.into_iter().find(lasting) {
            Some(error) => self.monitor.settling_failed(error),
            None if results.iter().any(Result::is_ok) => self.monitor.settled(),
            None => {}
        }
        results
    }
}

async fn guarded<T>(
    operation: &'static str,
    request: impl Future<Output = Result<T>>,
) -> Result<T> {
    let request = AssertUnwindSafe(request).catch_unwind();
    request.await.unwrap_or_else(|_| {
        let message = "the queue's backend panicked";
        Err(Error::new(ErrorKind::Unexpected, operation, message))
    })
}

/// The results of a request about so many messages: its error, if it failed as a whole, is that of
/// each; one that the answer leaves out is open.
fn each<T>(answer: Result<Vec<Result<T>>>, count: usize) -> Vec<Result<T>> {
    let (mut results, error) = match answer {
        Ok(results) => (results, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    results.truncate(count);
    let missing = count - results.len();
    results.extend((0..missing).map(|_| Err(again(error.as_ref()))));
    results
}

/// Kind, text and `retry_after` are kept, which is what is decided by.
fn again(error: Option<&Error>) -> Error {
    let Some(error) = error else {
        let message = "the broker did not say what became of the message";
        return Error::new(ErrorKind::Unavailable, "settle", message);
    };
    let again = Error::new(error.kind(), error.operation(), error.to_string());
    match error.retry_after() {
        Some(after) => again.with_retry_after(after),
        None => again,
    }
}
