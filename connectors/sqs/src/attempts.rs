//! The ids of receives, by which a FIFO queue recognises one that is made again.
//!
//! SQS answers a receive that carries the `ReceiveRequestAttemptId` of an earlier one with the same
//! messages under the same handles, and begins their leases anew, for five minutes after the first
//! and as long as none of them was deleted or had its lease changed (SQS API reference,
//! ReceiveMessage). Standard queues don't know it.
//!
//! An attempt belongs to one receive at a time: [`Attempts::begin`] takes it out, and only
//! [`Attempts::lose`] puts it back. Two receives under one id would have the same messages.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// For how long a queue knows an id.
const KNOWN: Duration = Duration::from_secs(5 * 60);

/// A receive. Made again with the same id, it is answered with the same messages, under the same
/// handles: what the lost answer held does not stay on lease with nobody to deliver it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// 32 hexadecimal digits, at random.
    pub(crate) id: String,
    /// How many messages it asked for; the answer may hold as many.
    pub(crate) max: usize,
    /// When it was made for the first time; making it again does not prolong it.
    first: Instant,
}

/// The receives whose answers were lost.
#[derive(Debug)]
pub(crate) struct Attempts {
    known: Duration,
    lost: Mutex<Vec<Attempt>>,
}

impl Attempts {
    /// With leases of this length. An attempt is not made again when its leases have ended: whoever
    /// has slept for so long would ask for what others have received since, and ElasticMQ gives it.
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            known: KNOWN.min(lease),
            lost: Mutex::default(),
        }
    }

    /// The receive to make now: one that was lost and asked for no more than `max`, or a new one.
    /// Its `max` is what to ask for: the same request has to be made, and its answer has to fit.
    pub(crate) fn begin(&self, max: usize) -> Attempt {
        let now = Instant::now();
        let mut lost = self.lost();
        lost.retain(|attempt| now.saturating_duration_since(attempt.first) < self.known);
        match lost.iter().position(|attempt| attempt.max <= max) {
            Some(at) => lost.remove(at),
            None => Attempt {
                id: format!("{:032x}", fastrand::u128(..)),
                max,
                first: now,
            },
        }
    }

    /// The answer was lost. Not for receives that were refused: those hold no messages.
    pub(crate) fn lose(&self, attempt: Attempt) {
        self.lost().push(attempt);
    }

    fn lost(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lost_receive_is_made_again() {
        let attempts = Attempts::new(KNOWN);
        let first = attempts.begin(10);
        let other = attempts.begin(10);
        assert_ne!(first.id, other.id);
        attempts.lose(first.clone());
        assert_eq!(attempts.begin(10), first);
        assert_ne!(attempts.begin(10).id, first.id);
    }

    #[tokio::test(start_paused = true)]
    async fn its_answer_must_fit() {
        let attempts = Attempts::new(KNOWN);
        let lost = attempts.begin(10);
        attempts.lose(lost.clone());
        assert_ne!(attempts.begin(9).id, lost.id);
        assert_eq!(attempts.begin(10).max, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_forgets_it_after_five_minutes() {
        let attempts = Attempts::new(KNOWN);
        let lost = attempts.begin(1);
        attempts.lose(lost.clone());
        tokio::time::advance(KNOWN - Duration::from_secs(1)).await;
        let again = attempts.begin(1);
        assert_eq!(again, lost);
        // Trying again does not prolong it.
        attempts.lose(again);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_ne!(attempts.begin(1).id, lost.id);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_made_again_when_its_leases_have_ended() {
        let attempts = Attempts::new(Duration::from_secs(30));
        let lost = attempts.begin(1);
        attempts.lose(lost.clone());
        tokio::time::advance(Duration::from_secs(29)).await;
        let again = attempts.begin(1);
        assert_eq!(again, lost);
        attempts.lose(again);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_ne!(attempts.begin(1).id, lost.id);
    }
}
