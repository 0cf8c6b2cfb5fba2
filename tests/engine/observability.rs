use std::{collections::HashMap, time::Duration};

use eventlane::{Pipeline, Retry, memory::MemoryLog, metrics as names, sink::Verdict};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::sleep;

use crate::support::{LetterBox, ScriptedSink, fill, hold, reject, retry};

/// What a pipeline has measured, by name and reason.
fn measured(run: impl Future<Output = ()>) -> HashMap<(String, String), DebugValue> {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    metrics::with_local_recorder(&recorder, || runtime.unwrap().block_on(run));
    let snapshot = snapshots.snapshot().into_vec();
    let named = snapshot.into_iter().map(|(key, _, _, value)| {
        let key = key.key();
        let labels: HashMap<_, _> = key
            .labels()
            .map(|label| (label.key(), label.value()))
            .collect();
        assert_eq!(labels["pipeline"], "orders", "of {}", key.name());
        let reason = labels.get("reason").or(labels.get("kind")).unwrap_or(&"");
        ((key.name().to_owned(), (*reason).to_owned()), value)
    });
    named.collect()
}

#[test]
fn what_happens_is_measured_under_documented_names() {
    let values = measured(async {
        let log = MemoryLog::new(1);
        fill(&log, 4, 5);
        log.finish();
        let sink = ScriptedSink::verdict(|event, tries| match event.id() {
            "k0-0" if tries <= 2 => retry(None),
            "k1-0" => reject(),
            _ => Verdict::Delivered,
        });
        let pipeline = Pipeline::new(log.source("g"), sink)
            .with_name("orders")
            .with_retry(Retry::default().with_attempts(5))
            .with_dead_letter(LetterBox::failing(1));
        let progress = pipeline.progress();
        pipeline.run().await.unwrap();
        assert_eq!((progress.delivered(), progress.buffered_events()), (19, 0));
    });
    let value = |name: &str, reason: &str| match &values[&(name.to_owned(), reason.to_owned())] {
        DebugValue::Counter(count) => *count as f64,
        DebugValue::Gauge(value) => value.0,
        DebugValue::Histogram(values) => values.len() as f64,
    };
    assert_eq!(value(names::RECEIVED, ""), 20.0);
    assert_eq!(value(names::DELIVERED, ""), 19.0);
    assert_eq!(value(names::REQUESTS, ""), 22.0);
    assert_eq!(value(names::RETRIED, "status_503"), 2.0);
    assert_eq!(value(names::DEAD_LETTERED, "status_400"), 1.0);
    assert_eq!(value(names::DEAD_LETTER_FAILED, "unavailable"), 1.0);
    assert_eq!(value(names::SEND_SECONDS, ""), 22.0);
    assert!(value(names::SETTLE_SECONDS, "") >= 1.0);
    for gauge in [
        names::IN_FLIGHT,
        names::BUFFERED_EVENTS,
        names::BUFFERED_BYTES,
        names::HELD_LANES,
    ] {
        assert_eq!(value(gauge, ""), 0.0, "{gauge}");
    }
}

#[test]
fn the_oldest_unsettled_event_shows_its_age() {
    let values = measured(async {
        let log = MemoryLog::new(1);
        fill(&log, 1, 1);
        let pipeline = Pipeline::new(log.source("g"), ScriptedSink::verdict(|_, _| retry(None)))
            .with_name("orders")
            .with_seed(1);
        // Dropped, not stopped: at the end there is no oldest event any more.
        drop(tokio::time::timeout(Duration::from_secs(30), pipeline.run()).await);
    });
    let age = &values[&(names::OLDEST_UNSETTLED.to_owned(), String::new())];
    let DebugValue::Gauge(age) = age else {
        panic!("{age:?}")
    };
    assert!((25.0..=30.0).contains(&age.0), "{age}");
}

#[test]
fn what_a_pipeline_was_held_by_does_not_hold_the_next_one_of_its_name() {
    let values = measured(async {
        let log = MemoryLog::new(1);
        fill(&log, 1, 1);
        for (log, length) in [(log, 5_000), (MemoryLog::new(1), 1)] {
            let sink = ScriptedSink::verdict(|_, _| hold());
            let pipeline = Pipeline::new(log.source("g"), sink).with_name("orders");
            let until = sleep(Duration::from_millis(length));
            pipeline.run_until(until).await.unwrap();
        }
    });
    for gauge in [
        names::DESTINATION_HELD,
        names::HELD_LANES,
        names::OLDEST_UNSETTLED,
    ] {
        let value = &values[&(gauge.to_owned(), String::new())];
        assert!(
            matches!(value, DebugValue::Gauge(value) if value.0 == 0.0),
            "{gauge}: {value:?}"
        );
    }
}
