//! What can be set for a poller, whichever broker it polls.

use std::{ops::RangeInclusive, time::Duration};

/// How a queue is polled.
///
/// The defaults are made for SQS and MNS: one long poll at a time on an idle queue, enough receives
/// to keep a pipeline busy on a full one.
///
/// ```
/// use std::time::Duration;
/// use eventlane::queue::PollerOptions;
///
/// // Few and slow deliveries: lease no more than they can have in hand, and stop within 5 s.
/// let options = PollerOptions::default()
///     .with_receivers(1..=2)
///     .with_max_held(50)
///     .with_wait(Duration::from_secs(5));
/// assert_eq!(options.linger, Duration::from_millis(100));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollerOptions {
    /// How many receives run at a time: the first number when the queue is idle, up to the second
    /// one while they come back full and there is room for more. Default 1 to 8; never less than 1.
    pub receivers: RangeInclusive<usize>,
    /// How long a receive waits for the first message; at most what the broker allows, which is the
    /// default ([`Limits::wait`](super::Limits::wait)). A stop lets the receives under way end, so
    /// it takes up to so long. The shorter, the more requests an idle queue costs; zero is followed
    /// by pauses instead.
    pub wait: Duration,
    /// Messages on lease here at most, whatever the pipeline would take: buffered, in the
    /// pipeline's hands, and asked for. Default 1000; 0 counts as 1.
    pub max_held: usize,
    /// How long a delete may wait for others to go with it, up to
    /// [`Limits::batch`](super::Limits::batch) of them. Default 100 ms; more than 1 s counts as 1
    /// s. Message groups and leases that are nearly over are not kept waiting.
    pub linger: Duration,
    /// Seeds the random part of delays, so that a run can be repeated. Default: random.
    pub seed: u64,
}

impl Default for PollerOptions {
    fn default() -> Self {
        Self {
            receivers: 1..=8,
            wait: Duration::MAX,
            max_held: 1000,
            linger: Duration::from_millis(100),
            seed: fastrand::u64(..),
        }
    }
}

impl PollerOptions {
    /// Sets how many receives run at a time.
    #[must_use]
    pub fn with_receivers(mut self, receivers: RangeInclusive<usize>) -> Self {
        self.receivers = receivers;
        self
    }

    /// Sets how long a receive waits. What the broker does not allow is shortened to what it does.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets how many messages are on lease here at most.
    #[must_use]
    pub fn with_max_held(mut self, messages: usize) -> Self {
        self.max_held = messages;
        self
    }

    /// Sets how long a delete may wait for others.
    #[must_use]
    pub fn with_linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Seeds the random part of delays.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub(super) fn least(&self) -> usize {
        (*self.receivers.start()).max(1)
    }

    /// Receives on a full queue; an empty range counts as its start.
    pub(super) fn most(&self) -> usize {
        self.least().max(*self.receivers.end())
    }
}
