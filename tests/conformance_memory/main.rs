//! The memory sources pass the conformance suite, and sources that are broken on purpose don't.
#![cfg(feature = "conformance")]

mod broken;
mod harness;

use std::time::Duration;

use eventlane::{conformance, memory::MemoryQueue};

use broken::{Broken, Flaw};
use harness::{Logs, Queues};

const LEASE: Duration = Duration::from_secs(10);

mod log {
    eventlane::conformance::tests!(super::Logs, start_paused = true);
}

mod queue {
    eventlane::conformance::tests!(
        super::Queues(|| super::MemoryQueue::new(super::LEASE)),
        start_paused = true
    );
}

/// As narrow as real queues are: few messages at once, and one of each group.
mod narrow_queue {
    eventlane::conformance::tests!(
        super::Queues(|| super::MemoryQueue::new(super::LEASE)
            .with_limits(10, 10)
            .with_groups()),
        start_paused = true
    );
}

#[tokio::test(start_paused = true)]
async fn a_report_lists_what_was_run_and_what_does_not_apply() {
    let report = conformance::run(&Logs).await;
    assert_eq!(report.failed(), [""; 0], "{report}");
    assert!(report.passed().contains(&"settles_by_position"));
    assert!(report.not_applicable().contains(&"keeps_extended_leases"));
    assert!(
        report
            .to_string()
            .contains("keeps_extended_leases: not applicable, it has no leases")
    );

    let report = conformance::run(&Queues(|| MemoryQueue::new(LEASE))).await;
    assert_eq!(report.failed(), [""; 0], "{report}");
    assert!(report.passed().contains(&"keeps_extended_leases"));
    assert!(report.not_applicable().contains(&"settles_by_position"));
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_without_a_flaw_passes() {
    let report = conformance::run(&Broken {
        harness: Logs,
        flaw: Flaw::None,
    })
    .await;
    assert_eq!(report.failed(), [""; 0], "{report}");
    let harness = Broken {
        harness: Queues(|| MemoryQueue::new(LEASE)),
        flaw: Flaw::None,
    };
    let report = conformance::run(&harness).await;
    assert_eq!(report.failed(), [""; 0], "{report}");
}

#[tokio::test(start_paused = true)]
async fn every_flaw_of_a_log_is_caught_by_its_case() {
    for (flaw, case) in [
        (Flaw::LosesMessages, "delivers_all"),
        (Flaw::RepeatsMessages, "delivers_all"),
        (Flaw::LosesKeys, "delivers_all"),
        (Flaw::SwapsMessages, "keeps_order"),
        (Flaw::SettlesWhatItHandsOut, "redelivers_what_was_abandoned"),
        (
            Flaw::LosesWhatIsDropped,
            "loses_nothing_when_polls_are_dropped",
        ),
        (Flaw::SettlesOneTooMany, "settles_by_position"),
        (Flaw::SettlesNothing, "settles_by_position"),
        (Flaw::SettlesTheGap, "commits_only_below_the_gap"),
        (Flaw::SettlesOrPolls, "settles_while_a_poll_waits"),
        (Flaw::HidesFailures, "refuses_the_wrong_settlement"),
        (Flaw::KeepsEpochs, "epochs_rise"),
        (Flaw::IgnoresEpochs, "fences_late_settlements"),
        (Flaw::FencesInWordsOnly, "fences_late_settlements"),
        (Flaw::LetsGoAtOnce, "hands_over_what_was_settled"),
        (Flaw::IgnoresRecords, "caps_records"),
        (Flaw::IgnoresBytes, "caps_bytes"),
        (Flaw::DeliversUnasked, "gives_nothing_without_demand"),
        (Flaw::WithholdsNews, "gives_nothing_without_demand"),
        (Flaw::NeverPauses, "pauses_and_resumes"),
        (Flaw::PausesEverything, "pauses_and_resumes"),
        (Flaw::SettlesWhenClosed, "gives_back_when_closed"),
        (Flaw::HidesFailures, "fences_when_closed"),
    ] {
        let report = conformance::run(&Broken {
            harness: Logs,
            flaw,
        })
        .await;
        assert!(
            report.failed().contains(&case),
            "{flaw:?} passed {case}:\n{report}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_flaw_of_a_queue_is_caught_by_its_case() {
    for (flaw, case) in [
        (Flaw::LosesMessages, "delivers_all"),
        (
            Flaw::LosesWhatIsDropped,
            "loses_nothing_when_polls_are_dropped",
        ),
        (Flaw::SettlesWhatItHandsOut, "redelivers_what_was_abandoned"),
        (Flaw::SettlesAllBefore, "settles_one_by_one"),
        (Flaw::SettlesNothing, "settles_one_by_one"),
        (Flaw::SettlesOrPolls, "settles_while_a_poll_waits"),
        (Flaw::HidesFailures, "refuses_the_wrong_settlement"),
        (Flaw::HidesAttempts, "redelivers_when_a_lease_ends"),
        (Flaw::HidesFailures, "fences_ended_leases"),
        (Flaw::FailsTogether, "fences_ended_leases"),
        (Flaw::ForgetsExtensions, "keeps_extended_leases"),
        (Flaw::ReleasesAtOnce, "releases_when_told"),
        (Flaw::ForgetsReleases, "releases_when_told"),
        (Flaw::ForgetsToGiveBack, "releases_when_told"),
        (Flaw::IgnoresRecords, "caps_records"),
        (Flaw::IgnoresBytes, "caps_bytes"),
        (Flaw::ForgetsToClose, "gives_back_when_closed"),
        (Flaw::HidesFailures, "fences_when_closed"),
    ] {
        let harness = Broken {
            harness: Queues(|| MemoryQueue::new(LEASE)),
            flaw,
        };
        let report = conformance::run(&harness).await;
        assert!(
            report.failed().contains(&case),
            "{flaw:?} passed {case}:\n{report}"
        );
    }
}
