//! One call of the sink, with its time-out.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use smallvec::SmallVec;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::Span;

use super::lanes::InHand;
use crate::sink::{Failure, Outcome, Verdict};

type Sending<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A batch in flight. Resolves in any case: with what the sink says, at the time-out, when the sink panics, or when cancelled.
pub(crate) struct Attempt<'a> {
    /// Emptied when it resolves.
    pub(crate) items: SmallVec<[InHand; 1]>,
    pub(crate) probe: bool,
    pub(crate) started: Instant,
    deadline: Instant,
    sending: Option<Sending<'a>>,
    // Made only when the sink does not answer at once.
    sleep: Option<Pin<Box<Sleep>>>,
    waker: Option<Waker>,
    span: Span,
}

/// How an attempt ended.
pub(crate) struct Ended {
    pub(crate) items: SmallVec<[InHand; 1]>,
    pub(crate) probe: bool,
    pub(crate) started: Instant,
    /// `None`: cancelled. Whether the events were taken is unknown.
    pub(crate) outcome: Option<Outcome>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(
        items: SmallVec<[InHand; 1]>,
        probe: bool,
        started: Instant,
        deadline: Instant,
        sending: Sending<'a>,
        span: Span,
    ) -> Self {
        let sending = Some(sending);
        Self {
            items,
            probe,
            started,
            deadline,
            sending,
            sleep: None,
            waker: None,
            span,
        }
    }

    /// Drops the request. The attempt resolves as cancelled.
    pub(crate) fn cancel(&mut self) {
        self.sending = None;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn end(&mut self, outcome: Option<Outcome>) -> Ended {
        self.sending = None;
        Ended {
            items: std::mem::take(&mut self.items),
            probe: self.probe,
            started: self.started,
            outcome,
        }
    }
}

impl Future for Attempt<'_> {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        let _entered = this.span.enter();
        let Some(sending) = &mut this.sending else {
            drop(_entered);
            return Poll::Ready(this.end(None));
        };
        let outcome = match catch_unwind(AssertUnwindSafe(|| sending.as_mut().poll(cx))) {
            Ok(Poll::Ready(outcome)) => outcome,
            Err(panic) => failed("panic", format!("the sink panicked: {}", text(&*panic))),
            Ok(Poll::Pending) => {
                let deadline = this.deadline;
                let sleep = this
                    .sleep
                    .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                if sleep.as_mut().poll(cx).is_pending() {
                    if this
                        .waker
                        .as_ref()
                        .is_none_or(|known| !known.will_wake(cx.waker()))
                    {
                        this.waker = Some(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
                let limit = this.deadline.saturating_duration_since(this.started);
                failed(
                    "timeout",
                    format!("no answer within {} ms", limit.as_millis()),
                )
            }
        };
        drop(_entered);
        Poll::Ready(this.end(Some(outcome)))
    }
}

fn failed(reason: &'static str, message: String) -> Outcome {
    Outcome::All(Verdict::Retry(Box::new(Failure::new(reason, message))))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
