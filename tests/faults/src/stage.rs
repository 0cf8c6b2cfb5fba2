//! The endpoint of a scenario, and the account of what may come twice.

use std::time::Duration;

use eventlane_testkit::{
    CheckingSink,
    sink::{Answer, Faults},
};
use tokio::time::Instant;

use crate::{Bound, Outcome};

/// Long enough for anything that happens at all on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// When nothing more has come for so long, what is missing is lost: longer than any session, lease or
/// back-off of these scenarios.
pub(crate) const QUIET: Duration = Duration::from_secs(40);

/// An endpoint that checks, and how much may come twice by what has gone wrong so far.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) sink: CheckingSink,
    most: u64,
    rewinds: u64,
    overlaps: u64,
}

impl Stage {
    pub(crate) fn start(faults: Faults) -> Self {
        Self {
            sink: CheckingSink::start(faults),
            most: 0,
            rewinds: 0,
            overlaps: 0,
        }
    }

    /// So many more events may come twice.
    pub(crate) fn may_repeat(&mut self, events: u64) {
        self.most += events;
    }

    /// Each key may start again from an earlier event so many times more.
    pub(crate) fn may_rewind(&mut self, times: u64) {
        self.rewinds += times;
    }

    /// So many requests may come while another one of their key is under way.
    pub(crate) fn may_overlap(&mut self, requests: u64) {
        self.overlaps += requests;
    }

    /// At `then` somebody lost what was in flight, and what had been taken since it was last settled.
    pub(crate) fn lost_track(&mut self, in_flight: u64, last_settled: Instant, then: Instant) {
        self.may_repeat(in_flight + self.sink.taken_between(last_settled, then));
        self.may_rewind(1);
    }

    /// From now on requests of the first so many keys get no answer; of none, all do.
    pub(crate) fn hold(&self, keys: u64) {
        let held = (0..keys).map(|key| (format!("k{key}"), Answer::Stall));
        self.sink.set(|faults| faults.keys = held.collect());
    }

    /// Waits until so many different events have been taken.
    pub(crate) fn wait_for(&self, events: u64) {
        self.sink.wait(LIMIT, |seen| seen.distinct >= events);
    }

    /// Waits until so many more events have been taken, or `total` different ones.
    pub(crate) fn wait_for_more(&self, events: u64, total: u64) {
        let before = self.sink.report();
        self.sink.wait(LIMIT, |seen| {
            let more = seen.distinct + seen.duplicates - before.distinct - before.duplicates;
            more >= events || seen.distinct >= total
        });
    }

    /// Waits until `total` different events have been taken, or nothing comes any more.
    pub(crate) fn wait_for_all(&self, total: u64) {
        let (mut seen, mut since) = (self.sink.report(), Instant::now());
        while seen.distinct < total && since.elapsed() < QUIET {
            std::thread::sleep(Duration::from_millis(50));
            let now = self.sink.report();
            if now.attempts > seen.attempts {
                since = Instant::now();
            }
            seen = now;
        }
    }

    /// What it came to, where key `k0` was sent `sent[0]` events, and so on.
    pub(crate) fn outcome(self, sent: &[u64], why: String) -> Outcome {
        let seen = self.sink.report();
        let missing = |(key, count): (usize, &u64)| {
            self.sink.missing(&format!("k{key}"), *count).len() as u64
        };
        let backwards = seen.rewinds.saturating_sub(self.rewinds);
        Outcome {
            sent: sent.iter().sum(),
            delivered: seen.distinct,
            lost: sent.iter().enumerate().map(missing).sum(),
            out_of_order: seen.overtaken
                + seen.concurrent.saturating_sub(self.overlaps)
                + backwards
                + seen.invalid,
            duplicates: seen.duplicates,
            bound: Bound {
                most: self.most,
                why,
            },
            defects: seen.defects,
        }
    }
}
