use std::{ops::RangeInclusive, time::Duration};

/// How a queue is polled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollerOptions {
    /// How many receives run at a time: the first number when the queue is idle, up to the second
    /// one while they come back full and there is room for more. Default 1 to 8; never less than 1.
    pub receivers: RangeInclusive<usize>,
    /// How long a receive waits for the first message; at most what the broker allows, which is the
    /// default. A stop lets the receives under way end, so it takes up to so long.
    pub wait: Duration,
    /// Messages on lease here at most, whatever the pipeline would take. Default 1000.
    pub max_held: usize,
    /// How long a delete may wait for others to go with it. Default 100 ms, at most 1 s.
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

    /// Sets how long a receive waits.
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

    pub(super) fn most(&self) -> usize {
        self.least().max(*self.receivers.end())
    }
}
