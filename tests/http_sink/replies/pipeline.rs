//! Replies of whole pipelines.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Budgets, Event, Pipeline, Result, Retry,
    memory::MemoryLog,
    sink::{
        DeadLetter, DeadLetterSink, FunctionSink, HttpSink, HttpSinkConfig, Verdict, Verdicts,
        http::Replies,
    },
};
use http::HeaderMap;
use tokio::time::{sleep, timeout};

use super::{Kept, asking, full, reply, structured};
use crate::{
    server::{Hyper, Received},
    support::{HANGS, builder, within},
};

/// Answers each event with a reply of its id and key.
async fn scorer() -> Hyper {
    fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        headers.get(name)?.to_str().ok()
    }
    Hyper::start(|request: &Received| {
        let headers = request.headers();
        let id = format!("re:{}", text(headers, "ce-id").unwrap());
        structured(&reply(&id, text(headers, "ce-partitionkey")))
    })
    .await
}

fn log(keys: &[&str], each: usize) -> MemoryLog {
    let log = MemoryLog::new(1);
    for number in 0..each {
        for key in keys {
            let event = builder().id(format!("{key}-{number}"));
            let event = event.extension("partitionkey", *key).build().unwrap();
            log.append(0, event, Some(key));
        }
    }
    log.finish();
    log
}

fn quick() -> Retry {
    Retry::default().with_delays(Duration::from_millis(10), Duration::from_millis(50))
}

#[tokio::test]
async fn nothing_is_settled_before_its_reply_is_kept() {
    let mut scorer = scorer().await;
    let log = log(&["ann"], 3);
    let open = Arc::new(AtomicBool::new(false));
    let kept: Arc<Mutex<Vec<String>>> = Arc::default();
    let url = scorer.url();
    let pipeline = |open: &Arc<AtomicBool>, kept: &Arc<Mutex<Vec<String>>>| {
        let (open, kept) = (Arc::clone(open), Arc::clone(kept));
        let store = FunctionSink::new(move |reply: Event| {
            let (open, kept) = (Arc::clone(&open), Arc::clone(&kept));
            async move {
                while !open.load(SeqCst) {
                    sleep(Duration::from_millis(10)).await;
                }
                kept.lock().unwrap().push(reply.id().to_owned());
            }
        });
        let sink = HttpSink::new(HttpSinkConfig::new(&url)).unwrap();
        Pipeline::new(log.source("g"), sink.with_replies_to(store))
            .with_commit_interval(Duration::from_millis(10))
    };
    // Answered, and its reply on its way: then the pipeline is gone.
    let first = pipeline(&open, &kept);
    let progress = first.progress();
    assert!(
        timeout(Duration::from_millis(500), first.run())
            .await
            .is_err()
    );
    assert_eq!(scorer.request().await.headers()["ce-id"], "ann-0");
    assert_eq!((progress.delivered(), log.committed("g", 0)), (0, 0));
    assert!(kept.lock().unwrap().is_empty());

    open.store(true, SeqCst);
    let report = within(pipeline(&open, &kept).run()).await.unwrap();
    assert_eq!((report.delivered, report.unsettled), (3, 0));
    assert_eq!(log.committed("g", 0), 3);
    assert_eq!(*kept.lock().unwrap(), ["re:ann-0", "re:ann-1", "re:ann-2"]);
    assert_eq!(scorer.request().await.headers()["ce-id"], "ann-0", "again");
}

#[tokio::test]
async fn replies_of_a_key_are_kept_in_order_whatever_fails() {
    let scorer = scorer().await;
    let keys = ["ann", "bob", "cyd", "dan"];
    let log = log(&keys, 25);
    // Of seven replies one is not taken at once, and one is not taken within the time for it.
    let failures = (0..200).map(|at| match at % 7 {
        2 | 5 => Verdict::Retry(full()),
        _ => Verdict::Delivered,
    });
    let kept = Kept::saying(Verdicts::PerEvent, failures);
    let replies = Replies::default().with_timeout(Duration::from_millis(60));
    let pipeline = Pipeline::new(log.source("g"), asking(&scorer.url(), replies, &kept))
        .with_retry(quick().without_limit());
    let report = within(pipeline.run()).await.unwrap();
    assert_eq!((report.delivered, report.unsettled), (100, 0));
    let mut next = HashMap::new();
    for id in kept.ids() {
        let (key, number) = id.rsplit_once('-').unwrap();
        let next = next.entry(key.to_owned()).or_insert(0);
        assert_eq!(number.parse::<usize>().unwrap(), *next, "of {key}");
        *next += 1;
    }
    assert!(next.len() == keys.len() && next.values().all(|next| *next == 25));
}

#[tokio::test]
async fn a_sink_of_replies_that_fails_holds_everything_until_it_recovers() {
    let scorer = scorer().await;
    let log = log(&["ann", "bob"], 5);
    let failures = (0..30).map(|_| Verdict::Retry(full()));
    let kept = Kept::saying(Verdicts::PerEvent, failures);
    let replies = Replies::default().with_timeout(Duration::from_millis(60));
    let pipeline = Pipeline::new(log.source("g"), asking(&scorer.url(), replies, &kept))
        .with_retry(quick().with_attempts(2))
        .with_commit_interval(Duration::from_millis(10));
    let progress = pipeline.progress();
    let run = tokio::spawn(pipeline.run());
    within(async {
        while kept.0.failures.load(SeqCst) < 10 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!((progress.delivered(), log.committed("g", 0)), (0, 0));
    let report = within(run).await.unwrap().unwrap();
    assert_eq!((report.delivered, report.unsettled), (10, 0));
    assert_eq!(kept.ids().len(), 10);
}

/// Keeps letters in memory.
#[derive(Clone, Default)]
struct Letters(Arc<Mutex<Vec<DeadLetter>>>);

#[async_trait]
impl DeadLetterSink for Letters {
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>> {
        self.0.lock().unwrap().extend(letters.iter().cloned());
        letters.iter().map(|_| Ok(())).collect()
    }

    fn destination(&self) -> Cow<'_, str> {
        "letters".into()
    }
}

#[tokio::test]
async fn replies_that_come_back_as_events_end() {
    let mut scorer = scorer().await;
    let log = MemoryLog::new(1);
    log.append(0, builder().build().unwrap(), None);
    let again = log.clone();
    let back = FunctionSink::new(move |reply: Event| {
        again.append(0, reply, None);
        async {}
    });
    let replies = Replies::default().with_max_hops(3);
    let config = HttpSinkConfig::new(scorer.url()).with_replies(replies);
    let letters = Letters::default();
    let sink = HttpSink::new(config).unwrap().with_replies_to(back);
    let pipeline = Pipeline::new(log.source("g"), sink)
        .with_dead_letter(letters.clone())
        .with_idle_timeout(Duration::from_millis(300));
    let report = timeout(HANGS, pipeline.run()).await.unwrap().unwrap();
    assert_eq!((report.delivered, report.dead_lettered), (3, 1));
    let letters = letters.0.lock().unwrap().clone();
    assert_eq!(letters[0].failure.reason, "reply_loop");
    assert_eq!(letters[0].event.id(), "re:re:re:1");
    for asked in ["1", "re:1", "re:re:1", "re:re:re:1"] {
        assert_eq!(scorer.request().await.headers()["ce-id"], asked);
    }
}

/// What memory there is for replies is known before they come.
#[tokio::test]
async fn replies_are_held_only_for_the_requests_in_flight() {
    let scorer = scorer().await;
    let keys: Vec<_> = (0..40).map(|key| format!("k{key}")).collect();
    let log = log(&keys.iter().map(String::as_str).collect::<Vec<_>>(), 1);
    let (now, most) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let (in_hand, seen) = (Arc::clone(&now), Arc::clone(&most));
    let slow = FunctionSink::new(move |_: Event| {
        let (now, most) = (Arc::clone(&in_hand), Arc::clone(&seen));
        async move {
            let held = {
                let mut now = now.lock().unwrap();
                *now += 1;
                *now
            };
            let before: usize = *most.lock().unwrap();
            *most.lock().unwrap() = before.max(held);
            sleep(Duration::from_millis(20)).await;
            *now.lock().unwrap() -= 1;
        }
    });
    let sink = HttpSink::new(HttpSinkConfig::new(scorer.url())).unwrap();
    let pipeline = Pipeline::new(log.source("g"), sink.with_replies_to(slow))
        .with_budgets(Budgets::default().with_requests(4));
    let report = within(pipeline.run()).await.unwrap();
    assert_eq!(report.delivered, 40);
    assert!((2..=4).contains(&*most.lock().unwrap()), "{most:?}");
}
