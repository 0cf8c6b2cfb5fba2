use std::time::Duration;

use tokio::time::{Instant, advance, timeout};

use super::{MemoryQueue, MemoryQueueSource};
use crate::{
    ErrorKind, Event, Source,
    source::{Action, Delivery, Demand, Settlement, Signal},
};

const LEASE: Duration = Duration::from_secs(30);
const PLENTY: Demand = Demand {
    records: 1000,
    bytes: 1 << 20,
};

fn send(queue: &MemoryQueue, id: &str, key: Option<&str>) {
    queue.send(
        Event::builder()
            .id(id)
            .source("/test")
            .ty("test")
            .build()
            .unwrap(),
        key,
    );
}

async fn open(queue: &MemoryQueue) -> MemoryQueueSource {
    let mut source = queue.source();
    assert!(matches!(
        source.poll(Demand::NONE).await.unwrap(),
        Signal::Assigned(_)
    ));
    source
}

/// What comes within a second.
async fn receive(source: &mut MemoryQueueSource) -> Vec<Delivery> {
    match timeout(Duration::from_secs(1), source.poll(PLENTY))
        .await
        .map(Result::unwrap)
    {
        Ok(Signal::Deliveries(deliveries)) => deliveries,
        Ok(other) => panic!("no deliveries but {other:?}"),
        Err(_) => vec![],
    }
}

fn ids(deliveries: &[Delivery]) -> Vec<(&str, u32)> {
    deliveries
        .iter()
        .map(|one| (one.event.id(), one.attempt))
        .collect()
}

async fn settle(
    source: &MemoryQueueSource,
    delivery: &Delivery,
    action: Action,
) -> Option<ErrorKind> {
    let settlement = Settlement {
        receipt: delivery.receipt,
        action,
    };
    let settled = source.settler().settle(vec![settlement]).await.unwrap();
    settled.failed.first().map(|(_, error)| error.kind())
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_ends_brings_the_message_back_to_anybody() {
    let queue = MemoryQueue::new(LEASE);
    send(&queue, "a", None);
    let (mut first, mut second) = (open(&queue).await, open(&queue).await);
    let old = receive(&mut first).await;
    assert_eq!(ids(&old), [("a", 1)]);
    assert_eq!(old[0].lease, Some(Instant::now() + LEASE));
    assert_eq!((queue.len(), queue.leased()), (1, 1));
    let Signal::Deliveries(new) = second.poll(PLENTY).await.unwrap() else {
        panic!()
    };
    assert_eq!(
        Some(Instant::now()),
        old[0].lease,
        "not before the lease ends"
    );
    assert_eq!(ids(&new), [("a", 2)]);
    assert!(new[0].receipt.seq > old[0].receipt.seq);
    for (source, delivery) in [(&first, &old[0]), (&first, &new[0]), (&second, &old[0])] {
        let failed = settle(source, delivery, Action::Done).await;
        assert_eq!(
            failed,
            Some(ErrorKind::Fenced),
            "only the holder, only under the new receipt"
        );
    }
    assert_eq!(settle(&second, &new[0], Action::Done).await, None);
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn extending_counts_from_now_and_may_shorten() {
    let queue = MemoryQueue::new(LEASE);
    send(&queue, "a", None);
    let mut source = open(&queue).await;
    let got = receive(&mut source).await;
    assert_eq!(
        settle(&source, &got[0], Action::Extend { by: LEASE * 3 }).await,
        None
    );
    advance(LEASE * 2).await;
    assert!(receive(&mut source).await.is_empty());
    assert_eq!(
        settle(
            &source,
            &got[0],
            Action::Extend {
                by: Duration::from_secs(2)
            }
        )
        .await,
        None
    );
    advance(Duration::from_secs(2)).await;
    assert_eq!(ids(&receive(&mut source).await), [("a", 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_release_comes_after_its_delay() {
    let queue = MemoryQueue::new(LEASE);
    send(&queue, "a", None);
    let mut source = open(&queue).await;
    let got = receive(&mut source).await;
    let after = Duration::from_secs(7);
    assert_eq!(
        settle(&source, &got[0], Action::Release { after }).await,
        None
    );
    assert_eq!(queue.leased(), 0);
    let start = Instant::now();
    let Signal::Deliveries(got) = source.poll(PLENTY).await.unwrap() else {
        panic!()
    };
    assert_eq!(Instant::now() - start, after);
    assert_eq!(ids(&got), [("a", 2)]);
    assert_eq!(
        settle(
            &source,
            &got[0],
            Action::Release {
                after: Duration::ZERO
            }
        )
        .await,
        None
    );
    assert_eq!(ids(&receive(&mut source).await), [("a", 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_group_has_one_message_out_and_keeps_its_order() {
    let queue = MemoryQueue::new(LEASE).with_groups();
    for (id, key) in [
        ("a1", Some("a")),
        ("a2", Some("a")),
        ("b1", Some("b")),
        ("x", None),
    ] {
        send(&queue, id, key);
    }
    let mut source = open(&queue).await;
    let got = receive(&mut source).await;
    assert_eq!(ids(&got), [("a1", 1), ("b1", 1), ("x", 1)]);
    let after = Duration::from_secs(7);
    assert_eq!(
        settle(&source, &got[0], Action::Release { after }).await,
        None
    );
    assert_eq!(settle(&source, &got[1], Action::Done).await, None);
    assert!(receive(&mut source).await.is_empty(), "a2 waits for a1");
    advance(after).await;
    let got = receive(&mut source).await;
    assert_eq!(ids(&got), [("a1", 2)]);
    assert_eq!(settle(&source, &got[0], Action::Done).await, None);
    assert_eq!(ids(&receive(&mut source).await), [("a2", 1)]);
    send(&queue, "b2", Some("b"));
    assert_eq!(
        ids(&receive(&mut source).await),
        [("b2", 1)],
        "the group is empty, but still one"
    );
}

#[tokio::test(start_paused = true)]
async fn closing_releases_and_dropping_does_not() {
    let queue = MemoryQueue::new(LEASE);
    send(&queue, "a", None);
    let mut first = open(&queue).await;
    assert_eq!(ids(&receive(&mut first).await), [("a", 1)]);
    Box::new(first).close().await.unwrap();
    let mut second = open(&queue).await;
    assert_eq!(ids(&receive(&mut second).await), [("a", 2)]);
    drop(second);
    let mut third = open(&queue).await;
    assert!(receive(&mut third).await.is_empty());
    advance(LEASE).await;
    assert_eq!(ids(&receive(&mut third).await), [("a", 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_finished_queue_ends_when_everything_is_done() {
    let queue = MemoryQueue::new(LEASE);
    send(&queue, "a", None);
    queue.finish();
    let mut source = open(&queue).await;
    let got = receive(&mut source).await;
    assert!(receive(&mut source).await.is_empty(), "it may come back");
    let (end, settled) = tokio::join!(queue_end(&queue), settle(&source, &got[0], Action::Done));
    assert_eq!(settled, None);
    assert!(end);
}

async fn queue_end(queue: &MemoryQueue) -> bool {
    matches!(open(queue).await.poll(PLENTY).await, Ok(Signal::End))
}

#[tokio::test(start_paused = true)]
async fn limits_hold() {
    let queue = MemoryQueue::new(LEASE).with_limits(2, 1);
    for id in ["a", "b", "c"] {
        send(&queue, id, None);
    }
    let mut source = open(&queue).await;
    assert_eq!(source.capability().max_poll, 2);
    let got = receive(&mut source).await;
    assert_eq!(ids(&got), [("a", 1), ("b", 1)]);
    let both = got.iter().map(|it| Settlement {
        receipt: it.receipt,
        action: Action::Done,
    });
    let error = source.settler().settle(both.collect()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(queue.events().len(), 3, "none of them was settled");
    assert!(
        source
            .pause(&[])
            .is_err_and(|error| error.kind() == ErrorKind::Unsupported)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_can_last_for_ever() {
    let queue = MemoryQueue::new(Duration::MAX);
    send(&queue, "a", None);
    let mut source = open(&queue).await;
    let got = receive(&mut source).await;
    assert!(receive(&mut source).await.is_empty());
    let by = Duration::MAX;
    assert_eq!(settle(&source, &got[0], Action::Extend { by }).await, None);
    assert_eq!(
        settle(&source, &got[0], Action::Release { after: by }).await,
        None
    );
    assert!(receive(&mut source).await.is_empty());
}
