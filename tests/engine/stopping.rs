use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    BatchPolicy, Budgets, Capability, Pipeline, Result, Retry, Source,
    memory::{MemoryLog, MemoryQueue, MemoryQueueSource},
    sink::{Failure, Outcome, Verdict},
    source::{Demand, Settle, Signal},
};
use tokio::time::{Instant, sleep};

use crate::support::{ScriptedSink, fill, record, retry};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_is_in_flight_and_repeats_nothing() {
    let log = MemoryLog::new(1);
    fill(&log, 200, 3);
    let sink = ScriptedSink::taking(100 * MS);
    let first = Pipeline::new(log.source("g"), sink.clone());
    let report = first.run_until(sleep(150 * MS)).await.unwrap();
    assert_eq!(
        (report.delivered, report.hard_stopped, report.unconfirmed),
        (128, false, 0)
    );
    assert_eq!(report.unsettled, report.received - 128);
    assert!(report.elapsed < 300 * MS, "{:?}", report.elapsed);
    log.finish();
    let report = Pipeline::new(log.source("g"), sink.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(report.delivered, 472);
    assert!(sink.assert_in_order().values().all(|&count| count == 3));
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_held_lanes() {
    let log = MemoryLog::new(1);
    fill(&log, 3, 3);
    let sink = ScriptedSink::verdict(|event, _| {
        if event.id() == "k0-0" {
            retry(None)
        } else {
            Verdict::Delivered
        }
    });
    let pipeline = Pipeline::new(log.source("g"), sink);
    let report = pipeline
        .run_until(sleep(Duration::from_secs(100)))
        .await
        .unwrap();
    assert!(
        report.elapsed < Duration::from_millis(100_100),
        "{:?}",
        report.elapsed
    );
    assert_eq!((report.delivered, report.unsettled), (6, 3));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_within_its_grace_whatever_the_sink_does() {
    let log = MemoryLog::new(1);
    fill(&log, 10, 1);
    let sink = ScriptedSink::taking(Duration::from_secs(7200));
    let pipeline = Pipeline::new(log.source("g"), sink)
        .with_retry(Retry::default().with_timeout(Duration::from_secs(7200)))
        .with_grace(Duration::from_secs(5));
    let start = Instant::now();
    let report = pipeline
        .run_until(sleep(Duration::from_secs(1)))
        .await
        .unwrap();
    assert!(report.hard_stopped);
    assert_eq!((report.delivered, report.unsettled), (0, 10));
    assert!(
        start.elapsed() <= Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(log.committed("g", 0), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_pipeline_stops_when_told_so() {
    let log = MemoryLog::new(1);
    fill(&log, 10, 1);
    let pipeline = Pipeline::new(log.source("g"), ScriptedSink::taking(MS))
        .with_idle_timeout(Duration::from_secs(5));
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.elapsed.as_secs()), (10, 5));
    assert_eq!(log.committed("g", 0), 10);
}

#[tokio::test(start_paused = true)]
async fn the_idle_time_begins_with_the_first_assignment() {
    let log = MemoryLog::new(1).with_manual_assignment();
    fill(&log, 10, 1);
    let source = log.source("g");
    let member = source.member();
    let pipeline =
        Pipeline::new(source, ScriptedSink::taking(MS)).with_idle_timeout(Duration::from_secs(1));
    let run = tokio::spawn(pipeline.run());
    sleep(Duration::from_secs(3)).await;
    member.assign(&[0]).unwrap();
    let report = run.await.unwrap().unwrap();
    assert_eq!((report.delivered, report.elapsed.as_secs()), (10, 4));
}

#[tokio::test(start_paused = true)]
async fn never_is_a_duration_too() {
    let log = MemoryLog::new(1);
    fill(&log, 10, 2);
    let asked = AtomicBool::new(false);
    let sink = ScriptedSink::verdict(move |_, _| match asked.swap(true, Relaxed) {
        true => Verdict::Delivered,
        false => retry(Duration::ZERO),
    });
    let never = Duration::MAX;
    let retries = Retry::default()
        .with_timeout(never)
        .with_elapsed(never)
        .with_delays(MS, never);
    let pipeline = Pipeline::new(log.source("g"), sink)
        .with_batch(BatchPolicy::new(2, MS))
        .with_retry(retries)
        .with_commit_interval(never)
        .with_grace(never)
        .with_idle_timeout(never);
    let report = pipeline.run_until(sleep(60_000 * MS)).await.unwrap();
    assert_eq!((report.delivered, log.committed("g", 0)), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_pipeline_settles_nothing_more() {
    let log = MemoryLog::new(1);
    fill(&log, 10, 1);
    let pipeline = Pipeline::new(log.source("g"), ScriptedSink::taking(100 * MS));
    let run = tokio::spawn(pipeline.run());
    sleep(50 * MS).await;
    run.abort();
    drop(run.await);
    assert_eq!(log.committed("g", 0), 0);
    log.finish();
    let report = Pipeline::new(log.source("g"), ScriptedSink::taking(MS))
        .run()
        .await
        .unwrap();
    assert_eq!(report.delivered, 10);
}

/// A queue that tells when it heard of the stop.
struct Listening {
    queue: MemoryQueueSource,
    heard: Arc<OnceLock<Instant>>,
}

#[async_trait]
impl Source for Listening {
    fn capability(&self) -> Capability {
        self.queue.capability()
    }

    fn settler(&self) -> Arc<dyn Settle> {
        self.queue.settler()
    }

    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        self.queue.poll(demand).await
    }

    fn stop(&mut self, _: Instant) {
        self.heard.set(Instant::now()).expect("told once");
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Box::new(self.queue).close().await
    }
}

/// With the budget used up nothing is polled for, so that a poll would end with the last request
/// only.
#[tokio::test(start_paused = true)]
async fn a_source_hears_of_a_stop_at_once_when_nothing_is_wanted_of_it() {
    let queue = MemoryQueue::new(Duration::from_secs(60));
    queue.send_all((0..4).map(|seq| record(&format!("k{seq}"), 0)));
    let heard = Arc::new(OnceLock::new());
    let source = Listening {
        queue: queue.source(),
        heard: Arc::clone(&heard),
    };
    let sink = ScriptedSink::new(|batch, _| match batch.events[0].id() {
        "k0-0" => (
            Duration::from_secs(1),
            Outcome::All(Verdict::Stop(Failure::new("gone", "410").into())),
        ),
        _ => (Duration::from_secs(10), Outcome::All(Verdict::Delivered)),
    });
    let began = Instant::now();
    let pipeline = Pipeline::new(source, sink).with_budgets(Budgets::default().with_events(2));
    let report = pipeline.run().await.unwrap_err().report;
    assert_eq!(*heard.get().unwrap() - began, Duration::from_secs(1));
    assert_eq!((report.delivered, report.unsettled), (1, 1));
}
