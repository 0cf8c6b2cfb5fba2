//! Queues through the whole pipeline, on every server.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use eventlane::{
    Event, OnExhausted, Pipeline, Report, Retry, Sink,
    queue::{Poller, PollerOptions, QueueMonitor},
    sink::FunctionSink,
};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::{
    fake::{Fake, FakeOptions, Fault, Kind},
    support::{Queue, Server, on_every_server},
};

on_every_server! {
    order_holds_in_groups_through_failures
    two_consumers_share_a_queue_and_one_dies
    an_endpoint_down_for_three_leases_loses_nothing
    what_is_given_up_goes_back_with_its_group
    groups_of_standard_queues_do_not_wait_for_each_other
}

const SECOND: Duration = Duration::from_secs(1);
const LEASE: u64 = 5;

/// What a sink has taken, in order, by group.
#[derive(Clone, Default)]
struct Taken {
    by_group: Arc<Mutex<BTreeMap<String, Vec<u32>>>>,
    tries: Arc<Mutex<HashMap<String, u32>>>,
}

impl Taken {
    /// A sink that takes so long, and fails when told: by group, number and how often it was asked.
    fn sink<F>(&self, takes: Duration, fails: F) -> impl Sink + use<F>
    where
        F: Fn(&str, u32, u32) -> bool + Clone + Send + Sync + 'static,
    {
        let this = self.clone();
        FunctionSink::new(move |event: Event| {
            let (this, fails) = (this.clone(), fails.clone());
            async move {
                let text = String::from_utf8(event.data().unwrap().as_bytes().to_vec()).unwrap();
                let (group, number) = text.split_once(' ').unwrap();
                let number: u32 = number.parse().unwrap();
                let tries = {
                    let mut tries = this.tries.lock().unwrap();
                    let tries = tries.entry(text.clone()).or_default();
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

    /// Every group has all its numbers, first in order; returns how many came again.
    fn assert_in_order(&self, groups: u32, each: u32) -> usize {
        let by_group = self.by_group.lock().unwrap();
        assert_eq!(by_group.len(), groups as usize);
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

async fn fill(queue: &Queue, groups: u32, each: u32) {
    for number in 0..each {
        for group in 0..groups {
            let (group, body) = (format!("g{group}"), format!("g{group} {number}"));
            queue.send_to(&group, &body).await;
        }
    }
}

async fn source(queue: &Queue) -> (Poller<eventlane_sqs::SqsQueue>, QueueMonitor) {
    let poller = Poller::new(queue.connect().await);
    let monitor = poller.monitor();
    (poller, monitor)
}

async fn carry(queue: &Queue, sink: impl Sink + 'static, idle: Duration) -> (Report, QueueMonitor) {
    let (source, monitor) = source(queue).await;
    let retry = Retry::default()
        .without_limit()
        .with_delays(SECOND / 20, SECOND / 2);
    let pipeline = Pipeline::new(source, sink)
        .with_retry(retry)
        .with_idle_timeout(idle);
    (pipeline.run().await.unwrap(), monitor)
}

async fn order_holds_in_groups_through_failures(server: &Server) {
    let queue = server.queue(true, LEASE).await;
    fill(&queue, 8, 15).await;
    let taken = Taken::default();
    let sink = taken.sink(SECOND / 200, |group, number, tries| {
        (group, number) == ("g3", 4) && tries <= 5 || number % 7 == 2 && tries == 1
    });
    let (report, monitor) = carry(&queue, sink, 2 * SECOND).await;
    assert_eq!(
        (report.delivered, report.redelivered),
        (120, 0),
        "{monitor:?}"
    );
    assert_eq!(taken.assert_in_order(8, 15), 0);
}

async fn two_consumers_share_a_queue_and_one_dies(server: &Server) {
    let queue = server.queue(true, LEASE).await;
    fill(&queue, 10, 12).await;
    let taken = Taken::default();
    let run = async || {
        let (source, _) = source(&queue).await;
        let sink = taken.sink(SECOND / 20, |_, _, _| false);
        let options = eventlane::Budgets::default().with_requests(3);
        let pipeline = Pipeline::new(source, sink).with_budgets(options);
        pipeline.with_idle_timeout(SECOND * (LEASE as u32 + 3))
    };
    let victim = tokio::spawn(run().await.run());
    let other = tokio::spawn(run().await.run());
    sleep(SECOND / 2).await;
    victim.abort();
    other.await.unwrap().unwrap();
    let again = taken.assert_in_order(10, 12);
    assert!(again <= 120 / 2, "{again}");
}

/// For a minute; hence on all servers at the same time.
#[tokio::test]
async fn slow_deliveries_are_not_repeated() {
    let servers = [Server::fake(), Server::elasticmq(), Server::ministack()];
    let servers: Vec<_> = servers.into_iter().flatten().collect();
    join_all(servers.iter().map(slow_deliveries)).await;
}

/// Each message takes more than twice as long as its lease.
async fn slow_deliveries(server: &Server) {
    let queue = server.queue(false, LEASE).await;
    for number in 0..30 {
        queue.send(&format!("one {number}")).await;
    }
    let taken = Taken::default();
    let began = Instant::now();
    let sink = taken.sink(12 * SECOND, |_, _, _| false);
    let (source, monitor) = source(&queue).await;
    let pipeline = Pipeline::new(source, sink)
        .with_budgets(eventlane::Budgets::default().with_requests(6))
        .with_idle_timeout(2 * SECOND);
    let report = pipeline.run().await.unwrap();
    assert!(began.elapsed() >= 60 * SECOND);
    assert_eq!(
        (report.delivered, report.redelivered),
        (30, 0),
        "{monitor:?}"
    );
    assert_eq!((report.fenced, monitor.expired()), (0, 0));
    assert!(monitor.extended() > 60, "{monitor:?}");
}

async fn an_endpoint_down_for_three_leases_loses_nothing(server: &Server) {
    let queue = server.queue(true, LEASE).await;
    fill(&queue, 4, 5).await;
    let (taken, began) = (Taken::default(), Instant::now());
    let down = SECOND * (LEASE as u32) * 3;
    let sink = taken.sink(SECOND / 100, move |_, _, _| began.elapsed() < down);
    let (report, _) = carry(&queue, sink, 2 * SECOND).await;
    assert_eq!((report.delivered, report.redelivered), (20, 0));
    assert_eq!(taken.assert_in_order(4, 5), 0);
}

async fn what_is_given_up_goes_back_with_its_group(server: &Server) {
    let queue = server.queue(true, LEASE).await;
    fill(&queue, 2, 6).await;
    let taken = Taken::default();
    let sink = taken.sink(SECOND / 100, |group, number, tries| {
        (group, number) == ("g1", 2) && tries <= 2
    });
    let (source, _) = source(&queue).await;
    let pipeline = Pipeline::new(source, sink)
        .with_retry(Retry::default().with_attempts(1))
        .with_on_exhausted(OnExhausted::Release { after: SECOND })
        .with_idle_timeout(3 * SECOND);
    let report = pipeline.run().await.unwrap();
    assert_eq!(report.delivered, 12);
    assert!(report.released >= 2, "{report}");
    assert_eq!(taken.assert_in_order(2, 6), 0);
}

/// There a group is a tenant, whom SQS serves fairly.
async fn groups_of_standard_queues_do_not_wait_for_each_other(server: &Server) {
    let queue = server.queue(false, 30).await;
    for number in 0..20 {
        queue.send_to("tenant", &format!("one {number}")).await;
    }
    let (taken, began) = (Taken::default(), Instant::now());
    let (report, _) = carry(&queue, taken.sink(SECOND, |_, _, _| false), SECOND).await;
    assert_eq!(report.delivered, 20);
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
}

async fn on_fake(messages: usize) -> (Fake, Poller<eventlane_sqs::SqsQueue>) {
    let fake = Fake::start(FakeOptions::default());
    for number in 0..messages {
        fake.send("jobs", &format!("one {number}"), None);
    }
    let queue = eventlane_sqs::SqsQueue::connect(fake.config("jobs"))
        .await
        .unwrap();
    (fake, Poller::with_options(queue, PollerOptions::default()))
}

#[tokio::test]
async fn deletes_that_fail_are_made_good() {
    let (fake, source) = on_fake(40).await;
    for _ in 0..3 {
        fake.faults()
            .next(Kind::Delete, Fault::Entries(3, "InternalError"));
        fake.faults()
            .next(Kind::Delete, Fault::Code("RequestThrottled"));
    }
    let (taken, monitor) = (Taken::default(), source.monitor());
    let pipeline = Pipeline::new(source, taken.sink(SECOND / 100, |_, _, _| false));
    let report = pipeline.with_idle_timeout(3 * SECOND).run().await.unwrap();
    assert_eq!(
        (report.delivered, report.redelivered),
        (40, 0),
        "{monitor:?}"
    );
    assert!(monitor.delete_failed() > 0, "{monitor:?}");
    assert_eq!(fake.len("jobs"), 0);
}

#[tokio::test]
async fn throttled_receives_lose_nothing() {
    let (fake, source) = on_fake(40).await;
    for _ in 0..3 {
        fake.faults()
            .next(Kind::Receive, Fault::Code("RequestThrottled"));
    }
    let taken = Taken::default();
    let pipeline = Pipeline::new(source, taken.sink(SECOND / 100, |_, _, _| false));
    let report = pipeline.with_idle_timeout(12 * SECOND).run().await.unwrap();
    assert_eq!((report.delivered, fake.len("jobs")), (40, 0));
}

#[tokio::test]
async fn an_idle_queue_costs_one_request_for_each_wait() {
    let (fake, source) = on_fake(0).await;
    let pipeline = Pipeline::new(source, Taken::default().sink(SECOND, |_, _, _| false));
    pipeline.with_idle_timeout(6 * SECOND).run().await.unwrap();
    let receives = fake.requests(Kind::Receive);
    assert!(
        receives <= 8,
        "{receives} receives of a second each in six seconds"
    );
}

#[tokio::test]
async fn a_server_that_answers_too_early_is_not_asked_in_a_loop() {
    let (fake, source) = on_fake(0).await;
    fake.faults().always(Kind::Receive, Fault::Empty);
    let pipeline = Pipeline::new(source, Taken::default().sink(SECOND, |_, _, _| false));
    pipeline.with_idle_timeout(6 * SECOND).run().await.unwrap();
    let receives = fake.requests(Kind::Receive);
    assert!(receives <= 6, "{receives} receives in six seconds");
}
