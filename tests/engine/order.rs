use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use eventlane::{
    Budgets, Event, Keyless, Ordering, Pipeline, Retry, memory::MemoryLog, sink::Verdict,
};

use crate::support::{LetterBox, ScriptedSink, event, fill, record, retry};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_failing_event_holds_its_key_and_no_other() {
    let log = MemoryLog::new(1);
    fill(&log, 10, 5);
    log.finish();
    let sink = ScriptedSink::verdict(|event, tries| match (event.id(), tries) {
        ("k3-1", 1..=3) => retry(None),
        _ => Verdict::Delivered,
    });
    let report = Pipeline::new(log.source("g"), sink.clone())
        .with_seed(1)
        .run()
        .await
        .unwrap();
    assert_eq!(
        (report.received, report.delivered, report.retried),
        (50, 50, 3)
    );
    assert!(sink.assert_in_order().values().all(|&count| count == 5));
    let order = sink.delivered();
    let held = order.iter().position(|id| id == "k3-1").unwrap();
    assert_eq!(held, 46, "everything else went first: {order:?}");
    assert_eq!(log.committed("g", 0), 50);
}

#[tokio::test(start_paused = true)]
async fn the_first_retry_is_early() {
    let log = MemoryLog::new(1);
    fill(&log, 1, 1);
    log.finish();
    let sink = ScriptedSink::verdict(|_, tries| {
        if tries == 1 {
            retry(None)
        } else {
            Verdict::Delivered
        }
    });
    Pipeline::new(log.source("g"), sink.clone())
        .run()
        .await
        .unwrap();
    let calls = sink.calls();
    let delay = calls[1].at - calls[0].at;
    assert!((20 * MS..=60 * MS).contains(&delay), "{delay:?}");
}

#[tokio::test(start_paused = true)]
async fn partition_order_sends_one_at_a_time_for_each_partition() {
    let log = MemoryLog::new(3);
    for seq in 0..20 {
        for partition in 0..3 {
            log.append_all(partition, [record(&format!("p{partition}"), seq)]);
        }
    }
    log.finish();
    let sink = ScriptedSink::taking(MS);
    let pipeline = Pipeline::new(log.source("g"), sink.clone()).with_ordering(Ordering::Partition);
    pipeline.run().await.unwrap();
    sink.assert_in_order();
    assert_eq!(sink.seen.most_in_flight.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn without_order_nothing_waits_but_for_the_budget() {
    let log = MemoryLog::new(1);
    fill(&log, 1, 50);
    log.finish();
    let sink = ScriptedSink::taking(MS).unordered();
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_ordering(Ordering::None)
        .with_budgets(Budgets::default().with_requests(7));
    let report = pipeline.run().await.unwrap();
    assert_eq!(report.delivered, 50);
    assert_eq!(sink.seen.most_in_flight.load(SeqCst), 7);
}

#[tokio::test(start_paused = true)]
async fn events_without_a_key_keep_their_partitions_order_unless_told_otherwise() {
    for (keyless, most) in [(Keyless::Partition, 1), (Keyless::Unordered, 64)] {
        let log = MemoryLog::new(1);
        for seq in 0..100 {
            log.append(0, event("none", seq), None);
        }
        log.finish();
        let sink = ScriptedSink::taking(MS).unordered();
        let pipeline = Pipeline::new(log.source("g"), sink.clone()).with_keyless(keyless);
        pipeline.run().await.unwrap();
        assert_eq!(sink.seen.most_in_flight.load(SeqCst), most);
    }
}

#[tokio::test(start_paused = true)]
async fn equal_keys_of_different_partitions_do_not_wait_for_each_other() {
    let log = MemoryLog::new(2);
    for partition in 0..2 {
        log.append_all(partition, [record("same", 0)]);
    }
    log.finish();
    let sink = ScriptedSink::taking(MS).unordered();
    Pipeline::new(log.source("g"), sink.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(sink.seen.most_in_flight.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_late_is_tried_again_and_holds_its_key() {
    let log = MemoryLog::new(1);
    fill(&log, 2, 3);
    log.finish();
    let sink = ScriptedSink::new(|batch, tries| {
        let slow = batch.events[0].id() == "k0-0" && tries == 1;
        let after = if slow { Duration::from_secs(3600) } else { MS };
        (after, eventlane::sink::Outcome::All(Verdict::Delivered))
    });
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_retry(Retry::default().with_timeout(Duration::from_secs(2)));
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.retried), (6, 1));
    sink.assert_in_order();
    assert!(
        report.elapsed < Duration::from_secs(4),
        "{:?}",
        report.elapsed
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_sink_is_a_failed_attempt() {
    let log = MemoryLog::new(1);
    fill(&log, 3, 2);
    log.finish();
    let sink = ScriptedSink::verdict(|event: &Event, tries| {
        assert!(event.id() != "k1-0" || tries > 1, "on purpose");
        Verdict::Delivered
    })
    .unordered();
    let report = Pipeline::new(log.source("g"), sink.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(
        (report.delivered, report.retried, report.unsettled),
        (6, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn order_holds_when_an_event_ends_as_a_dead_letter() {
    let log = MemoryLog::new(1);
    fill(&log, 3, 4);
    log.finish();
    let sink = ScriptedSink::verdict(|event, _| {
        if event.id() == "k1-1" {
            retry(None)
        } else {
            Verdict::Delivered
        }
    });
    let letters = LetterBox::default();
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_retry(Retry::default().with_attempts(3))
        .with_dead_letter(letters.clone());
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.dead_lettered), (11, 1));
    assert_eq!(letters.ids(), ["k1-1"]);
    let of_k1: Vec<_> = sink
        .delivered()
        .into_iter()
        .filter(|id| id.starts_with("k1"))
        .collect();
    assert_eq!(of_k1, ["k1-0", "k1-2", "k1-3"]);
    assert_eq!(log.committed("g", 0), 12);
}
