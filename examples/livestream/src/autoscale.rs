//! How many workers there should be.

use std::time::Duration;

use tokio::time::Instant;

use crate::worker::SLOTS;

/// How long to wait after a worker was started before another one is: what they take off the others
/// shows only when they are ready.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long less must be enough before a worker goes.
const COOL_DOWN: Duration = Duration::from_secs(3);
/// How much the latest look counts: what lasts for a single look starts nobody.
const WEIGHT: f64 = 0.4;
/// How busy a worker should be: the rest is for what comes before another one has started.
const TARGET: f64 = 0.7;

/// Decides by what is in flight and what waits: as Knative does by concurrency, and KEDA by lag.
#[derive(Debug)]
pub(crate) struct Autoscaler {
    most: usize,
    smoothed: f64,
    grown: Option<Instant>,
    /// Since when fewer would do.
    low: Option<Instant>,
}

impl Autoscaler {
    /// Between one worker and `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            smoothed: 0.0,
            grown: None,
            low: None,
        }
    }

    /// How many there should be, where there are `workers`, starting ones included, and `load`
    /// events are with them or wait for one.
    pub(crate) fn wanted(&mut self, load: usize, workers: usize, now: Instant) -> usize {
        self.smoothed += WEIGHT * (load as f64 - self.smoothed);
        let needed = (self.smoothed / (TARGET * SLOTS as f64)).ceil();
        let needed = (needed as usize).clamp(1, self.most);
        if needed >= workers {
            self.low = None;
            let ready = |at| now.saturating_duration_since(at) >= WARM_UP;
            if needed == workers || !self.grown.is_none_or(ready) {
                return workers;
            }
            self.grown = Some(now);
            return workers + 1;
        }
        let since = *self.low.get_or_insert(now);
        if now.saturating_duration_since(since) < COOL_DOWN {
            return workers;
        }
        // One at a time: the next one has the same time to prove that it is not needed.
        self.low = Some(now);
        workers - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks five times a second at a constant load, for so many seconds.
    fn run(
        scaler: &mut Autoscaler,
        now: &mut Instant,
        load: usize,
        seconds: u32,
        mut n: usize,
    ) -> usize {
        for _ in 0..seconds * 5 {
            *now += Duration::from_millis(200);
            n = scaler.wanted(load, n, *now);
        }
        n
    }

    #[tokio::test(start_paused = true)]
    async fn grows_soon_and_shrinks_by_and_by() {
        let (mut scaler, mut now) = (Autoscaler::new(6), Instant::now());
        let n = run(&mut scaler, &mut now, 1, 2, 1);
        assert_eq!(n, 1);
        let n = run(&mut scaler, &mut now, 5, 1, n);
        assert_eq!(n, 3, "one, and half a second later one more");
        let n = run(&mut scaler, &mut now, 5, 5, n);
        assert_eq!(n, 4, "5 events at 1.4 a worker");
        let n = run(&mut scaler, &mut now, 500, 3, n);
        assert_eq!(n, 6, "and no more than that");
        // Two seconds until the load is forgotten, three until one goes.
        let n = run(&mut scaler, &mut now, 0, 6, n);
        assert_eq!(n, 5);
        let n = run(&mut scaler, &mut now, 0, 30, n);
        assert_eq!(n, 1, "one is always there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_peak_starts_nobody() {
        let (mut scaler, now) = (Autoscaler::new(6), Instant::now());
        assert_eq!(scaler.wanted(3, 1, now), 1);
        assert_eq!(scaler.wanted(0, 1, now), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_killed_is_replaced() {
        let (mut scaler, mut now) = (Autoscaler::new(6), Instant::now());
        let n = run(&mut scaler, &mut now, 4, 5, 1);
        let n = run(&mut scaler, &mut now, 4, 1, n - 1);
        assert_eq!(n, 3);
        assert_eq!(run(&mut scaler, &mut now, 0, 1, 0), 1);
    }
}
