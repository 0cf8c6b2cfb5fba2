//! What a pipeline can be told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What has to stay in order.
///
/// Order holds through retries: an event that fails holds those behind it in its lane, and no other
/// lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ordering {
    /// Nothing: every event for itself.
    None,
    /// Events of one partition.
    Partition,
    /// Events of one partition with equal keys. The default.
    #[default]
    Key,
}

/// Where an event without a key goes under [`Ordering::Key`].
///
/// ```
/// use eventlane::{Keyless, Pipeline, memory::MemoryLog, sink::FunctionSink};
///
/// # fn sink() -> impl eventlane::Sink { FunctionSink::new(|_: eventlane::Event| async {}) }
/// // Log lines without a key, whose order nobody needs: 64 requests at a time instead of one.
/// let pipeline = Pipeline::new(MemoryLog::new(1).source("logs"), sink())
///     .with_keyless(Keyless::Unordered);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Keyless {
    /// All such events of a partition form one lane, in order. Safe, and as slow as one request at
    /// a time for each partition. The default.
    #[default]
    Partition,
    /// Each is on its own, without order.
    Unordered,
}

/// How much may be in hand at once. Reading stops when a budget is used up, and goes on when there
/// is room again.
///
/// Reading goes on once an eighth of a budget is free: smaller refills would cost a poll for a few
/// events each. Of what can be sent at once, no more is read ahead of a log than eight times the
/// requests in flight, or eight batches if that is more: the rest of the budgets is for what has to
/// wait. What the source itself prefetches comes on top. A budget of 0 is a `Config` error when the
/// pipeline starts.
///
/// ```
/// use eventlane::Budgets;
///
/// // A slow receiver of large events: few requests, and 16 MiB at most.
/// let budgets = Budgets::default().with_requests(8).with_bytes(16 << 20);
/// assert_eq!((budgets.events, budgets.span), (10_000, 1_000_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Budgets {
    /// Requests in flight. Default 64.
    pub requests: usize,
    /// Events read and not yet done. Default 10,000.
    pub events: usize,
    /// Their bytes, by [`Event::size`](crate::Event::size); one event may exceed it. Default 64
    /// MiB.
    pub bytes: usize,
    /// Events of one partition between the oldest that is not done and the newest one read. Beyond,
    /// this partition is paused and no other. Bounds what a crash repeats. Default 1,000,000.
    pub span: u64,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            requests: 64,
            events: 10_000,
            bytes: 64 << 20,
            span: 1_000_000,
        }
    }
}

impl Budgets {
    /// Sets the requests in flight.
    #[must_use]
    pub fn with_requests(mut self, requests: usize) -> Self {
        self.requests = requests;
        self
    }

    /// Sets the events in hand.
    #[must_use]
    pub fn with_events(mut self, events: usize) -> Self {
        self.events = events;
        self
    }

    /// Sets the bytes in hand.
    #[must_use]
    pub fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the open span of a partition, in events.
    #[must_use]
    pub fn with_span(mut self, span: u64) -> Self {
        self.span = span;
        self
    }
}

/// How events are put together. A batch is sent when it is full by count or bytes, or when its
/// oldest event has waited for the linger time.
///
/// Only events that may be sent wait for company; with order by key, at most one batch of a key is
/// on its way. Where the sink answers for each event ([`Verdicts::PerEvent`]), a batch has at most
/// one event of each lane. A batch that is refused as a whole or is too large is halved until the
/// culprit is alone.
///
/// ```
/// use std::time::Duration;
/// use eventlane::BatchPolicy;
///
/// let batch = BatchPolicy::new(100, Duration::from_millis(20)).with_bytes(256 << 10);
/// assert_eq!((batch.events, batch.bytes), (100, 262_144));
/// ```
///
/// [`Verdicts::PerEvent`]: crate::sink::Verdicts::PerEvent
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BatchPolicy {
    /// Events in a batch at most. Default 1: no batches.
    pub events: usize,
    /// Bytes in a batch at most, by [`Event::size`](crate::Event::size); an event larger than that
    /// goes alone. Default 1 MiB.
    pub bytes: usize,
    /// How long an event may wait for company. Default 0.
    #[serde(with = "crate::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::duration::Written"))]
    pub linger: Duration,
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self {
            events: 1,
            bytes: 1 << 20,
            linger: Duration::ZERO,
        }
    }
}

impl BatchPolicy {
    /// Batches of up to `events`, waiting up to `linger`.
    pub fn new(events: usize, linger: Duration) -> Self {
        Self {
            events,
            linger,
            ..Self::default()
        }
    }

    /// Sets the bytes.
    #[must_use]
    pub fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

/// What becomes of an event whose retries have ended, or that the sink rejects.
///
/// ```
/// use eventlane::{OnExhausted, Pipeline, Retry, memory::MemoryLog, sink::FunctionSink};
///
/// # fn sink() -> impl eventlane::Sink { FunctionSink::new(|_: eventlane::Event| async {}) }
/// // Five attempts, then the pipeline stops, and somebody has a look.
/// let pipeline = Pipeline::new(MemoryLog::new(1).source("orders"), sink())
///     .with_retry(Retry::default().with_attempts(5))
///     .with_on_exhausted(OnExhausted::Stop);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum OnExhausted {
    /// It is tried on at the longest delay, and its lane waits. Nothing is lost. The default.
    #[default]
    Block,
    /// It goes to the dead-letter sink; if that fails, it is tried there until it works, and the
    /// watermark holds.
    DeadLetter,
    /// It is given back to the broker, to be handed out again after this time; the rest of its lane
    /// is given back with it. Only for sources that can.
    Release {
        /// The delay at the broker. In a configuration file: none, unless it is given.
        #[serde(default, with = "crate::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "crate::duration::Written"))]
        after: Duration,
    },
    /// It is dropped, counted and logged. **Loses events.**
    Drop,
    /// The pipeline stops with an error.
    Stop,
}
