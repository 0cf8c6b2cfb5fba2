use std::time::Duration;

use eventlane::{
    ErrorKind, OnExhausted, Pipeline, Retry,
    memory::{MemoryLog, Record},
    sink::Verdict,
};
use tokio::time::sleep;

use crate::support::{LetterBox, ScriptedSink, event, fill, record, reject, retry};

fn failing(id: &'static str) -> ScriptedSink {
    ScriptedSink::verdict(move |event, _| {
        if event.id() == id {
            retry(None)
        } else {
            Verdict::Delivered
        }
    })
}

#[tokio::test(start_paused = true)]
async fn by_default_nothing_is_given_up() {
    let log = MemoryLog::new(1);
    fill(&log, 3, 3);
    let sink = failing("k1-1");
    let pipeline =
        Pipeline::new(log.source("g"), sink.clone()).with_retry(Retry::default().with_attempts(2));
    let progress = pipeline.progress();
    let run = tokio::spawn(pipeline.run_until(sleep(Duration::from_secs(600))));
    sleep(Duration::from_secs(500)).await;
    assert_eq!((progress.delivered(), progress.held_lanes()), (7, 1));
    assert_eq!(
        log.committed("g", 0),
        4,
        "up to the one that is not delivered"
    );
    assert_eq!(log.beyond("g", 0), [5..7, 8..9]);
    let tries = sink
        .calls()
        .iter()
        .filter(|call| call.ids == ["k1-1"])
        .count();
    assert!(
        (17..40).contains(&tries),
        "tried on at the longest delay: {tries}"
    );
    let held = progress.held();
    assert_eq!(
        (held[0].key.as_deref(), held[0].reason.as_str()),
        (Some("k1"), "status_503")
    );
    assert!(!held[0].rejected);
    let report = run.await.unwrap().unwrap();
    assert_eq!(report.unsettled, 2);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_held_for_a_rejection_says_so() {
    let log = MemoryLog::new(1);
    fill(&log, 2, 1);
    let sink = ScriptedSink::verdict(|event, _| match event.id() {
        "k0-0" => reject(),
        _ => retry(None),
    });
    let pipeline = Pipeline::new(log.source("g"), sink);
    let progress = pipeline.progress();
    let run = tokio::spawn(pipeline.run_until(sleep(Duration::from_secs(60))));
    sleep(Duration::from_secs(50)).await;
    let held = progress.held().into_iter();
    let mut held: Vec<_> = held.map(|lane| (lane.reason, lane.rejected)).collect();
    held.sort();
    let expected = [("status_400", true), ("status_503", false)];
    assert_eq!(
        held,
        expected.map(|(reason, rejected)| (reason.to_owned(), rejected))
    );
    assert_eq!(run.await.unwrap().unwrap().unsettled, 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_restart_need_not_repeat_is_not_repeated() {
    let log = MemoryLog::new(1);
    fill(&log, 3, 3);
    log.finish();
    let first = Pipeline::new(log.source("g"), failing("k1-1"));
    first
        .run_until(sleep(Duration::from_secs(100)))
        .await
        .unwrap();
    let sink = ScriptedSink::taking(Duration::from_millis(1));
    let report = Pipeline::new(log.source("g"), sink.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(sink.delivered(), ["k1-1", "k1-2"]);
    assert_eq!((report.received, log.committed("g", 0)), (2, 9));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_says_what_happened() {
    let log = MemoryLog::new(1);
    fill(&log, 2, 1);
    log.finish();
    let letters = LetterBox::default();
    let pipeline = Pipeline::new(log.source("g"), failing("k1-0"))
        .with_retry(Retry::default().with_attempts(4))
        .with_dead_letter(letters.clone());
    let report = pipeline.run().await.unwrap();
    assert_eq!(
        (report.delivered, report.dead_lettered, report.retried),
        (1, 1, 4)
    );
    let letters = letters.letters.lock().unwrap();
    assert_eq!(
        (letters[0].attempts, letters[0].failure.status),
        (4, Some(503))
    );
    assert_eq!(letters[0].destination, "script:");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_event_is_given_up_at_once() {
    let log = MemoryLog::new(1);
    fill(&log, 2, 1);
    log.finish();
    let sink = ScriptedSink::verdict(|event, _| {
        if event.id() == "k0-0" {
            reject()
        } else {
            Verdict::Delivered
        }
    });
    let letters = LetterBox::default();
    let pipeline = Pipeline::new(log.source("g"), sink.clone()).with_dead_letter(letters.clone());
    assert_eq!(pipeline.run().await.unwrap().retried, 0);
    assert_eq!(letters.letters.lock().unwrap()[0].attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_message_is_never_sent() {
    let log = MemoryLog::new(1);
    log.append_all(0, [record("k", 0)]);
    let invalid = Record::new(event("k", 1))
        .with_key("k")
        .with_invalid("no id");
    log.append_all(0, [invalid]);
    log.append_all(0, [record("k", 2)]);
    log.finish();
    let (sink, letters) = (
        ScriptedSink::taking(Duration::from_millis(1)),
        LetterBox::default(),
    );
    let pipeline = Pipeline::new(log.source("g"), sink.clone()).with_dead_letter(letters.clone());
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.dead_lettered), (2, 1));
    assert_eq!(sink.delivered(), ["k-0", "k-2"]);
    let letters = letters.letters.lock().unwrap();
    assert_eq!(
        (letters[0].attempts, &*letters[0].failure.reason),
        (0, "invalid")
    );
    assert!(letters[0].failure.message.contains("no id"));
}

#[tokio::test(start_paused = true)]
async fn while_the_dead_letter_fails_the_watermark_holds() {
    let log = MemoryLog::new(1);
    fill(&log, 2, 3);
    let letters = LetterBox::failing(usize::MAX);
    let pipeline = Pipeline::new(log.source("g"), failing("k0-1"))
        .with_retry(Retry::default().with_attempts(2))
        .with_grace(Duration::from_secs(4))
        .with_dead_letter(letters);
    let report = pipeline
        .run_until(sleep(Duration::from_secs(60)))
        .await
        .unwrap();
    assert_eq!(
        (report.delivered, report.dead_lettered, report.unsettled),
        (4, 0, 2)
    );
    assert_eq!(log.committed("g", 0), 2);
    log.finish();
    let (letters, sink) = (LetterBox::failing(3), failing("k0-1"));
    let again = Pipeline::new(log.source("g"), sink.clone())
        .with_retry(Retry::default().with_attempts(2))
        .with_dead_letter(letters.clone());
    let report = again.run().await.unwrap();
    assert_eq!((report.delivered, report.dead_lettered), (1, 1));
    assert_eq!(
        (letters.ids(), sink.delivered()),
        (vec!["k0-1".into()], vec!["k0-2".into()])
    );
    assert_eq!(log.committed("g", 0), 6);
}

#[tokio::test(start_paused = true)]
async fn letters_may_take_longer_than_an_attempt() {
    let log = MemoryLog::new(1);
    fill(&log, 20, 1);
    log.finish();
    let letters = LetterBox::taking(Duration::from_secs(5));
    let pipeline = Pipeline::new(log.source("g"), ScriptedSink::verdict(|_, _| reject()))
        .with_retry(Retry::default().with_timeout(Duration::from_secs(1)))
        .with_dead_letter(letters.clone());
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.dead_lettered, letters.ids().len()), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn dropping_has_to_be_asked_for_and_is_counted() {
    let log = MemoryLog::new(1);
    fill(&log, 2, 2);
    log.finish();
    let pipeline = Pipeline::new(log.source("g"), failing("k0-0"))
        .with_retry(Retry::default().with_attempts(2))
        .with_on_exhausted(OnExhausted::Drop);
    let report = pipeline.run().await.unwrap();
    assert_eq!(
        (report.delivered, report.dropped, log.committed("g", 0)),
        (3, 1, 4)
    );
}

#[tokio::test(start_paused = true)]
async fn stop_ends_with_an_error_and_settles_no_further() {
    let log = MemoryLog::new(1);
    fill(&log, 4, 2);
    let pipeline = Pipeline::new(log.source("g"), failing("k2-0"))
        .with_retry(Retry::default().with_attempts(2))
        .with_on_exhausted(OnExhausted::Stop);
    let stopped = pipeline.run().await.unwrap_err();
    assert!(stopped.to_string().contains("k2-0"), "{stopped}");
    assert_eq!(log.committed("g", 0), 2);
    assert_eq!(stopped.report.delivered, 6);
}

#[tokio::test(start_paused = true)]
async fn retries_end_by_time_as_well() {
    let log = MemoryLog::new(1);
    fill(&log, 1, 1);
    log.finish();
    let letters = LetterBox::default();
    let retry = Retry::default()
        .without_limit()
        .with_elapsed(Duration::from_secs(10));
    let pipeline = Pipeline::new(log.source("g"), failing("k0-0"))
        .with_retry(retry)
        .with_dead_letter(letters.clone());
    let report = pipeline.run().await.unwrap();
    assert_eq!(report.dead_lettered, 1);
    assert!(
        (10..30).contains(&report.elapsed.as_secs()),
        "{:?}",
        report.elapsed
    );
}

#[tokio::test]
async fn a_policy_that_can_not_work_is_refused_at_the_start() {
    let log = MemoryLog::new(1);
    let sink = || ScriptedSink::taking(Duration::ZERO);
    let release = OnExhausted::Release {
        after: Duration::ZERO,
    };
    for policy in [OnExhausted::DeadLetter, release] {
        let pipeline = Pipeline::new(log.source("g"), sink()).with_on_exhausted(policy);
        assert_eq!(
            pipeline.run().await.unwrap_err().error.kind(),
            ErrorKind::Config
        );
    }
}
