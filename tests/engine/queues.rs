use std::time::Duration;

use eventlane::{
    Budgets, Error, ErrorKind, OnExhausted, Pipeline, Retry,
    memory::MemoryQueue,
    sink::{Outcome, Verdict},
};
use tokio::time::sleep;

use crate::support::{ScriptedSink, record, retry};

const SECOND: Duration = Duration::from_secs(1);

fn queue(keys: u64, each: u64) -> MemoryQueue {
    let queue = MemoryQueue::new(5 * SECOND);
    for seq in 0..each {
        queue.send_all((0..keys).map(|key| record(&format!("k{key}"), seq)));
    }
    queue
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_is_taken_away_one_by_one() {
    let queue = queue(10, 10);
    let sink = ScriptedSink::verdict(|event, tries| {
        if event.id().starts_with("k3") && tries == 1 {
            retry(None)
        } else {
            Verdict::Delivered
        }
    });
    let pipeline = Pipeline::new(queue.source(), sink.clone()).with_idle_timeout(SECOND);
    let report = pipeline.run().await.unwrap();
    assert_eq!(
        (report.delivered, report.redelivered, report.unconfirmed),
        (100, 0, 0)
    );
    assert!(queue.is_empty());
    sink.assert_in_order();
}

#[tokio::test(start_paused = true)]
async fn leases_are_extended_as_long_as_work_goes_on() {
    let queue = queue(3, 2);
    let sink = ScriptedSink::taking(12 * SECOND);
    let pipeline = Pipeline::new(queue.source(), sink.clone()).with_idle_timeout(SECOND);
    let report = pipeline.run().await.unwrap();
    assert_eq!(
        (report.delivered, report.redelivered, report.fenced),
        (6, 0, 0)
    );
    assert!(queue.is_empty());
}

/// Its poller bounds itself; a limit as that of logs would let its receives wait for each other.
#[tokio::test(start_paused = true)]
async fn a_queue_is_asked_for_all_that_the_budgets_leave() {
    let queue = queue(500, 1);
    let pipeline = Pipeline::new(queue.source(), ScriptedSink::taking(25 * SECOND))
        .with_budgets(Budgets::default().with_requests(10));
    let progress = pipeline.progress();
    let run = tokio::spawn(pipeline.run_until(sleep(5 * SECOND)));
    sleep(4 * SECOND).await;
    assert_eq!(progress.buffered_events(), 500);
    run.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_lease_is_lost_is_not_settled_and_comes_again() {
    let queue = queue(1, 2);
    let fenced = || Error::new(ErrorKind::Fenced, "extend", "from the test");
    queue.faults().fail_settlements((0..8).map(|_| fenced()));
    let sink = ScriptedSink::new(|_, tries| {
        (
            if tries == 1 { 12 * SECOND } else { SECOND / 10 },
            Outcome::All(Verdict::Delivered),
        )
    })
    .unordered();
    let pipeline = Pipeline::new(queue.source(), sink.clone()).with_idle_timeout(20 * SECOND);
    let report = pipeline.run().await.unwrap();
    assert!(report.fenced >= 1 && report.redelivered >= 1, "{report:?}");
    assert!(queue.is_empty(), "{report:?}");
    assert!(sink.delivered().contains(&"k0-1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_released_event_takes_the_rest_of_its_lane_with_it() {
    let queue = queue(2, 4);
    let sink = ScriptedSink::verdict(|event, tries| {
        if event.id() == "k1-1" && tries <= 2 {
            retry(None)
        } else {
            Verdict::Delivered
        }
    });
    let pipeline = Pipeline::new(queue.source(), sink.clone())
        .with_retry(Retry::default().with_attempts(2))
        .with_on_exhausted(OnExhausted::Release {
            after: Duration::ZERO,
        })
        .with_idle_timeout(10 * SECOND);
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.released), (8, 3));
    sink.assert_in_order();
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_back_at_once_what_was_not_sent() {
    let queue = queue(100, 1);
    let sink = ScriptedSink::taking(SECOND);
    let pipeline = Pipeline::new(queue.source(), sink);
    let report = pipeline.run_until(sleep(SECOND / 2)).await.unwrap();
    assert_eq!(
        (report.delivered, report.released, report.unsettled),
        (64, 36, 36)
    );
    assert_eq!((queue.len(), queue.leased()), (36, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_settlement_is_made_good_alone() {
    let queue = queue(10, 1);
    let busy = || Error::new(ErrorKind::Throttled, "delete", "from the test");
    queue.faults().fail_settlements([busy(), busy()]);
    let sink = ScriptedSink::taking(SECOND / 10);
    let pipeline = Pipeline::new(queue.source(), sink.clone()).with_idle_timeout(2 * SECOND);
    let report = pipeline.run().await.unwrap();
    assert_eq!(
        (report.delivered, report.redelivered, report.unconfirmed),
        (10, 0, 0)
    );
    assert!(queue.is_empty());
}

/// Twenty deletes are under way when the broker fails for a moment. That is one failure, and the
/// leases of the rest must not run out for it.
#[tokio::test(start_paused = true)]
async fn settlements_that_fail_together_are_soon_tried_again() {
    let queue = queue(20, 1);
    let ms = SECOND / 1000;
    queue.faults().delay_settles(50 * ms);
    let passing = || Error::new(ErrorKind::Unavailable, "settle", "from the test");
    queue.faults().fail_settlements((0..20).map(|_| passing()));
    let sink = ScriptedSink::new(move |batch, _| {
        let key: u32 = batch.events[0].id()[1..]
            .split('-')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        (key * ms, Outcome::All(Verdict::Delivered))
    });
    let pipeline = Pipeline::new(queue.source(), sink).with_idle_timeout(SECOND / 10);
    let report = pipeline.run().await.unwrap();
    assert_eq!((report.delivered, report.unconfirmed), (20, 0));
    assert!(queue.is_empty());
    assert!(report.elapsed < SECOND, "{:?}", report.elapsed);
}
