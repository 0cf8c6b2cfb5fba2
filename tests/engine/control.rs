//! Settings that change while a pipeline runs.

use std::time::Duration;

use eventlane::{
    Budgets, ErrorKind, OnExhausted, Pipeline, Retry, memory::MemoryLog, sink::Verdict,
};
use tokio::time::sleep;

use crate::support::{ScriptedSink, fill, reject, retry};

#[tokio::test(start_paused = true)]
async fn a_blocked_lane_moves_on_under_another_policy() {
    let log = MemoryLog::new(1);
    fill(&log, 2, 3);
    log.finish();
    let sink = ScriptedSink::verdict(|event, _| match event.id() {
        "k0-0" => retry(None),
        _ => Verdict::Delivered,
    });
    let pipeline =
        Pipeline::new(log.source("g"), sink.clone()).with_retry(Retry::default().without_limit());
    let (progress, control) = (pipeline.progress(), pipeline.control());
    let run = tokio::spawn(pipeline.run());
    sleep(Duration::from_secs(600)).await;
    assert_eq!((progress.delivered(), progress.held_lanes()), (3, 1));
    let mut settings = control.settings();
    settings.retry = Retry::default().with_attempts(1);
    settings.on_exhausted = OnExhausted::Drop;
    control.set(settings).unwrap();
    let report = run.await.unwrap().unwrap();
    assert_eq!((report.delivered, report.dropped), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn budgets_grow_and_shrink() {
    let log = MemoryLog::new(1);
    fill(&log, 20, 10);
    let sink = ScriptedSink::taking(Duration::from_secs(1));
    let pipeline =
        Pipeline::new(log.source("g"), sink).with_budgets(Budgets::default().with_requests(1));
    let (progress, control) = (pipeline.progress(), pipeline.control());
    let run = tokio::spawn(pipeline.run_until(sleep(Duration::from_secs(1000))));
    for requests in [1, 8, 2] {
        let mut settings = control.settings();
        settings.budgets.requests = requests;
        control.set(settings).unwrap();
        sleep(Duration::from_millis(3500)).await;
        assert_eq!(progress.in_flight(), requests as u64);
    }
    assert_eq!(run.await.unwrap().unwrap().delivered, 200);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_work_changes_nothing() {
    let log = MemoryLog::new(1);
    let sink = ScriptedSink::verdict(|_, _| reject());
    let pipeline = Pipeline::new(log.source("g"), sink);
    let control = pipeline.control();
    let before = control.settings();
    let mut wrong = [(); 4].map(|()| before.clone());
    wrong[0].budgets.requests = 0;
    wrong[1].retry.attempts = Some(0);
    wrong[2].on_exhausted = OnExhausted::DeadLetter;
    wrong[3].on_exhausted = OnExhausted::Release {
        after: Duration::ZERO,
    };
    for settings in wrong {
        let error = control.set(settings).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    assert_eq!(control.settings(), before);
}
