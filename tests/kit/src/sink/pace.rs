//! How many events were taken when.

use std::time::Duration;

use tokio::time::Instant;

const STEP: Duration = Duration::from_millis(10);

/// Counts by the hundredth of a second, since each event's instant would be too much to keep.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    counts: Vec<u32>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            counts: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, events: usize) {
        let step = self.step(Instant::now());
        if self.counts.len() <= step {
            self.counts.resize(step + 1, 0);
        }
        self.counts[step] += events as u32;
    }

    /// Between two instants, and up to a step around them.
    pub(super) fn between(&self, from: Instant, to: Instant) -> u64 {
        let (from, to) = (self.step(from), self.step(to) + 1);
        let counts = self.counts.iter().take(to).skip(from);
        counts.map(|count| u64::from(*count)).sum()
    }

    fn step(&self, at: Instant) -> usize {
        let passed = at.saturating_duration_since(self.start);
        (passed.as_millis() / STEP.as_millis()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn counts_what_came_meanwhile() {
        let mut pace = Pace::new();
        pace.count(3);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let later = Instant::now();
        assert_eq!(pace.between(later, later), 0);
        pace.count(2);
        pace.count(1);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let now = Instant::now();
        assert_eq!(pace.between(later, now), 3);
        assert_eq!(pace.between(later - Duration::from_secs(1), now), 6);
        assert_eq!(pace.between(later - Duration::from_secs(60), now), 6);
        assert_eq!(
            pace.between(
                later - Duration::from_secs(60),
                later - Duration::from_millis(500)
            ),
            3
        );
    }
}
