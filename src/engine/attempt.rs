//! One call of the sink.
//!
//!
//! Owns the events while the sink has them. Whatever happens (an answer, a panic, the time-out, a
//! revocation), they come out again in an [`Ended`], exactly once.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use smallvec::SmallVec;
use tokio::time::Instant;
use tracing::Span;

use super::lanes::InHand;
use crate::sink::{Failure, Outcome, Verdict};

type Sending<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A batch in flight. Resolves with what the sink says, or when it panics. Its time-out is the
/// engine's: a timer of its own would cost each attempt an allocation and two visits of the
/// runtime's timer wheel.
pub(crate) struct Attempt<'a> {
    /// Emptied when it resolves.
    pub(crate) items: SmallVec<[InHand; 1]>,
    pub(crate) probe: bool,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    sending: Sending<'a>,
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
        Self {
            items,
            probe,
            started,
            deadline,
            sending,
            span,
        }
    }

    /// Drops the request.
    pub(crate) fn cancel(mut self) -> Ended {
        self.end(None)
    }

    /// Drops the request, whose time is up.
    pub(crate) fn time_out(mut self) -> Ended {
        let limit = self.deadline.saturating_duration_since(self.started);
        let message = format!("no answer within {} ms", limit.as_millis());
        self.end(Some(failed("timeout", message)))
    }

    /// Takes the events out. The request itself goes with the attempt.
    fn end(&mut self, outcome: Option<Outcome>) -> Ended {
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
        let entered = this.span.enter();
        // Sound: after a panic the future is never polled again, only dropped.
        let outcome = match catch_unwind(AssertUnwindSafe(|| this.sending.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(panic) => failed("panic", format!("the sink panicked: {}", text(&*panic))),
        };
        drop(entered);
        Poll::Ready(this.end(Some(outcome)))
    }
}

/// A failure of the engine's making, for the whole batch: tried again.
fn failed(reason: &'static str, message: String) -> Outcome {
    Outcome::All(Verdict::Retry(Box::new(Failure::new(reason, message))))
}

/// What a panic said; `panic!` makes one of these two types.
fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
