//! When a failed event is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When an event that was not taken is tried again, and for how long.
///
/// The first retry comes early (25 to 50 ms by default): with order kept per key, the delay of a
/// retry and not the processor decides how long a stream with a few failures takes. A `Retry-After`
/// of the destination rests the whole destination in addition.
///
/// ```
/// use std::time::Duration;
/// use eventlane::Retry;
///
/// let retry = Retry::default().with_attempts(5).with_delays(Duration::from_millis(20), Duration::from_secs(2));
/// assert_eq!(retry.attempts, Some(5));
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Retry {
    /// How often an event is tried before [`OnExhausted`](crate::OnExhausted) decides; `None`: no
    /// limit. Default 10.
    pub attempts: Option<u32>,
    /// The first failure that comes so long after the event's first one is its last. An attempt
    /// that is already due by then is still made. Default: no limit.
    #[serde(with = "crate::duration::optional")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<crate::duration::Written>")
    )]
    pub elapsed: Option<Duration>,
    /// The delay before the first retry. Default 50 ms.
    #[serde(with = "crate::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::duration::Written"))]
    pub initial: Duration,
    /// No delay is longer. Default 30 s.
    #[serde(with = "crate::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::duration::Written"))]
    pub max: Duration,
    /// How delays grow. Default [`Growth::Exponential`].
    pub growth: Growth,
    /// The random part of a delay, from 0 to 1: with 0.5 a delay of 2 s becomes 1 to 2 s. Default
    /// 0.5.
    pub jitter: f64,
    /// How long one attempt may take; a longer one fails and is tried again. Default 30 s.
    #[serde(with = "crate::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::duration::Written"))]
    pub timeout: Duration,
}

/// How retry delays grow from [`Retry::initial`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Growth {
    /// `initial * n` before retry n.
    Linear,
    /// `initial * 2^(n-1)` before retry n.
    Exponential,
    /// `initial * 2^n` before retry n: Knative Eventing's exponential policy, whose first delay is
    /// twice the `backoffDelay`.
    KnativeExponential,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: Some(10),
            elapsed: None,
            initial: Duration::from_millis(50),
            max: Duration::from_secs(30),
            growth: Growth::Exponential,
            jitter: 0.5,
            timeout: Duration::from_secs(30),
        }
    }
}

impl Retry {
    /// Sets the number of attempts, the first included.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Tries on without an end, at the longest delay.
    #[must_use]
    pub fn without_limit(mut self) -> Self {
        (self.attempts, self.elapsed) = (None, None);
        self
    }

    /// Sets the first and the longest delay.
    #[must_use]
    pub fn with_delays(mut self, initial: Duration, max: Duration) -> Self {
        (self.initial, self.max) = (initial, max);
        self
    }

    /// Sets how long one attempt may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the time after which no further attempt begins.
    #[must_use]
    pub fn with_elapsed(mut self, elapsed: Duration) -> Self {
        self.elapsed = Some(elapsed);
        self
    }

    /// Sets how delays grow, and their random part.
    #[must_use]
    pub fn with_growth(mut self, growth: Growth, jitter: f64) -> Self {
        (self.growth, self.jitter) = (growth, jitter);
        self
    }

    /// The delay before retry `n`, from 1. Overflow-safe.
    pub(crate) fn delay(&self, n: u32, random: &mut fastrand::Rng) -> Duration {
        let factor = match self.growth {
            Growth::Linear => n.max(1),
            Growth::Exponential => 1u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX),
            Growth::KnativeExponential => 1u32.checked_shl(n).unwrap_or(u32::MAX),
        };
        self.jittered(self.initial.saturating_mul(factor).min(self.max), random)
    }

    /// The longest delay, for what is tried without an end.
    pub(crate) fn cap(&self, random: &mut fastrand::Rng) -> Duration {
        self.jittered(self.max, random)
    }

    /// Downwards only: `max` stays the longest.
    fn jittered(&self, delay: Duration, random: &mut fastrand::Rng) -> Duration {
        delay.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * random.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(growth: Growth) -> Vec<u64> {
        let retry = Retry::default().with_growth(growth, 0.0);
        let mut random = fastrand::Rng::with_seed(7);
        (1..=4)
            .map(|n| retry.delay(n, &mut random).as_millis() as u64)
            .collect()
    }

    #[test]
    fn grows_as_named() {
        assert_eq!(delays(Growth::Linear), [50, 100, 150, 200]);
        assert_eq!(delays(Growth::Exponential), [50, 100, 200, 400]);
        assert_eq!(delays(Growth::KnativeExponential), [100, 200, 400, 800]);
    }

    #[test]
    fn never_exceeds_the_cap_however_often() {
        let mut random = fastrand::Rng::with_seed(7);
        for growth in [
            Growth::Linear,
            Growth::Exponential,
            Growth::KnativeExponential,
        ] {
            let retry = Retry::default().with_growth(growth, 0.5);
            for n in [0, 1, 31, 32, 33, 1_000_000, u32::MAX] {
                assert!(retry.delay(n, &mut random) <= retry.max);
            }
        }
    }

    #[test]
    fn jitter_takes_off_at_most_its_share() {
        let retry = Retry::default();
        let mut random = fastrand::Rng::with_seed(7);
        let all: Vec<_> = (0..100).map(|_| retry.delay(1, &mut random)).collect();
        assert!(all.iter().all(|d| (25..=50).contains(&d.as_millis())));
        assert!(all.iter().any(|d| *d < all[0]) || all.iter().any(|d| *d > all[0]));
    }
}
