use std::time::Duration;

use eventlane::{
    BatchPolicy, Budgets, Pipeline, Retry,
    memory::{MemoryLog, Record},
    sink::{Outcome, Verdict},
};
use tokio::time::{Instant, sleep};

use crate::support::{LetterBox, ScriptedSink, fill, record, reject, retry, sized, too_large};

const MS: Duration = Duration::from_millis(1);

fn sizes(sink: &ScriptedSink) -> Vec<usize> {
    sink.calls().iter().map(|call| call.ids.len()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_by_count() {
    let log = MemoryLog::new(1);
    fill(&log, 25, 1);
    log.finish();
    let sink = ScriptedSink::taking(MS);
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_batch(BatchPolicy::new(10, Duration::from_secs(9)));
    let report = pipeline.run().await.unwrap();
    assert_eq!((sizes(&sink), report.requests), (vec![10, 10, 5], 3));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_by_bytes_and_a_large_event_goes_alone() {
    let log = MemoryLog::new(1);
    for (seq, bytes) in [(0, 3000), (1, 3000), (2, 3000), (3, 50_000), (4, 3000)] {
        log.append_all(0, [Record::new(sized("k", seq, bytes)).with_key("k")]);
    }
    log.finish();
    let sink = ScriptedSink::taking(MS);
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_batch(BatchPolicy::new(10, MS).with_bytes(7500));
    pipeline.run().await.unwrap();
    assert_eq!(sizes(&sink), [2, 1, 1, 1]);
    sink.assert_in_order();
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_batch_waits_no_longer_than_its_linger() {
    let log = MemoryLog::new(1);
    let sink = ScriptedSink::taking(MS);
    let pipeline =
        Pipeline::new(log.source("g"), sink.clone()).with_batch(BatchPolicy::new(10, 200 * MS));
    let run = tokio::spawn(pipeline.run_until(sleep(Duration::from_secs(3))));
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    fill(&log, 3, 1);
    sleep(100 * MS).await;
    log.append_all(0, [record("late", 0)]);
    sleep(Duration::from_secs(1)).await;
    let calls = sink.calls();
    assert_eq!(sizes(&sink), [4]);
    let waited = calls[0].at - start;
    assert!((200 * MS..=210 * MS).contains(&waited), "{waited:?}");
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_whole_batch_holds_a_keys_events_in_order_and_a_partial_one_only_the_first() {
    for per_event in [false, true] {
        let log = MemoryLog::new(1);
        fill(&log, 2, 4);
        log.finish();
        let mut sink = ScriptedSink::taking(MS);
        if per_event {
            sink = sink.per_event();
        }
        let pipeline = Pipeline::new(log.source("g"), sink.clone())
            .with_batch(BatchPolicy::new(8, Duration::ZERO));
        pipeline.run().await.unwrap();
        sink.assert_in_order();
        let expected = if per_event { vec![2, 2, 2, 2] } else { vec![8] };
        assert_eq!(sizes(&sink), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_partly_taken_batch_only_the_rest_is_sent_again() {
    let log = MemoryLog::new(1);
    fill(&log, 4, 2);
    log.finish();
    let sink = ScriptedSink::new(|batch, _| {
        let first = batch.events[0].id() == "k0-0";
        let verdict = |event: &eventlane::Event| match event.id() {
            "k2-0" if first => retry(None),
            _ => Verdict::Delivered,
        };
        (
            MS,
            Outcome::Each(batch.events.iter().map(verdict).collect()),
        )
    })
    .per_event();
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_batch(BatchPolicy::new(4, Duration::ZERO));
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.retried), (8, 1));
    sink.assert_in_order();
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_takes_a_later_event_of_a_key_gets_it_again_after_the_earlier_one() {
    let log = MemoryLog::new(1);
    fill(&log, 1, 3);
    log.finish();
    // Says that it takes batches as a whole, and does not.
    let sink = ScriptedSink::new(|batch, tries| {
        let verdict = |event: &eventlane::Event| match event.id() {
            "k0-0" if tries == 1 => retry(None),
            _ => Verdict::Delivered,
        };
        (
            MS,
            Outcome::Each(batch.events.iter().map(verdict).collect()),
        )
    });
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_batch(BatchPolicy::new(3, Duration::ZERO));
    assert_eq!(pipeline.run().await.unwrap().delivered, 3);
    assert_eq!(sink.delivered(), ["k0-1", "k0-2", "k0-0", "k0-1", "k0-2"]);
}

#[tokio::test(start_paused = true)]
async fn verdicts_that_are_missing_mean_not_taken() {
    let log = MemoryLog::new(1);
    fill(&log, 3, 1);
    log.finish();
    let sink = ScriptedSink::new(|batch, _| {
        (
            MS,
            Outcome::Each(vec![Verdict::Delivered; batch.events.len().div_ceil(2)]),
        )
    })
    .per_event();
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_batch(BatchPolicy::new(3, Duration::ZERO));
    assert_eq!(pipeline.run().await.unwrap().delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_is_split_until_it_fits() {
    let log = MemoryLog::new(1);
    fill(&log, 4, 16);
    log.finish();
    let sink = ScriptedSink::new(|batch, _| {
        let verdict = if batch.events.len() > 5 {
            too_large()
        } else {
            Verdict::Delivered
        };
        (MS, Outcome::All(verdict))
    });
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_batch(BatchPolicy::new(64, Duration::ZERO));
    let report = pipeline.run().await.unwrap();
    assert_eq!(
        (report.delivered, report.retried, report.dead_lettered),
        (64, 0, 0)
    );
    sink.assert_in_order();
}

#[tokio::test(start_paused = true)]
async fn the_one_event_that_spoils_a_batch_is_found_and_only_it_is_given_up() {
    let log = MemoryLog::new(1);
    fill(&log, 8, 16);
    log.finish();
    let sink = ScriptedSink::new(|batch, _| {
        let poisoned = batch.events.iter().any(|event| event.id() == "k5-7");
        (
            MS,
            Outcome::All(if poisoned {
                reject()
            } else {
                Verdict::Delivered
            }),
        )
    });
    let letters = LetterBox::default();
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_batch(BatchPolicy::new(100, Duration::ZERO))
        .with_dead_letter(letters.clone());
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.dead_lettered), (127, 1));
    assert_eq!(letters.ids(), ["k5-7"]);
    assert_eq!(letters.letters.lock().unwrap()[0].attempts, 1);
    let of_k5: Vec<_> = sink
        .delivered()
        .into_iter()
        .filter(|id| id.starts_with("k5"))
        .collect();
    let expected: Vec<_> = (0..16)
        .filter(|&seq| seq != 7)
        .map(|seq| format!("k5-{seq}"))
        .collect();
    assert_eq!(of_k5, expected);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_is_tried_again_in_order() {
    let log = MemoryLog::new(1);
    fill(&log, 3, 10);
    log.finish();
    let sink = ScriptedSink::new(|_, tries| {
        (
            MS,
            Outcome::All(if tries <= 2 {
                retry(None)
            } else {
                Verdict::Delivered
            }),
        )
    });
    let pipeline = Pipeline::new(log.source("g"), sink.clone())
        .with_batch(BatchPolicy::new(7, MS))
        .with_budgets(Budgets::default().with_requests(3))
        .with_retry(Retry::default().with_attempts(1000));
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.unsettled), (30, 0));
    sink.assert_in_order();
}
