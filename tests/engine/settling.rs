use std::time::Duration;

use eventlane::{Error, ErrorKind, Pipeline, memory::MemoryLog, sink::Verdict};
use tokio::time::sleep;

use crate::support::{ScriptedSink, fill, record, retry};

const MS: Duration = Duration::from_millis(1);

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "commit", "from the test")
}

#[tokio::test(start_paused = true)]
async fn commits_are_coalesced_by_time_and_none_is_left_over() {
    let log = MemoryLog::new(1);
    let sink = ScriptedSink::taking(MS);
    let pipeline =
        Pipeline::new(log.source("g"), sink).with_commit_interval(Duration::from_secs(1));
    let run = tokio::spawn(pipeline.run_until(sleep(Duration::from_secs(20))));
    for seq in 0..1000 {
        log.append_all(0, [record(&format!("k{}", seq % 10), seq / 10)]);
        sleep(10 * MS).await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(
        log.committed("g", 0),
        1000,
        "two seconds after the last one"
    );
    let commits = log.commits("g");
    assert!((9..=12).contains(&commits), "{commits}");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(log.commits("g"), commits, "nothing new, nothing told");
    let report = run.await.unwrap().unwrap();
    assert_eq!((report.unsettled, report.unconfirmed), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_commit_is_made_good() {
    let log = MemoryLog::new(2);
    fill(&log, 10, 10);
    log.faults()
        .fail_settles([unavailable(), unavailable(), unavailable()]);
    log.finish();
    let report = Pipeline::new(log.source("g"), ScriptedSink::taking(MS))
        .run()
        .await
        .unwrap();
    assert_eq!(
        (report.delivered, report.unconfirmed, log.committed("g", 0)),
        (100, 0, 100)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_done_beyond_a_gap_is_confirmed_with_it() {
    let log = MemoryLog::new(1);
    fill(&log, 10, 10);
    let sink = ScriptedSink::verdict(|event, _| match event.id() {
        "k0-0" => retry(None),
        _ => Verdict::Delivered,
    });
    let report = Pipeline::new(log.source("g"), sink)
        .run_until(sleep(Duration::from_secs(10)))
        .await
        .unwrap();
    assert_eq!(
        (report.delivered, report.unsettled, report.unconfirmed),
        (90, 10, 0)
    );
    assert_eq!(log.committed("g", 0), 0);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_hangs_holds_up_no_delivery() {
    let log = MemoryLog::new(1);
    fill(&log, 10, 10);
    log.faults().delay_settles(Duration::from_secs(3600));
    let sink = ScriptedSink::taking(100 * MS);
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_commit_interval(10 * MS)
        .with_grace(Duration::from_secs(4));
    let report = pipeline
        .run_until(sleep(Duration::from_secs(10)))
        .await
        .unwrap();
    assert_eq!(report.delivered, 100);
    assert_eq!(report.unconfirmed, 100);
    assert!(
        report.elapsed <= Duration::from_millis(14_100),
        "{:?}",
        report.elapsed
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_for_a_while_is_polled_on() {
    let log = MemoryLog::new(1);
    fill(&log, 10, 1);
    log.finish();
    log.faults().fail_polls([unavailable(), unavailable()]);
    let report = Pipeline::new(log.source("g"), ScriptedSink::taking(MS))
        .run()
        .await
        .unwrap();
    assert_eq!(report.delivered, 10);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_for_good_ends_the_pipeline_after_a_drain() {
    let log = MemoryLog::new(1);
    fill(&log, 10, 1);
    let sink = ScriptedSink::taking(100 * MS);
    let pipeline = Pipeline::new(log.source("g"), sink);
    let run = tokio::spawn(pipeline.run());
    sleep(50 * MS).await;
    let wrong = Error::new(ErrorKind::Unauthorized, "fetch", "wrong password");
    log.faults().fail_polls([wrong]);
    log.append_all(0, [record("late", 0)]);
    let stopped = run.await.unwrap().unwrap_err();
    assert_eq!(stopped.error.kind(), ErrorKind::Unauthorized);
    assert_eq!((stopped.report.delivered, log.committed("g", 0)), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn offsets_that_never_come_do_not_hold_the_watermark() {
    let log = MemoryLog::new(1);
    log.append_all(0, [record("k", 0)]);
    log.skip(0, 1_000_000_000);
    log.append_all(0, [record("k", 1)]);
    log.skip(0, 5);
    log.finish();
    let sink = ScriptedSink::taking(MS);
    Pipeline::new(log.source("g"), sink.clone())
        .run()
        .await
        .unwrap();
    sink.assert_in_order();
    assert_eq!(log.committed("g", 0), log.end(0));
}
