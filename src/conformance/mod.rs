//! The suite that every connector passes: whether a [`Source`](crate::Source) keeps its
//! [contract](crate::source).
//!
//! A connector's tests implement [`Harness`], which produces messages and opens sources. Then
//! `eventlane::conformance::tests!(MyHarness)` ([`tests!`](tests)) makes one test of each case, and
//! [`run`] runs them all and returns a [`Report`]. What the source's
//! [`Capability`](crate::Capability) doesn't have is not tested: such a test passes and prints why
//! it does not apply.
//!
//! ```
//! use async_trait::async_trait;
//! use eventlane::{
//!     Capability, Event, Result, Source,
//!     conformance::{self, Harness, Message},
//!     event::Data,
//!     memory::{MemoryLog, Record},
//! };
//!
//! struct Logs;
//!
//! #[async_trait]
//! impl Harness for Logs {
//!     type Topic = MemoryLog;
//!
//!     fn capability(&self) -> Capability {
//!         Capability::log()
//!     }
//!
//!     async fn create(&self) -> Result<MemoryLog> {
//!         Ok(MemoryLog::new(2))
//!     }
//!
//!     async fn produce(&self, log: &MemoryLog, messages: &[Message]) -> Result<()> {
//!         for Message { key, body, partition, .. } in messages.iter().cloned() {
//!             let event = Event::builder().id("1").source("/test").ty("test");
//!             let event = event.data(Data::bytes(body)).build()?;
//!             log.append_all(partition, [Record::new(event).with_key(key)]);
//!         }
//!         Ok(())
//!     }
//!
//!     async fn open(&self, log: &MemoryLog) -> Result<Box<dyn Source>> {
//!         Ok(Box::new(log.source("group")))
//!     }
//! }
//!
//! // In tests: eventlane::conformance::tests!(Logs, start_paused = true);
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let report = conformance::run(&Logs).await;
//! assert!(report.failed().is_empty(), "{report}");
//! # }
//! ```
//!
//! | case | shows that |
//! |---|---|
//! | `delivers_all` | every message comes, once, with its key, and nothing else |
//! | `keeps_order` | order holds within a partition, or a key: [`Harness::order`] |
//! | `redelivers_what_was_abandoned` | what a dropped source had not settled comes again |
//! | `loses_nothing_when_polls_are_dropped` | `poll` is cancel-safe |
//! | `settles_by_position` | a restart begins exactly where was settled |
//! | `commits_only_below_the_gap` | what is done beyond a gap commits nothing of the gap |
//! | `settles_one_by_one` | only what is not done comes again, whatever the order |
//! | `settles_while_a_poll_waits` | the two halves don't exclude each other |
//! | `refuses_the_wrong_settlement` | what the capability lacks fails as `Unsupported`, without effect |
//! | `epochs_rise` | a partition that comes back has a higher epoch |
//! | `fences_late_settlements` | settling after a partition went fails as `Fenced`, without effect |
//! | `hands_over_what_was_settled` | settling during a revocation counts |
//! | `redelivers_when_a_lease_ends` | a message comes again when its lease ends, not before |
//! | `fences_ended_leases` | settling after that fails as `Fenced`, without effect |
//! | `keeps_extended_leases` | an extended lease lasts longer |
//! | `releases_when_told` | a released message comes again after its delay, not before |
//! | `caps_records`, `caps_bytes` | the demand is a hard cap |
//! | `gives_nothing_without_demand` | without demand there are news, but no deliveries |
//! | `pauses_and_resumes` | a paused partition is silent, the others are not |
//! | `gives_back_when_closed` | closing gives back what is unsettled, and keeps the rest |
//! | `fences_when_closed` | settling after closing fails as `Fenced`, without effect |
//!
//! Besides, every signal of every case is checked against those before it: deliveries come only of
//! assigned partitions, under their epoch, with rising `seq`, and within the demand.
//!
//! Time is that of the harness's tests: paused for sources in memory, real for brokers. Nothing
//! waits for a fixed time, except to see that nothing comes: [`Timing`].

mod cases;
mod harness;
mod reader;
mod report;
mod rules;
mod stage;

use tokio::time::Instant;

use self::{
    cases::Case,
    stage::{Stage, Traits},
};
pub use self::{
    harness::{Harness, Message, Order, Timing},
    report::{CaseOutcome, CaseReport, Report},
};

/// Runs every case that applies, one after the other.
///
/// A source that panics ends the run with its panic.
pub async fn run<H: Harness>(harness: &H) -> Report {
    let mut reports = Vec::with_capacity(cases::ALL.len());
    for case in cases::ALL {
        reports.push(run_case(case, harness).await);
    }
    Report { cases: reports }
}

/// Runs the case of this name, and panics if it fails: what each test of [`tests!`](tests) does.
///
/// # Panics
/// If the source breaks the contract, or there is no such case.
pub async fn check<H: Harness>(name: &str, harness: &H) {
    let case = cases::ALL.iter().find(|case| case.name == name);
    let case = case.unwrap_or_else(|| panic!("there is no case {name}"));
    let report = run_case(case, harness).await;
    assert!(
        !matches!(report.outcome, CaseOutcome::Failed(_)),
        "{report}"
    );
    println!("{report}");
}

async fn run_case<H: Harness>(case: &Case, harness: &H) -> CaseReport {
    let start = Instant::now();
    let outcome = match (case.exempt)(&Traits::of(harness)) {
        Some(why) => CaseOutcome::NotApplicable(why),
        None => {
            let verdict = match Stage::set_up(harness).await {
                Ok(stage) => (case.run)(&stage).await,
                Err(violation) => Err(violation),
            };
            match verdict {
                Ok(()) => CaseOutcome::Passed,
                Err(violation) => CaseOutcome::Failed(violation.to_string()),
            }
        }
    };
    CaseReport {
        name: case.name,
        outcome,
        took: Instant::now().saturating_duration_since(start),
    }
}

/// Makes a test of every case of the suite, against the harness that the expression builds, anew
/// for each test. It may `.await`.
///
/// What follows the harness goes to `#[tokio::test]`: `tests!(harness, start_paused = true)`. The
/// crate that uses it needs `tokio` with the features `macros` and `rt` itself.
///
/// ```
/// # #[cfg(test)]
/// mod conformance {
///     eventlane::conformance::tests!(super::MyHarness, flavor = "multi_thread");
/// }
/// ```
#[doc(inline)]
pub use crate::__conformance_tests as tests;

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($harness:expr $(, $($options:tt)*)?) => {
        $crate::__conformance_tests! {
            @each ($harness) ($($($options)*)?)
            delivers_all
            keeps_order
            redelivers_what_was_abandoned
            loses_nothing_when_polls_are_dropped
            settles_by_position
            commits_only_below_the_gap
            settles_one_by_one
            settles_while_a_poll_waits
            refuses_the_wrong_settlement
            epochs_rise
            fences_late_settlements
            hands_over_what_was_settled
            redelivers_when_a_lease_ends
            fences_ended_leases
            keeps_extended_leases
            releases_when_told
            caps_records
            caps_bytes
            gives_nothing_without_demand
            pauses_and_resumes
            gives_back_when_closed
            fences_when_closed
        }
    };
    (@each $harness:tt $options:tt $($name:ident)*) => {
        $($crate::__conformance_tests! { @one $harness $options $name })*
    };
    (@one ($harness:expr) ($($options:tt)*) $name:ident) => {
        #[::tokio::test($($options)*)]
        async fn $name() {
            $crate::conformance::check(stringify!($name), &$harness).await;
        }
    };
}

#[cfg(test)]
mod tests {
    use super::cases;

    /// The macro and the table can't be made from the list of cases, so they must not fall behind
    /// it.
    #[test]
    fn every_case_is_documented_and_made_a_test() {
        let this = include_str!("mod.rs");
        for case in cases::ALL {
            let (row, line) = (
                format!("`{}`", case.name),
                format!("\n            {}\n", case.name),
            );
            assert!(this.contains(&row), "no row for {row}");
            assert!(this.contains(&line), "no test for {row}");
        }
    }
}
