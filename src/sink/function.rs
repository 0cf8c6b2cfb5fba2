//! [`FunctionSink`], and what a function may return.
//!
//! The two constructors differ in what the function takes, an [`Event`] or a [`Batch`], which is
//! the type parameter `T`: so neither needs an annotation at the call.

use std::{
    borrow::Cow,
    fmt::{self, Display},
    marker::PhantomData,
};

use async_trait::async_trait;

use super::{Batch, Failure, Outcome, Sink, Verdict, Verdicts};
use crate::Event;

/// An async function of your own as the sink.
///
/// The function returns `()` or a `Result<(), E>`, whose error is shown and means *try again*; or a
/// [`Verdict`], bare or in a `Result`, to say more.
///
/// ```
/// use eventlane::{Event, sink::{Failure, FunctionSink, Verdict}};
///
/// async fn store(event: &Event) -> std::io::Result<()> {
///     println!("{} from {}", event.id(), event.source());
///     Ok(())
/// }
///
/// let sink = FunctionSink::new(|event: Event| async move { store(&event).await });
///
/// let strict = FunctionSink::new(|event: Event| async move {
///     if event.data().is_none() {
///         return Verdict::Reject(Box::new(Failure::new("empty", "an event without data")));
///     }
///     Verdict::Delivered
/// })
/// .with_name("strict");
/// ```
///
/// A panic of the function counts as a failed attempt; an attempt that takes too long is dropped.
/// Both are the engine's doing.
pub struct FunctionSink<F, T = Event> {
    function: F,
    name: Cow<'static, str>,
    takes: PhantomData<fn(T)>,
}

impl<F, Fut> FunctionSink<F, Event>
where
    F: Fn(Event) -> Fut + Send + Sync,
    Fut: Future<Output: IntoVerdict> + Send,
{
    /// Calls the function for each event. A batch of several is gone through in order, each event
    /// with a verdict of its own.
    pub fn new(function: F) -> Self {
        Self {
            function,
            name: Cow::Borrowed("function"),
            takes: PhantomData,
        }
    }
}

impl<F, Fut> FunctionSink<F, Batch>
where
    F: Fn(Batch) -> Fut + Send + Sync,
    Fut: Future<Output: IntoOutcome> + Send,
{
    /// Calls the function for each batch. What it returns holds for the whole batch, unless it
    /// returns an [`Outcome`] or a verdict for each event (`Vec<Verdict>`).
    ///
    /// ```
    /// use eventlane::sink::{Batch, FunctionSink};
    ///
    /// let sink = FunctionSink::batched(|batch: Batch| async move {
    ///     println!("{} events", batch.events.len());
    /// });
    /// ```
    pub fn batched(function: F) -> Self {
        Self {
            function,
            name: Cow::Borrowed("function"),
            takes: PhantomData,
        }
    }
}

impl<F, T> FunctionSink<F, T> {
    /// Names the destination in logs and dead letters: `function` unless set.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }
}

#[async_trait]
impl<F, Fut> Sink for FunctionSink<F, Event>
where
    F: Fn(Event) -> Fut + Send + Sync,
    Fut: Future<Output: IntoVerdict> + Send,
{
    async fn send(&self, batch: Batch) -> Outcome {
        let mut verdicts = Vec::with_capacity(batch.events.len());
        for event in batch.events {
            verdicts.push((self.function)(event).await.into_verdict());
        }
        Outcome::Each(verdicts)
    }

    fn verdicts(&self) -> Verdicts {
        Verdicts::PerEvent
    }

    fn destination(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

#[async_trait]
impl<F, Fut> Sink for FunctionSink<F, Batch>
where
    F: Fn(Batch) -> Fut + Send + Sync,
    Fut: Future<Output: IntoOutcome> + Send,
{
    async fn send(&self, batch: Batch) -> Outcome {
        (self.function)(batch).await.into_outcome()
    }

    fn verdicts(&self) -> Verdicts {
        <Fut::Output as IntoOutcome>::VERDICTS
    }

    fn destination(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

impl<F, T> fmt::Debug for FunctionSink<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionSink")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a function may return for an event.
pub trait IntoVerdict {
    /// The verdict that it means.
    fn into_verdict(self) -> Verdict;
}

impl IntoVerdict for Verdict {
    fn into_verdict(self) -> Verdict {
        self
    }
}

impl IntoVerdict for () {
    /// Delivered.
    fn into_verdict(self) -> Verdict {
        Verdict::Delivered
    }
}

impl<E: Display> IntoVerdict for Result<(), E> {
    /// An error means to try again.
    fn into_verdict(self) -> Verdict {
        self.map(|()| Verdict::Delivered).into_verdict()
    }
}

impl<E: Display> IntoVerdict for Result<Verdict, E> {
    /// An error means to try again.
    fn into_verdict(self) -> Verdict {
        self.unwrap_or_else(|error| {
            let message = error.to_string().replace(char::is_control, " ");
            Verdict::Retry(Box::new(Failure::new("error", message)))
        })
    }
}

/// What a function may return for a batch: whatever it may return for an event, then meant for all
/// of them; or a verdict for each event.
pub trait IntoOutcome {
    /// Whether events of one batch can get different verdicts.
    const VERDICTS: Verdicts;

    /// The outcome that it means.
    fn into_outcome(self) -> Outcome;
}

impl<T: IntoVerdict> IntoOutcome for T {
    const VERDICTS: Verdicts = Verdicts::Whole;

    fn into_outcome(self) -> Outcome {
        Outcome::All(self.into_verdict())
    }
}

impl IntoOutcome for Outcome {
    const VERDICTS: Verdicts = Verdicts::PerEvent;

    fn into_outcome(self) -> Outcome {
        self
    }
}

impl IntoOutcome for Vec<Verdict> {
    const VERDICTS: Verdicts = Verdicts::PerEvent;

    fn into_outcome(self) -> Outcome {
        Outcome::Each(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn event(id: &'static str) -> Event {
        Event::builder()
            .id(id)
            .source("/test")
            .ty("test")
            .build()
            .unwrap()
    }

    fn batch(ids: &[&'static str]) -> Batch {
        Batch {
            events: ids.iter().map(|id| event(id)).collect(),
            attempt: 1,
        }
    }

    fn each(outcome: Outcome) -> Vec<Verdict> {
        match outcome {
            Outcome::Each(verdicts) => verdicts,
            Outcome::All(verdict) => panic!("one verdict: {verdict:?}"),
        }
    }

    #[tokio::test]
    async fn calls_for_each_event_in_order_and_goes_on_after_a_failure() {
        let calls = AtomicUsize::new(0);
        let sink = FunctionSink::new(|event: Event| {
            let call = calls.fetch_add(1, Ordering::Relaxed).to_string();
            async move {
                assert_eq!(event.id(), call);
                if event.id() == "1" {
                    Err("line one\nline two")
                } else {
                    Ok(())
                }
            }
        });
        let verdicts = each(sink.send(batch(&["0", "1", "2"])).await);
        assert!(matches!(
            &verdicts[..],
            [Verdict::Delivered, Verdict::Retry(failure), Verdict::Delivered]
                if failure.message == "line one line two" && failure.reason == "error"
        ));
        assert_eq!(sink.verdicts(), Verdicts::PerEvent);
        assert_eq!(sink.destination(), "function");
    }

    #[tokio::test]
    async fn takes_what_functions_return() {
        let unit = FunctionSink::new(|_: Event| async {});
        assert!(matches!(
            each(unit.send(batch(&["0"])).await)[..],
            [Verdict::Delivered]
        ));
        let stop = || Verdict::Stop(Box::default());
        let bare = FunctionSink::new(|_: Event| async { stop() });
        assert!(matches!(
            each(bare.send(batch(&["0"])).await)[..],
            [Verdict::Stop(_)]
        ));
        let wrapped = FunctionSink::new(|_: Event| async { Ok::<_, String>(stop()) });
        assert!(matches!(
            each(wrapped.send(batch(&["0"])).await)[..],
            [Verdict::Stop(_)]
        ));
    }

    #[tokio::test]
    async fn a_batch_has_one_verdict_or_one_for_each_event() {
        let whole = FunctionSink::batched(|batch: Batch| async move {
            if batch.events.len() > 1 {
                Err("too many")
            } else {
                Ok(())
            }
        });
        assert_eq!(whole.verdicts(), Verdicts::Whole);
        assert!(matches!(
            whole.send(batch(&["0"])).await,
            Outcome::All(Verdict::Delivered)
        ));
        assert!(matches!(
            whole.send(batch(&["0", "1"])).await,
            Outcome::All(Verdict::Retry(_))
        ));

        let apart = FunctionSink::batched(|batch: Batch| async move {
            batch
                .events
                .iter()
                .map(|_| Verdict::Delivered)
                .collect::<Vec<_>>()
        })
        .with_name("apart");
        assert_eq!(apart.verdicts(), Verdicts::PerEvent);
        assert_eq!(each(apart.send(batch(&["0", "1"])).await).len(), 2);
        assert_eq!(apart.destination(), "apart");
    }
}
