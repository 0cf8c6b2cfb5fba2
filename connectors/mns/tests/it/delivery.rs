//! Queues through the whole pipeline.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use eventlane::{
    Budgets, Event, OnExhausted, Pipeline, Retry, Sink, queue::Poller, sink::FunctionSink,
};
use eventlane_mns::{MnsDeadLetter, MnsQueue};
use tokio::time::{Instant, sleep};

use crate::fake::{Fake, FakeOptions, Fault, Kind};

const SECOND: Duration = Duration::from_secs(1);

/// What a sink has taken: the numbers of each group, in order.
#[derive(Clone, Default)]
struct Taken {
    by_group: Arc<Mutex<BTreeMap<String, Vec<u32>>>>,
    tries: Arc<Mutex<HashMap<String, u32>>>,
}

impl Taken {
    /// A sink that takes so long, and fails when told: by group, number, and how often it was
    /// asked.
    fn sink<F>(&self, takes: Duration, fails: F) -> impl Sink + use<F>
    where
        F: Fn(&str, u32, u32) -> bool + Clone + Send + Sync + 'static,
    {
        let this = self.clone();
        FunctionSink::new(move |event: Event| {
            let (this, fails) = (this.clone(), fails.clone());
            async move {
                let body = event.data().unwrap().as_bytes().clone();
                let text = std::str::from_utf8(&body).unwrap();
                let (group, number) = text.split_once(' ').unwrap();
                let number: u32 = number.parse().unwrap();
                let tries = {
                    let mut tries = this.tries.lock().unwrap();
                    let tries = tries.entry(text.to_owned()).or_default();
                    *tries += 1;
                    *tries
                };
                sleep(takes).await;
                if fails(group, number, tries) {
                    return Err("told to");
                }
                let mut by_group = this.by_group.lock().unwrap();
                by_group.entry(group.to_owned()).or_default().push(number);
                Ok(())
            }
        })
    }

    /// Each group has all its numbers, none before the one in front of it; returns how many came
    /// again.
    fn again(&self, groups: usize, each: u32) -> usize {
        let by_group = self.by_group.lock().unwrap();
        assert_eq!(by_group.len(), groups);
        let mut again = 0;
        for (group, taken) in &*by_group {
            let mut next = 0;
            for &number in taken {
                assert!(number <= next, "group {group}: {taken:?}");
                next = next.max(number + 1);
            }
            assert_eq!(next, each, "group {group}: {taken:?}");
            again += taken.len() - each as usize;
        }
        again
    }
}

/// A server with a queue of groups, each with so many messages.
async fn server(lease: u32, groups: usize, each: u32) -> Fake {
    let fake = Fake::start(FakeOptions {
        lease: SECOND * lease,
        ..FakeOptions::default()
    })
    .await;
    for number in 0..each {
        for group in 0..groups {
            let group = format!("g{group}");
            fake.send("orders", format!("{group} {number}"), Some(&group));
        }
    }
    fake
}

async fn source(fake: &Fake) -> Poller<MnsQueue> {
    Poller::new(MnsQueue::connect(fake.config("orders")).await.unwrap())
}

fn patient() -> Retry {
    Retry::default()
        .without_limit()
        .with_delays(SECOND / 20, SECOND / 2)
}

#[tokio::test]
async fn order_holds_through_failures() {
    let fake = server(5, 8, 15).await;
    let taken = Taken::default();
    let sink = taken.sink(SECOND / 200, |group, number, tries| {
        (group, number) == ("g3", 4) && tries <= 5 || number % 7 == 2 && tries == 1
    });
    let pipeline = Pipeline::new(source(&fake).await, sink).with_retry(patient());
    let report = pipeline.with_idle_timeout(2 * SECOND).run().await.unwrap();
    assert_eq!((report.delivered, report.redelivered), (120, 0), "{report}");
    assert_eq!((taken.again(8, 15), fake.len("orders")), (0, 0));
}

#[tokio::test]
async fn nothing_is_lost_while_the_server_has_trouble() {
    let fake = server(3, 4, 20).await;
    let trouble = async {
        for (kind, fault) in [
            (Kind::Receive, Fault::Throttle),
            (Kind::Delete, Fault::DeleteNone),
            (Kind::Receive, Fault::Malformed),
            (Kind::ChangeVisibility, Fault::Throttle),
            (Kind::Receive, Fault::LostAnswer),
            (Kind::Delete, Fault::Fail),
            (Kind::ChangeVisibility, Fault::LostAnswer),
            (Kind::Receive, Fault::Disconnect),
            (Kind::Delete, Fault::LostAnswer),
        ] {
            fake.faults().inject(kind, fault, 1);
            sleep(SECOND).await;
        }
    };
    let taken = Taken::default();
    let sink = taken.sink(SECOND / 3, |_, _, _| false);
    let pipeline = Pipeline::new(source(&fake).await, sink).with_retry(patient());
    let pipeline = pipeline.with_idle_timeout(8 * SECOND);
    let (report, ()) = tokio::join!(pipeline.run(), trouble);
    report.unwrap();
    let again = taken.again(4, 20);
    assert!(again <= 20, "{again}");
    assert_eq!(fake.len("orders"), 0);
    assert!(fake.requests(Kind::Delete) > 0);
}

#[tokio::test]
async fn slow_deliveries_are_not_repeated() {
    let fake = server(2, 10, 1).await;
    let taken = Taken::default();
    let source = source(&fake).await;
    let monitor = source.monitor();
    let pipeline = Pipeline::new(source, taken.sink(5 * SECOND, |_, _, _| false))
        .with_budgets(Budgets::default().with_requests(5))
        .with_idle_timeout(2 * SECOND);
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.redelivered), (10, 0), "{report}");
    assert_eq!((report.fenced, monitor.expired()), (0, 0), "{monitor:?}");
    assert!(fake.requests(Kind::ChangeVisibility) >= 30);
    assert_eq!(fake.len("orders"), 0);
}

#[tokio::test]
async fn what_is_given_up_goes_back_with_its_group() {
    let fake = server(10, 2, 6).await;
    let taken = Taken::default();
    let sink = taken.sink(SECOND / 100, |group, number, tries| {
        (group, number) == ("g1", 2) && tries <= 2
    });
    let pipeline = Pipeline::new(source(&fake).await, sink)
        .with_retry(Retry::default().with_attempts(1))
        .with_on_exhausted(OnExhausted::Release { after: SECOND })
        .with_idle_timeout(4 * SECOND);
    let report = pipeline.run().await.unwrap();
    assert_eq!(report.delivered, 12, "{report}");
    assert_eq!((taken.again(2, 6), fake.len("orders")), (0, 0));
}

#[tokio::test]
async fn what_is_not_done_is_given_back_at_the_end() {
    let fake = server(60, 3, 5).await;
    let sink = Taken::default().sink(SECOND / 100, |_, _, _| true);
    let pipeline = Pipeline::new(source(&fake).await, sink).with_retry(patient());
    pipeline.run_until(sleep(SECOND)).await.unwrap();
    sleep(SECOND + SECOND / 2).await;
    assert_eq!((fake.len("orders"), fake.in_flight("orders")), (15, 0));
}

#[tokio::test]
async fn an_idle_queue_costs_one_request_for_each_wait() {
    let fake = server(30, 0, 0).await;
    let sink = Taken::default().sink(SECOND, |_, _, _| false);
    let pipeline = Pipeline::new(source(&fake).await, sink);
    pipeline.with_idle_timeout(6 * SECOND).run().await.unwrap();
    let receives = fake.requests(Kind::Receive);
    assert!((5..=8).contains(&receives), "{receives} in six seconds");
}

#[tokio::test]
async fn a_server_that_answers_too_early_is_not_asked_in_a_loop() {
    let fake = server(30, 0, 0).await;
    fake.faults()
        .inject(Kind::Receive, Fault::EarlyEmpty, usize::MAX);
    let began = Instant::now();
    let sink = Taken::default().sink(SECOND, |_, _, _| false);
    let pipeline = Pipeline::new(source(&fake).await, sink);
    pipeline.with_idle_timeout(6 * SECOND).run().await.unwrap();
    let receives = fake.requests(Kind::Receive);
    assert!(receives <= 6, "{receives} in {:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_given_up_can_go_to_another_queue_and_be_read_there() {
    let fake = server(30, 2, 3).await;
    let sink = Taken::default().sink(SECOND / 100, |group, number, _| {
        (group, number) == ("g1", 1)
    });
    let letters = MnsDeadLetter::new(&fake.config("dead")).unwrap();
    let pipeline = Pipeline::new(source(&fake).await, sink)
        .with_retry(Retry::default().with_attempts(2))
        .with_dead_letter(letters)
        .with_idle_timeout(2 * SECOND);
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.dead_lettered), (5, 1), "{report}");
    assert_eq!((fake.len("orders"), fake.len("dead")), (0, 1));

    let dead = MnsQueue::connect(fake.config("dead")).await.unwrap();
    let read = eventlane::queue::QueueBackend::receive(&dead, 16, SECOND)
        .await
        .unwrap();
    let [letter] = &read[..] else {
        panic!("{read:?}");
    };
    let mark = |name| {
        letter
            .event
            .extension(name)
            .map(|value| value.as_str().into_owned())
    };
    assert_eq!(mark("eventlaneattempts").as_deref(), Some("2"));
    assert_eq!(letter.key.as_deref(), Some(b"g1".as_slice()));
    assert_eq!(letter.event.ty(), "mns:Queue:SendMessage");
}
