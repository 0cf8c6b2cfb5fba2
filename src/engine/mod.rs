//! The delivery engine: from a source to a sink, in order, with nothing lost.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    Error,
    sink::{DeadLetterSink, Sink},
    source::{Settling as Family, Source},
};

mod attempt;
mod control;
mod dispatch;
mod gate;
mod hear;
mod lanes;
mod leases;
mod leaving;
mod letters;
mod options;
mod partitions;
mod progress;
mod retry;
mod run;
mod settling;
mod stopping;
mod verdicts;
mod watermark;

pub use control::{Control, LiveSettings};
pub use options::{BatchPolicy, Budgets, Keyless, OnExhausted, Ordering};
pub use progress::{HeldLane, PipelineError, Progress, Report};
pub use retry::{Growth, Retry};

/// Carries events from a source to a sink.
///
/// * **Nothing is lost.** An event is settled only after the sink took it or a dead-letter sink
///   kept it durably. The one exception is asked for by name: [`OnExhausted::Drop`].
/// * **Order** holds per lane, as [`Ordering`] says, through retries, and across a hand-over to
///   another consumer as far as the source grants the time to finish what is in flight.
/// * **At least once.** An event may be delivered again: after a crash at most what was in flight
///   or not yet settled; after a drain or a cooperative hand-over none, unless work had to be cut
///   off at its deadline.
/// * **Memory** is bounded by [`Budgets`]; reading stops when they are used up.
/// * **Cancellation.** Dropping the future of [`run_until`](Self::run_until) stops at once: what is
///   in flight may have been taken by the sink and will come again. To stop cleanly, let `shutdown`
///   resolve.
///
/// ```
/// use eventlane::{Event, Pipeline, memory::MemoryLog, sink::FunctionSink};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = MemoryLog::new(1);
/// let event = Event::builder().id("1").source("/shop").ty("order.placed").build()?;
/// log.append(0, event, Some("customer-7"));
/// log.finish();
///
/// let sink = FunctionSink::new(|event: Event| async move {
///     println!("{}", event.id());
///     Ok::<(), std::convert::Infallible>(())
/// });
/// let report = Pipeline::new(log.source("group"), sink).run().await?;
/// assert_eq!((report.delivered, report.unsettled), (1, 0));
/// # Ok(())
/// # }
/// ```
#[must_use = "a pipeline does nothing until it runs"]
pub struct Pipeline {
    source: Box<dyn Source>,
    sink: Arc<dyn Sink>,
    dead_letter: Option<Arc<dyn DeadLetterSink>>,
    options: Options,
    /// What a [`Control`] changes; begins as what the options say.
    live: Arc<watch::Sender<LiveSettings>>,
    progress: Arc<Progress>,
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    name: String,
    ordering: Ordering,
    keyless: Keyless,
    budgets: Budgets,
    batch: BatchPolicy,
    retry: Retry,
    on_exhausted: OnExhausted,
    commit_interval: Duration,
    grace: Duration,
    idle: Option<Duration>,
    seed: u64,
}

impl Options {
    /// Makes durations that mean "never", such as [`Duration::MAX`], short enough to be added to an
    /// instant.
    fn bound(&mut self) {
        let Retry {
            initial,
            max,
            timeout,
            ..
        } = &mut self.retry;
        let linger = &mut self.batch.linger;
        let set = [
            initial,
            max,
            timeout,
            linger,
            &mut self.commit_interval,
            &mut self.grace,
        ];
        for duration in set.into_iter().chain(&mut self.idle) {
            *duration = (*duration).min(run::NEVER);
        }
    }
}

impl Pipeline {
    /// A pipeline with the default options.
    pub fn new(source: impl Source + 'static, sink: impl Sink + 'static) -> Self {
        let options = Options {
            name: "eventlane".to_owned(),
            ordering: Ordering::default(),
            keyless: Keyless::default(),
            budgets: Budgets::default(),
            batch: BatchPolicy::default(),
            retry: Retry::default(),
            on_exhausted: OnExhausted::default(),
            commit_interval: Duration::from_secs(1),
            grace: Duration::from_secs(30),
            idle: None,
            seed: fastrand::u64(..),
        };
        Self {
            source: Box::new(source),
            sink: Arc::new(sink),
            dead_letter: None,
            live: Arc::new(watch::Sender::new(options.live())),
            options,
            progress: Arc::default(),
        }
    }

    /// Names the pipeline in logs and metrics. Default `eventlane`.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }

    /// Sets what has to stay in order. Default: events of a partition with equal keys.
    pub fn with_ordering(mut self, ordering: Ordering) -> Self {
        self.options.ordering = ordering;
        self
    }

    /// Sets where events without a key go. Default: they keep their partition's order.
    pub fn with_keyless(mut self, keyless: Keyless) -> Self {
        self.options.keyless = keyless;
        self
    }

    /// Sets how much may be in hand at once.
    pub fn with_budgets(mut self, budgets: Budgets) -> Self {
        self.options.budgets = budgets;
        self.changed()
    }

    /// Sets how events are put together. Default: one by one.
    pub fn with_batch(mut self, batch: BatchPolicy) -> Self {
        self.options.batch = batch;
        self.changed()
    }

    /// Sets when failed events are tried again, and how long one attempt may take.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.options.retry = retry;
        self.changed()
    }

    /// Sets what becomes of events whose retries have ended or that the sink rejects. Default
    /// [`OnExhausted::Block`].
    pub fn with_on_exhausted(mut self, on_exhausted: OnExhausted) -> Self {
        self.options.on_exhausted = on_exhausted;
        self.changed()
    }

    /// Sets where such events go, and [`OnExhausted::DeadLetter`] with it.
    pub fn with_dead_letter(mut self, dead_letter: impl DeadLetterSink + 'static) -> Self {
        self.dead_letter = Some(Arc::new(dead_letter));
        self.options.on_exhausted = OnExhausted::DeadLetter;
        self.changed()
    }

    /// Sets how long the positions of a log are coalesced before they are committed. Default 1 s.
    pub fn with_commit_interval(mut self, interval: Duration) -> Self {
        self.options.commit_interval = interval;
        self
    }

    /// Sets how long a stop may take in all: finishing what is in flight, settling it, closing the
    /// source. Default 30 s.
    ///
    /// A source that has asked its broker for messages waits for the answer even beyond it
    /// ([`Source::closes_by`](crate::source::Source::closes_by)): what came to nobody would stay on
    /// lease. A queue's poller takes up to its `wait` and two seconds.
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.options.grace = grace;
        self
    }

    /// Stops by itself when nothing is in hand and nothing has come for so long, counted from the
    /// first assignment on: joining a group may take longer than that. Default: never.
    pub fn with_idle_timeout(mut self, idle: Duration) -> Self {
        self.options.idle = Some(idle);
        self
    }

    /// Seeds the random part of retry delays, so that a run can be repeated. Default: random.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// Live numbers, readable while the pipeline runs.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Changes settings while the pipeline runs. Get it when the pipeline is complete: it knows
    /// whether there is a dead-letter sink.
    pub fn control(&self) -> Control {
        Control::of(self)
    }

    /// Runs until the source ends, the idle time is over or an error makes it impossible to go on.
    ///
    /// # Errors
    /// As [`run_until`](Self::run_until).
    pub async fn run(self) -> Result<Report, PipelineError> {
        self.run_until(std::future::pending()).await
    }

    /// Runs until `shutdown` resolves as well.
    ///
    /// Then nothing more is sent; what is in flight is finished and settled, and the source is
    /// closed, all within the [grace time](Self::with_grace). What was read and not sent is left to
    /// the broker.
    ///
    /// # Errors
    /// A mistake in the options, before anything is polled; a source that fails for good; a
    /// destination that is gone ([`Verdict::Stop`](crate::sink::Verdict::Stop));
    /// [`OnExhausted::Stop`]. The error carries the report.
    pub async fn run_until(
        self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Report, PipelineError> {
        if let Err(error) = self.check() {
            return Err(PipelineError {
                error,
                report: Report::default(),
            });
        }
        let Self {
            source,
            sink,
            dead_letter,
            mut options,
            live,
            progress,
        } = self;
        let live = live.subscribe();
        options.adopt(live.borrow().clone());
        let engine = run::Engine::new(
            (options, live),
            &*source,
            &*sink,
            dead_letter.as_deref(),
            &progress,
        );
        // Some kilobytes, which every future around it would carry along.
        Box::pin(engine.run(source, shutdown)).await
    }

    fn check(&self) -> Result<(), Error> {
        let live = self.live.borrow();
        control::check(&live, self.dead_letter.is_some(), self.can_release())
    }

    fn can_release(&self) -> bool {
        let capability = self.source.capability();
        capability.release && capability.settling != Family::Cumulative
    }

    /// The options as they are now, also for whoever has a [`Control`] already.
    fn changed(self) -> Self {
        self.live.send_replace(self.options.live());
        self
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("sink", &self.sink.destination())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
