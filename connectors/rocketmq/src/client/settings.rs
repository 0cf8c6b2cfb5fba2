//! What servers say of a group.
//!
//! It comes as the answer to our settings, and again whenever an operator changes the group. How we
//! retry is ours to decide; whether the group is a FIFO one is not.

use std::time::Duration;

use super::pb;

/// What the server has said of the consumer group. It may say something else at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSettings {
    /// Whether the group gets messages in order (`consumeMessageOrderly`).
    pub fifo: bool,
    /// How often a message is handed out before it is a dead letter: the group's `retryMaxTimes`
    /// and one. `None` if the server does not say.
    pub max_attempts: Option<u32>,
    /// How long the server would wait before each further attempt, the last for all that follow.
    pub backoff: Vec<Duration>,
    /// How many messages one receive may ask for, if the server says.
    pub batch: Option<usize>,
    /// How long the server holds a receive at most, if it says.
    pub longest_wait: Option<Duration>,
}

impl ServerSettings {
    /// How long the server would wait after this attempt, the first of which is 1. `None` if it does
    /// not say.
    pub fn backoff_of(&self, attempt: u32) -> Option<Duration> {
        let at = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        self.backoff.get(at).or(self.backoff.last()).copied()
    }

    pub(super) fn read(settings: &pb::Settings) -> Self {
        let subscription = match &settings.pub_sub {
            Some(pb::PubSub::Subscription(it)) => Some(it),
            Some(pb::PubSub::Publishing(_)) | None => None,
        };
        let batch = subscription.and_then(|it| usize::try_from(it.receive_batch_size?).ok());
        let longest_wait = subscription.and_then(|it| it.long_polling_timeout?.try_into().ok());
        let policy = settings.backoff_policy.as_ref();
        let backoff = match policy.and_then(|policy| policy.strategy.as_ref()) {
            Some(pb::Strategy::Customized(it)) => it
                .next
                .iter()
                .filter_map(|next| (*next).try_into().ok())
                .collect(),
            Some(pb::Strategy::Exponential(it)) => exponential(it),
            None => Vec::new(),
        };
        Self {
            fifo: subscription.is_some_and(|it| it.fifo == Some(true)),
            batch: batch.filter(|messages| *messages > 0),
            longest_wait: longest_wait.filter(|wait: &Duration| !wait.is_zero()),
            max_attempts: policy
                .and_then(|policy| u32::try_from(policy.max_attempts).ok())
                .filter(|attempts| *attempts > 0),
            backoff,
        }
    }
}

fn exponential(policy: &pb::ExponentialBackoff) -> Vec<Duration> {
    const MOST: usize = 32;
    let read = |duration: Option<prost_types::Duration>| duration?.try_into().ok();
    let longest = read(policy.max).unwrap_or(Duration::MAX);
    let Some(first) = read(policy.initial) else {
        return Vec::new();
    };
    let next = |last: &Duration| {
        let seconds = last.as_secs_f64() * f64::from(policy.multiplier);
        let next = Duration::try_from_secs_f64(seconds)
            .unwrap_or(longest)
            .min(longest);
        (next > *last).then_some(next)
    };
    std::iter::successors(Some(first.min(longest)), next)
        .take(MOST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::duration;

    fn policy(strategy: pb::Strategy) -> ServerSettings {
        ServerSettings::read(&pb::Settings {
            backoff_policy: Some(pb::RetryPolicy {
                max_attempts: 17,
                strategy: Some(strategy),
            }),
            ..Default::default()
        })
    }

    #[test]
    fn back_offs_are_read() {
        let seconds = |list: &[u64]| list.iter().map(|it| Duration::from_secs(*it)).collect();
        let list: Vec<Duration> = seconds(&[1, 5, 10]);
        let next = list.iter().map(|it| duration(*it)).collect();
        let read = policy(pb::Strategy::Customized(pb::CustomizedBackoff { next }));
        let waits = [1, 2, 3, 4, 100].map(|attempt| read.backoff_of(attempt).unwrap().as_secs());
        assert_eq!(waits, [1, 5, 10, 10, 10]);
        assert_eq!(ServerSettings::default().backoff_of(1), None);
        assert_eq!((read.backoff, read.max_attempts), (list, Some(17)));
        let exponential = |multiplier| {
            policy(pb::Strategy::Exponential(pb::ExponentialBackoff {
                initial: Some(duration(Duration::from_secs(1))),
                max: Some(duration(Duration::from_secs(5))),
                multiplier,
            }))
        };
        let expected: Vec<Duration> = seconds(&[1, 2, 4, 5]);
        assert_eq!(exponential(2.0).backoff, expected);
        for odd in [0.0, 1.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(exponential(odd).backoff.len() <= 2, "{odd}");
        }
    }

    #[test]
    fn what_is_missing_is_no_harm() {
        assert_eq!(
            ServerSettings::read(&pb::Settings::default()),
            ServerSettings::default()
        );
    }
}
