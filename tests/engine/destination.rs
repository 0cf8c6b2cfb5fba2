use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use eventlane::{
    ErrorKind, Growth, Pipeline, Retry,
    memory::MemoryLog,
    sink::{Failure, Verdict},
};
use tokio::time::{Instant, sleep};

use crate::support::{LetterBox, ScriptedSink, fill, hold, retry};

#[tokio::test(start_paused = true)]
async fn retry_after_rests_the_whole_destination() {
    let log = MemoryLog::new(1);
    fill(&log, 20, 5);
    log.finish();
    let asked = Arc::new(AtomicU32::new(0));
    let sink = ScriptedSink::verdict({
        let asked = Arc::clone(&asked);
        move |event, tries| match (event.id(), tries) {
            ("k0-2", 1) => {
                asked.fetch_add(1, SeqCst);
                retry(Duration::from_secs(2))
            }
            _ => Verdict::Delivered,
        }
    });
    let pipeline = Pipeline::new(log.source("g"), sink.clone());
    let progress = pipeline.progress();
    let run = tokio::spawn(pipeline.run());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(progress.destination_resting(), 1);
    let report = run.await.unwrap().unwrap();
    assert_eq!(progress.destination_resting(), 0);
    assert_eq!((report.delivered, asked.load(SeqCst)), (100, 1));
    let calls = sink.calls();
    let refused = calls.iter().find(|call| !call.delivered).unwrap().at;
    // What was under way when the answer came may still end; nothing begins.
    let within = |call: &&crate::support::Call| {
        call.at > refused + Duration::from_millis(1) && call.at < refused + Duration::from_secs(2)
    };
    assert_eq!(calls.iter().filter(within).count(), 0);
    sink.assert_in_order();
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_refuses_everybody_is_held_and_probed_and_costs_no_attempts() {
    let log = MemoryLog::new(1);
    fill(&log, 50, 4);
    log.finish();
    let start = Instant::now();
    let sink = ScriptedSink::verdict(move |_, _| {
        let now = start.elapsed();
        let out = Duration::from_millis(2)..Duration::from_secs(120);
        if out.contains(&now) {
            hold()
        } else {
            Verdict::Delivered
        }
    });
    let letters = LetterBox::default();
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_retry(Retry::default().with_attempts(2))
        .with_dead_letter(letters.clone());
    let progress = pipeline.progress();
    let run = tokio::spawn(pipeline.run());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(progress.destination_held(), 1);
    let report = run.await.unwrap().unwrap();
    assert_eq!(
        (report.delivered, report.dead_lettered, report.retried),
        (200, 0, 0)
    );
    assert!(letters.ids().is_empty());
    sink.assert_in_order();
    let later = sink
        .calls()
        .into_iter()
        .filter(|call| !call.delivered && call.at > start + Duration::from_millis(100));
    let probes = later.count();
    assert!(
        (5..=20).contains(&probes),
        "one probe at a time, further and further apart: {probes}"
    );
    assert_eq!(progress.destination_held(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_with_everybody_has_all_its_attempts_left() {
    let log = MemoryLog::new(1);
    fill(&log, 1, 1);
    log.finish();
    let sink = ScriptedSink::verdict(|_, tries| match tries {
        1..=5 => hold(),
        6 => retry(None),
        _ => Verdict::Delivered,
    });
    let letters = LetterBox::default();
    let pipeline = Pipeline::new(log.source("g"), sink)
        .with_retry(Retry::default().with_attempts(2))
        .with_dead_letter(letters);
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.dead_lettered), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_event_that_alone_is_refused_does_not_hold_the_others_for_ever() {
    let log = MemoryLog::new(1);
    fill(&log, 20, 50);
    let sink = ScriptedSink::verdict(|event, _| {
        if event.id() == "k7-0" {
            hold()
        } else {
            Verdict::Delivered
        }
    });
    let pipeline = Pipeline::new(log.source("g"), sink.clone());
    let run = tokio::spawn(pipeline.run_until(sleep(Duration::from_secs(300))));
    sleep(Duration::from_secs(200)).await;
    assert_eq!(sink.delivered().len(), 950);
    assert_eq!(log.committed("g", 0), 7);
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_gone_stops_the_pipeline() {
    let log = MemoryLog::new(1);
    fill(&log, 5, 2);
    let sink = ScriptedSink::verdict(|event, _| match event.id() {
        "k4-0" => {
            let mut failure = Failure::new("status_410", "410 Gone");
            failure.status = Some(410);
            Verdict::Stop(Box::new(failure))
        }
        _ => Verdict::Delivered,
    });
    let stopped = Pipeline::new(log.source("g"), sink.clone())
        .run()
        .await
        .unwrap_err();
    assert_eq!(stopped.error.kind(), ErrorKind::Rejected);
    assert!(stopped.to_string().contains("410"), "{stopped}");
    assert_eq!(
        log.committed("g", 0),
        4,
        "what was delivered is settled, the rest is not"
    );
    assert!(stopped.report.unsettled > 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_otherwise_does_not_shorten_the_hold() {
    let log = MemoryLog::new(1);
    fill(&log, 5, 2);
    let sink = ScriptedSink::verdict(|event, tries| match (event.id(), tries) {
        (_, 1..=6) => hold(),
        _ => retry(None),
    });
    let pipeline = Pipeline::new(log.source("g"), sink.clone());
    pipeline
        .run_until(sleep(Duration::from_secs(120)))
        .await
        .unwrap();
    let asked = sink.calls().len();
    assert!(asked < 40, "{asked} requests in two minutes of a hold");
}

#[tokio::test(start_paused = true)]
async fn a_hold_costs_none_of_the_time_for_retries() {
    let log = MemoryLog::new(1);
    fill(&log, 1, 1);
    log.finish();
    let start = Instant::now();
    let sink = ScriptedSink::verdict(move |_, tries| {
        match (start.elapsed() < Duration::from_secs(60), tries) {
            (true, _) => hold(),
            (false, tries) if tries % 2 == 0 => retry(None),
            _ => Verdict::Delivered,
        }
    });
    let letters = LetterBox::default();
    let retries = Retry::default()
        .without_limit()
        .with_elapsed(Duration::from_secs(30));
    let pipeline = Pipeline::new(log.source("g"), sink)
        .with_retry(retries)
        .with_dead_letter(letters);
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.dead_lettered), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_end_of_a_hold_takes_nothing_of_the_time_for_retries() {
    let log = MemoryLog::new(1);
    fill(&log, 1, 1);
    log.finish();
    let sink = ScriptedSink::verdict(|_, tries| match tries {
        1 => hold(),
        2 => retry(None),
        _ => Verdict::Delivered,
    });
    let letters = LetterBox::default();
    let delay = Duration::from_secs(2);
    let policy = Retry::default()
        .with_delays(delay, delay)
        .with_growth(Growth::Linear, 0.0)
        .with_elapsed(Duration::from_secs(1));
    let report = Pipeline::new(log.source("g"), sink)
        .with_retry(policy)
        .with_dead_letter(letters.clone())
        .run()
        .await
        .unwrap();
    assert!(letters.ids().is_empty(), "{:?}", letters.ids());
    assert_eq!((report.delivered, report.retried), (1, 1));
}
