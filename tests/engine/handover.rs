use std::time::Duration;

use eventlane::{
    Pipeline,
    memory::MemoryLog,
    sink::{Outcome, Verdict},
};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{ScriptedSink, fill};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_revocation_waits_for_what_is_in_flight_and_repeats_nothing() {
    let log = MemoryLog::new(1).with_manual_assignment();
    fill(&log, 100, 2);
    let (old, new) = (log.source("g"), log.source("g"));
    let (old_member, new_member) = (old.member(), new.member());
    let sink = ScriptedSink::taking(50 * MS);
    old_member.assign(&[0]).unwrap();
    let first = tokio::spawn(Pipeline::new(old, sink.clone()).run_until(sleep(60_000 * MS)));
    sleep(20 * MS).await;
    old_member.revoke(&[0], Duration::from_secs(5));
    sleep(500 * MS).await;
    assert_eq!(
        sink.delivered().len(),
        64,
        "what was in flight, and nothing more"
    );
    assert!(
        old_member.partitions().is_empty(),
        "let go as soon as it was settled"
    );
    new_member.assign(&[0]).unwrap();
    log.finish();
    let report = Pipeline::new(new, sink.clone()).run().await.unwrap();
    assert_eq!(report.delivered, 136);
    sink.assert_in_order();
    assert_eq!(log.committed("g", 0), 200);
    let report = first.await.unwrap().unwrap();
    assert_eq!((report.delivered, report.unsettled), (64, 0));
}

#[tokio::test(start_paused = true)]
async fn past_the_deadline_work_is_cut_off_and_not_settled() {
    let log = MemoryLog::new(1).with_manual_assignment();
    fill(&log, 4, 1);
    let (old, new) = (log.source("g"), log.source("g"));
    let (old_member, new_member) = (old.member(), new.member());
    old_member.assign(&[0]).unwrap();
    let slow = ScriptedSink::new(|batch, _| {
        let slow = batch.events[0].id() == "k1-0";
        (
            if slow { 20_000 * MS } else { MS },
            Outcome::All(Verdict::Delivered),
        )
    });
    let first =
        tokio::spawn(Pipeline::new(old, slow.clone()).run_until(sleep(Duration::from_secs(60))));
    sleep(100 * MS).await;
    let start = Instant::now();
    old_member.revoke(&[0], Duration::from_secs(2));
    while !old_member.partitions().is_empty() {
        sleep(10 * MS).await;
    }
    assert!(
        start.elapsed() <= Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(log.committed("g", 0), 1);
    new_member.assign(&[0]).unwrap();
    log.finish();
    let sink = ScriptedSink::taking(MS);
    Pipeline::new(new, sink.clone()).run().await.unwrap();
    assert_eq!(sink.delivered(), ["k1-0"], "the others were noted as done");
    let report = first.await.unwrap().unwrap();
    assert_eq!((report.delivered, report.fenced), (3, 1));
    assert_eq!(
        slow.delivered().len(),
        3,
        "the late answer was not waited for"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_partition_is_not_settled_and_its_requests_are_cut_off() {
    let log = MemoryLog::new(1).with_manual_assignment();
    fill(&log, 10, 1);
    let source = log.source("g");
    let member = source.member();
    member.assign(&[0]).unwrap();
    let sink = ScriptedSink::taking(100 * MS);
    let run =
        tokio::spawn(Pipeline::new(source, sink.clone()).run_until(sleep(Duration::from_secs(5))));
    sleep(50 * MS).await;
    member.lose(&[0]);
    sleep(Duration::from_secs(2)).await;
    assert!(sink.delivered().is_empty());
    assert_eq!((log.committed("g", 0), log.commits("g")), (0, 0));
    let report = run.await.unwrap().unwrap();
    assert_eq!((report.delivered, report.fenced), (0, 10));
}

#[tokio::test(start_paused = true)]
async fn only_the_revoked_partition_stops() {
    let log = MemoryLog::new(2).with_manual_assignment();
    for seq in 0..2000 {
        log.append_all(0, [crate::support::record("a", seq)]);
        log.append_all(1, [crate::support::record("b", seq)]);
    }
    let source = log.source("g");
    let member = source.member();
    member.assign(&[0, 1]).unwrap();
    let sink = ScriptedSink::taking(MS);
    let run = tokio::spawn(Pipeline::new(source, sink.clone()).run_until(sleep(20_000 * MS)));
    sleep(500 * MS).await;
    member.revoke(&[0], Duration::from_secs(5));
    sleep(5_000 * MS).await;
    let counts = sink.assert_in_order();
    assert_eq!(counts["b"], 2000);
    assert!((400..600).contains(&counts["a"]), "{counts:?}");
    assert_eq!(log.committed("g", 0), counts["a"]);
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_comes_back_begins_anew() {
    let log = MemoryLog::new(1).with_manual_assignment();
    fill(&log, 10, 3);
    let source = log.source("g");
    let member = source.member();
    let sink = ScriptedSink::taking(30 * MS);
    let run = tokio::spawn(Pipeline::new(source, sink.clone()).run_until(sleep(10_000 * MS)));
    for _ in 0..4 {
        member.assign(&[0]).unwrap();
        sleep(20 * MS).await;
        member.lose(&[0]);
        sleep(20 * MS).await;
    }
    member.assign(&[0]).unwrap();
    log.finish();
    let report = timeout(Duration::from_secs(20), run)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((report.delivered, log.committed("g", 0)), (30, 30));
    sink.assert_in_order();
}

#[tokio::test(start_paused = true)]
async fn a_partition_lost_while_it_was_being_revoked_can_come_back() {
    let log = MemoryLog::new(1).with_manual_assignment();
    fill(&log, 10, 1);
    let source = log.source("g");
    let member = source.member();
    member.assign(&[0]).unwrap();
    log.faults().delay_settles(Duration::from_secs(2));
    let sink = ScriptedSink::taking(10 * MS);
    let run = tokio::spawn(Pipeline::new(source, sink.clone()).run_until(sleep(60_000 * MS)));
    // The positions are on their way when the revocation begins, and still when all is lost and
    // comes back.
    sleep(1_500 * MS).await;
    member.revoke(&[0], Duration::from_secs(20));
    sleep(100 * MS).await;
    member.lose(&[0]);
    sleep(100 * MS).await;
    member.assign(&[0]).unwrap();
    sleep(5_000 * MS).await;
    fill(&log, 10, 1);
    log.finish();
    let report = timeout(Duration::from_secs(40), run)
        .await
        .expect("the new assignment is delivered to its end")
        .unwrap()
        .unwrap();
    assert_eq!(log.committed("g", 0), 20, "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_off_is_let_go_before_the_deadline() {
    let log = MemoryLog::new(1).with_manual_assignment();
    fill(&log, 1, 1);
    let source = log.source("g");
    let member = source.member();
    member.assign(&[0]).unwrap();
    let sink = ScriptedSink::taking(60_000 * MS);
    let run = tokio::spawn(Pipeline::new(source, sink).run_until(sleep(20_000 * MS)));
    sleep(100 * MS).await;
    let start = Instant::now();
    member.revoke(&[0], Duration::from_secs(8));
    while !member.partitions().is_empty() {
        sleep(10 * MS).await;
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(7), "{took:?}");
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_gap_reported_at_the_live_end_does_not_shift_what_follows() {
    let log = MemoryLog::new(1);
    let sink = ScriptedSink::new(|batch, _| {
        let verdict = match batch.events[0].id() {
            "held-0" => crate::support::retry(None),
            _ => Verdict::Delivered,
        };
        (MS, Outcome::All(verdict))
    });
    let run = tokio::spawn(
        Pipeline::new(log.source("g"), sink).run_until(sleep(Duration::from_secs(10))),
    );
    log.append_all(0, [crate::support::record("held", 0)]);
    sleep(100 * MS).await;
    // A transaction marker: the source reports the gap when it reaches the end.
    log.skip(0, 3);
    sleep(100 * MS).await;
    for seq in 0..4 {
        log.append_all(0, [crate::support::record("free", seq)]);
        sleep(100 * MS).await;
    }
    run.await.unwrap().unwrap();
    assert_eq!(
        (log.committed("g", 0), log.beyond("g", 0)),
        (0, vec![4..8; 1])
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_partition_does_not_repeat_the_letters_of_others() {
    let log = MemoryLog::new(2).with_manual_assignment();
    log.append_all(0, [crate::support::record("a", 0)]);
    let source = log.source("g");
    let member = source.member();
    member.assign(&[0, 1]).unwrap();
    let letters = crate::support::LetterBox::taking(Duration::from_secs(2));
    let sink = ScriptedSink::verdict(|_, _| crate::support::reject());
    let run = tokio::spawn(
        Pipeline::new(source, sink)
            .with_dead_letter(letters.clone())
            .run_until(sleep(Duration::from_secs(10))),
    );
    sleep(Duration::from_secs(1)).await;
    member.lose(&[1]);
    sleep(1_500 * MS).await;
    assert_eq!(
        letters.ids(),
        ["a-0"],
        "written once, in the time of one write"
    );
    run.await.unwrap().unwrap();
}
