use std::{sync::Arc, time::Duration};

use eventlane::{
    Event,
    source::{Assignment, Receipt, Revocation},
};
use tokio::time::{Instant, timeout};

use super::*;

const A: Partition = Partition(0);
const B: Partition = Partition(1);
const PLENTY: Demand = Demand {
    records: 100,
    bytes: 1 << 20,
};

fn event() -> Event {
    Event::builder()
        .id("1")
        .source("/s")
        .ty("t")
        .build()
        .unwrap()
}

fn run(partition: Partition, offsets: std::ops::Range<u64>) -> Run {
    let delivery = |seq| {
        Delivery::new(
            Receipt {
                partition,
                epoch: 1,
                seq,
            },
            event(),
        )
    };
    let deliveries: VecDeque<_> = offsets.map(delivery).collect();
    let bytes = deliveries.len() * event().size();
    Run {
        partition,
        epoch: 1,
        content: Content::Deliveries { deliveries, bytes },
    }
}

fn advanced(partition: Partition, next: u64) -> Run {
    Run {
        partition,
        epoch: 1,
        content: Content::Advanced(next),
    }
}

fn handover(runs: impl IntoIterator<Item = Run>) -> Handover {
    let handover = Handover::new(20, 1 << 20);
    handover.put(runs);
    handover
}

/// What a poll brings at once, as partitions and offsets; `None` if it waits.
async fn poll(handover: &Handover, demand: Demand) -> Option<String> {
    let signal = timeout(Duration::from_millis(1), handover.take(demand))
        .await
        .ok()?;
    Some(match signal {
        Ok(Signal::Deliveries(deliveries)) => {
            let one = |d: &Delivery| format!("{}/{}", d.receipt.partition.0, d.receipt.seq);
            deliveries.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Ok(Signal::Advanced(positions)) => {
            let one = |p: &Position| format!("{}>{}", p.partition.0, p.next);
            positions.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Ok(Signal::Assigned(_)) => "assigned".to_owned(),
        Ok(Signal::Revoking(_)) => "revoking".to_owned(),
        Ok(Signal::Lost(_)) => "lost".to_owned(),
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    })
}

#[tokio::test(start_paused = true)]
async fn gives_what_there_is_within_the_demand() {
    let handover = handover([run(A, 0..3), run(B, 7..9), run(A, 3..5)]);
    let some = |records| Demand { records, ..PLENTY };
    assert_eq!(poll(&handover, some(2)).await.unwrap(), "0/0 0/1");
    assert_eq!(poll(&handover, some(4)).await.unwrap(), "0/2 1/7 1/8 0/3");
    assert_eq!(poll(&handover, PLENTY).await.unwrap(), "0/4");
    assert_eq!(poll(&handover, PLENTY).await, None);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_a_cap_but_for_the_first() {
    let handover = handover([run(A, 0..5)]);
    let size = event().size();
    let bytes = |bytes| Demand { bytes, ..PLENTY };
    assert_eq!(poll(&handover, bytes(1)).await.unwrap(), "0/0");
    assert_eq!(
        poll(&handover, bytes(size * 5 / 2)).await.unwrap(),
        "0/1 0/2"
    );
    assert_eq!(poll(&handover, bytes(size * 2)).await.unwrap(), "0/3 0/4");
}

#[tokio::test(start_paused = true)]
async fn news_come_without_demand_and_before_deliveries() {
    let handover = handover([run(A, 0..2)]);
    assert_eq!(poll(&handover, Demand::NONE).await, None);
    handover.announce(Ok(Signal::Assigned(Vec::<Assignment>::new())));
    assert_eq!(poll(&handover, Demand::NONE).await.unwrap(), "assigned");
    handover.announce(Ok(Signal::Assigned(Vec::new())));
    assert_eq!(poll(&handover, PLENTY).await.unwrap(), "assigned");
    assert_eq!(poll(&handover, PLENTY).await.unwrap(), "0/0 0/1");
}

#[tokio::test(start_paused = true)]
async fn an_advance_keeps_its_place_in_its_partition() {
    let handover = handover([run(A, 0..2), advanced(A, 5), advanced(B, 9), run(A, 5..6)]);
    assert_eq!(poll(&handover, Demand::NONE).await.unwrap(), "1>9");
    assert_eq!(poll(&handover, Demand::NONE).await, None);
    assert_eq!(poll(&handover, PLENTY).await.unwrap(), "0/0 0/1");
    assert_eq!(poll(&handover, PLENTY).await.unwrap(), "0>5");
    assert_eq!(poll(&handover, PLENTY).await.unwrap(), "0/5");
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_away_is_withdrawn() {
    let handover = handover([run(A, 0..2), run(B, 0..1), advanced(A, 4)]);
    let (revocation, let_go) = Revocation::new(vec![A], Instant::now());
    handover.withdraw(&[A], Signal::Revoking(revocation));
    assert_eq!(poll(&handover, Demand::NONE).await.unwrap(), "revoking");
    assert!(let_go.await.is_err(), "the guard was dropped by the reader");
    assert_eq!(poll(&handover, PLENTY).await.unwrap(), "1/0");
    assert_eq!(poll(&handover, PLENTY).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_is_withheld_and_makes_room() {
    let handover = handover([run(A, 0..15), run(B, 0..1)]);
    let here = || std::thread::current();
    assert_eq!(handover.room(here).events, 4);
    handover.pause(&[A], true);
    assert_eq!(handover.room(here).events, 19);
    assert_eq!(poll(&handover, PLENTY).await.unwrap(), "1/0");
    assert_eq!(poll(&handover, PLENTY).await, None);
    handover.pause(&[A], false);
    assert!(
        poll(
            &handover,
            Demand {
                records: 1,
                ..PLENTY
            }
        )
        .await
        .is_some()
    );
    assert_eq!(handover.room(here).events, 6);
}

#[tokio::test(start_paused = true)]
async fn room_is_counted_in_events_and_bytes() {
    let size = event().size();
    let handover = Handover::new(10, 3 * size);
    handover.put([run(A, 0..2)]);
    let here = || std::thread::current();
    assert_eq!(
        handover.room(here),
        Room {
            events: 8,
            bytes: size
        }
    );
    handover.put([run(A, 2..4)]);
    assert!(handover.room(here).is_none());
    poll(&handover, PLENTY).await;
    assert_eq!(
        handover.room(here),
        Room {
            events: 10,
            bytes: 3 * size
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_is_woken_and_one_that_is_dropped_loses_nothing() {
    let handover = Arc::new(Handover::new(20, 1 << 20));
    for _ in 0..3 {
        assert_eq!(poll(&handover, PLENTY).await, None);
    }
    let other = Arc::clone(&handover);
    let waiting = tokio::spawn(async move { poll_long(&other).await });
    tokio::task::yield_now().await;
    handover.put([run(A, 0..1)]);
    assert_eq!(waiting.await.unwrap(), 1);

    // Woken, but dropped before it could look.
    let mut dropped = Box::pin(handover.take(PLENTY));
    assert!(futures_util::poll!(&mut dropped).is_pending());
    handover.put([run(A, 1..2)]);
    drop(dropped);
    assert_eq!(poll(&handover, PLENTY).await.unwrap(), "0/1");
}

async fn poll_long(handover: &Handover) -> usize {
    match handover.take(PLENTY).await {
        Ok(Signal::Deliveries(deliveries)) => deliveries.len(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_after_all_else() {
    let handover = handover([run(A, 0..1)]);
    handover.end();
    assert_eq!(poll(&handover, PLENTY).await.unwrap(), "0/0");
    assert!(poll(&handover, PLENTY).await.unwrap().contains("ended"));
    assert!(
        poll(&handover, Demand::NONE)
            .await
            .unwrap()
            .contains("ended")
    );
}
