//! How long things took lately.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

/// The latest durations, in milliseconds.
#[derive(Clone, Debug)]
pub struct Latest {
    values: VecDeque<u64>,
    most: usize,
}

impl Latest {
    /// Keeps so many.
    pub fn new(most: usize) -> Self {
        Self {
            values: VecDeque::new(),
            most,
        }
    }

    pub fn push(&mut self, ms: u64) {
        if self.values.len() == self.most {
            self.values.pop_front();
        }
        self.values.push_back(ms);
    }

    /// The median and the 99th percentile.
    pub fn percentiles(&self) -> Option<(u64, u64)> {
        let mut sorted: Vec<_> = self.values.iter().copied().collect();
        sorted.sort_unstable();
        let at = |share: usize| sorted.get((sorted.len().saturating_sub(1)) * share / 100);
        Some((*at(50)?, *at(99)?))
    }
}

/// How long ago a time was, in milliseconds since 1970. Nothing for one that is still to come.
pub fn since(unix_millis: i64) -> Option<u64> {
    u64::try_from(now() - unix_millis).ok()
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.unwrap_or(Duration::ZERO).as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_count() {
        let mut latest = Latest::new(100);
        assert_eq!(latest.percentiles(), None);
        (0..1000).for_each(|ms| latest.push(ms));
        assert_eq!(latest.percentiles(), Some((949, 998)));
        assert_eq!(since(now() + 60_000), None);
    }
}
