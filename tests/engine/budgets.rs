use std::time::Duration;

use eventlane::{
    Budgets, Pipeline,
    memory::{MemoryLog, Record},
    sink::{Outcome, Verdict},
};
use tokio::time::sleep;

use crate::support::{ScriptedSink, event, fill, record, sized};

const FOREVER: Duration = Duration::from_secs(25);

#[tokio::test(start_paused = true)]
async fn a_stalled_sink_stops_the_reading_by_bytes() {
    let log = MemoryLog::new(1);
    for seq in 0..1000 {
        log.append_all(0, [Record::new(sized(&format!("k{seq}"), 0, 10_000))]);
    }
    let sink = ScriptedSink::taking(FOREVER);
    let pipeline =
        Pipeline::new(log.source("g"), sink).with_budgets(Budgets::default().with_bytes(200_000));
    let progress = pipeline.progress();
    let run = tokio::spawn(pipeline.run_until(sleep(Duration::from_secs(5))));
    sleep(Duration::from_secs(4)).await;
    let bytes = progress.buffered_bytes();
    assert!((150_000..=200_000).contains(&bytes), "{bytes}");
    assert!(progress.buffered_events() < 21);
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_event_larger_than_the_whole_budget_still_goes() {
    let log = MemoryLog::new(1);
    for seq in 0..3 {
        log.append_all(0, [Record::new(sized("big", seq, 50_000))]);
    }
    log.finish();
    let sink = ScriptedSink::taking(Duration::from_millis(1));
    let pipeline =
        Pipeline::new(log.source("g"), sink).with_budgets(Budgets::default().with_bytes(1000));
    assert_eq!(pipeline.run().await.unwrap().delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_sink_stops_the_reading_by_events() {
    let log = MemoryLog::new(1);
    fill(&log, 500, 1);
    let sink = ScriptedSink::taking(FOREVER);
    let pipeline = Pipeline::new(log.source("g"), sink)
        .with_budgets(Budgets::default().with_events(100).with_requests(20));
    let progress = pipeline.progress();
    let run = tokio::spawn(pipeline.run_until(sleep(Duration::from_secs(5))));
    sleep(Duration::from_secs(4)).await;
    assert_eq!(
        (progress.buffered_events(), progress.in_flight()),
        (100, 20)
    );
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_more_is_read_ahead_than_can_soon_be_sent() {
    let mut buffered = Vec::new();
    // Of 500 keys everything can be sent; of one, all but the first have to wait.
    for keys in [500, 1] {
        let log = MemoryLog::new(1);
        for at in 0..500 {
            log.append_all(0, [record(&format!("key{}", at % keys), at)]);
        }
        let pipeline = Pipeline::new(log.source("g"), ScriptedSink::taking(FOREVER))
            .with_budgets(Budgets::default().with_requests(10));
        let progress = pipeline.progress();
        let run = tokio::spawn(pipeline.run_until(sleep(Duration::from_secs(5))));
        sleep(Duration::from_secs(4)).await;
        buffered.push(progress.buffered_events());
        run.await.unwrap().unwrap();
    }
    assert_eq!(buffered, [10 + 8 * 10, 500]);
}

#[tokio::test(start_paused = true)]
async fn an_open_span_pauses_its_partition_and_no_other() {
    let log = MemoryLog::new(2);
    log.append_all(0, [Record::new(event("stuck", 0)).with_key("stuck")]);
    for seq in 0..500 {
        log.append_all(0, [record(&format!("a{seq}"), 0)]);
        log.append_all(1, [record(&format!("b{seq}"), 0)]);
    }
    let sink = ScriptedSink::new(|batch, _| {
        let stuck = batch.events[0].id() == "stuck-0";
        let after = if stuck {
            Duration::from_secs(20)
        } else {
            Duration::from_millis(1)
        };
        (after, Outcome::All(Verdict::Delivered))
    });
    // Few at a time, or everything would be in hand before the span is looked at.
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_budgets(Budgets::default().with_span(100).with_events(50));
    let run = tokio::spawn(pipeline.run_until(sleep(Duration::from_secs(40))));
    sleep(Duration::from_secs(10)).await;
    let count = |prefix: &str| {
        sink.delivered()
            .iter()
            .filter(|id| id.starts_with(prefix))
            .count()
    };
    assert!((99..=150).contains(&count("a")), "{}", count("a"));
    assert_eq!(count("b"), 500);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(count("a"), 500, "resumed");
    assert_eq!(run.await.unwrap().unwrap().delivered, 1001);
}
