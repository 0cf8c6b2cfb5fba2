//! Leases: kept as long as there is work, fenced when they are over.

use eventlane::{
    ErrorKind,
    source::{Action, Demand},
};
use tokio::time::sleep;

use crate::{
    broker::{Broker, LEASE},
    support::{Hand, PLENTY, Rules, SECOND, carry, ids, names, options},
};

#[tokio::test(start_paused = true)]
async fn deliveries_longer_than_the_lease_are_not_handed_out_again() {
    let broker = Broker::new();
    broker.send(None, ids("m", 300));
    let (report, monitor) = carry(&broker, &Rules::taking(12 * SECOND)).await;
    assert_eq!((report.delivered, report.redelivered), (300, 0));
    assert_eq!((report.fenced, monitor.expired()), (0, 0));
    assert_eq!(broker.len(), 0);
    // In batches: what came together is extended together.
    let extensions = broker.changes();
    assert!(
        extensions.len() * 4 < extensions.iter().map(Vec::len).sum(),
        "{}",
        extensions.len()
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_be_handed_out_keeps_its_lease_too() {
    let broker = Broker::new();
    broker.send(None, ids("m", 10));
    let mut hand = Hand::open(&broker, options()).await;
    // The demand is gone when the messages come.
    let ten = Demand {
        records: 10,
        ..PLENTY
    };
    assert!(hand.read(ten, SECOND / 1000).await.is_empty());
    assert!(hand.read(Demand::NONE, LEASE * 6).await.is_empty());
    assert_eq!(broker.invisible(), 10);
    let read = hand.read_all(10).await;
    assert!(
        read.iter().all(|delivery| delivery.attempt == 1),
        "{read:?}"
    );
    let done = read.iter().map(|delivery| (delivery, Action::Done));
    assert!(hand.settle(done).await.is_empty());
    assert_eq!(broker.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_can_not_be_kept_is_fenced_and_the_late_result_is_not_settled() {
    let broker = Broker::new();
    broker.send(None, ids("m", 4));
    broker.script(|script| script.unextendable.extend(["m2".into()]));
    let sink = Rules::new(|event, times| {
        let slow = event.id() == "m2" && times == 1;
        (
            if slow { 12 * SECOND } else { SECOND },
            eventlane::sink::Verdict::Delivered,
        )
    });
    let (report, monitor) = carry(&broker, &sink).await;
    assert!(
        monitor.expired() >= 1 && report.fenced >= 1,
        "{monitor:?} {report:?}"
    );
    assert_eq!(broker.len(), 0, "it came again, and was done then");
    assert_eq!(sink.taken_of("m2").len(), 2);
    assert_eq!(sink.taken().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_message_handed_out_again_while_it_is_in_hand_is_not_delivered_twice() {
    let broker = Broker::new();
    broker.send(None, ids("m", 1));
    let mut hand = Hand::open(&broker, options()).await;
    let read = hand.read_all(1).await;
    let extend = Action::Extend { by: LEASE * 10 };
    assert!(hand.settle([(&read[0], extend)]).await.is_empty());
    // The broker forgets the extension: it restarts, or its clock jumps.
    broker.forget_leases();
    assert!(hand.read(PLENTY, SECOND).await.is_empty());
    assert_eq!(broker.count("m0"), 2);
    assert!(
        hand.settle([(&read[0], Action::Done)]).await.is_empty(),
        "by the newest handle"
    );
    assert_eq!(broker.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_ran_out_is_fenced_without_asking_the_broker() {
    let broker = Broker::new();
    broker.send(None, ids("m", 2));
    let mut hand = Hand::open(&broker, options()).await;
    let read = hand.read_all(2).await;
    sleep(LEASE).await;
    let settled = [
        (&read[0], Action::Done),
        (&read[1], Action::Release { after: SECOND }),
    ];
    assert_eq!(hand.settle(settled).await, [ErrorKind::Fenced; 2]);
    assert!(broker.deletes().is_empty() && broker.changes().is_empty());
    assert_eq!(hand.0.monitor().expired(), 2);
    let again = hand.read_all(2).await;
    assert_eq!(names(&again), ["m0", "m1"]);
    assert!(again.iter().all(|delivery| delivery.attempt == 2));
}

#[tokio::test(start_paused = true)]
async fn requests_about_one_message_never_overlap() {
    let broker = Broker::new();
    broker.send(None, ids("m", 1));
    broker.script(|script| script.settle_delay = SECOND);
    let mut hand = Hand::open(&broker, options()).await;
    let read = hand.read_all(1).await;
    // The extension changes the handle; a delete by the old one would fail.
    let (extended, done) = tokio::join!(
        hand.settle([(&read[0], Action::Extend { by: LEASE })]),
        hand.settle([(&read[0], Action::Done)]),
    );
    assert!(extended.is_empty() && done.is_empty());
    assert_eq!(broker.len(), 0);
}
