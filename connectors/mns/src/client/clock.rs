//! What time it is for the server.
//!
//! A request is refused if its date is too far from the server's time (15 minutes). The difference
//! is found from the `Date` of a refusal and applies to all requests from then on; it is never
//! taken from answers that are fine, and nothing but the dates of requests depends on it. Racing
//! corrections come to the same.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

/// This machine's clock, and by how much it is corrected.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Milliseconds to add.
    offset: AtomicI64,
}

impl Clock {
    pub(super) fn now(&self) -> SystemTime {
        shift(SystemTime::now(), self.offset.load(Ordering::Relaxed))
    }

    /// Goes by the server's clock from now on; says so in the log, since people should mend it.
    pub(super) fn correct(&self, server: SystemTime) {
        let offset = between(SystemTime::now(), server);
        self.offset.store(offset, Ordering::Relaxed);
        tracing::warn!("{}; dates are corrected by that", describe(offset));
    }

    /// By how much this machine's clock is off, in words.
    pub(super) fn fault(&self) -> String {
        describe(self.offset.load(Ordering::Relaxed))
    }
}

fn describe(offset: i64) -> String {
    let seconds = offset.unsigned_abs() / 1000;
    let side = if offset < 0 { "ahead of" } else { "behind" };
    format!("the clock of this machine is {seconds} s {side} the server's")
}

/// Milliseconds from one time to another.
fn between(from: SystemTime, to: SystemTime) -> i64 {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match to.duration_since(from) {
        Ok(later) => millis(later),
        Err(earlier) => -millis(earlier.duration()),
    }
}

/// The time itself if the corrected one could not be written.
fn shift(time: SystemTime, millis: i64) -> SystemTime {
    let by = Duration::from_millis(millis.unsigned_abs());
    let shifted = match millis < 0 {
        true => time.checked_sub(by),
        false => time.checked_add(by),
    };
    // HTTP dates have four digits for the year.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    shifted
        .filter(|shifted| (SystemTime::UNIX_EPOCH..=last).contains(shifted))
        .unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_server_in_both_directions() {
        let hour = Duration::from_secs(3600);
        let clock = Clock::default();
        for (server, words) in [
            (SystemTime::now() + hour, "s behind the server's"),
            (SystemTime::now() - hour, "s ahead of the server's"),
        ] {
            clock.correct(server);
            assert!(between(server, clock.now()).abs() < 60_000);
            let fault = clock.fault();
            assert!(fault.contains(words) && fault.contains("is 3"), "{fault}");
        }
    }

    #[test]
    fn is_not_led_out_of_the_calendar() {
        let now = SystemTime::now();
        assert_eq!(shift(now, i64::MAX), now);
        assert_eq!(shift(now, i64::MIN), now);
    }
}
