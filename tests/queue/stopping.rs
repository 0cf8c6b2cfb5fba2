//! A stop while receives are under way, which nothing can end before their time.

use eventlane::{
    Pipeline,
    queue::{Limits, Poller},
};
use tokio::time::sleep;

use crate::{
    broker::{Broker, LEASE, WAIT},
    support::{Rules, SECOND, ids, options},
};

const IN_FLIGHT: usize = 64;

/// All are received, and more are waited for, when it is told to stop a second later.
fn stopped(broker: &Broker) -> tokio::task::JoinHandle<eventlane::Report> {
    broker.send(None, ids("m", 200));
    let source = Poller::with_options(broker.clone(), options());
    let pipeline = Pipeline::new(source, Rules::taking(1000 * SECOND)).with_grace(30 * SECOND);
    tokio::spawn(async { pipeline.run_until(sleep(SECOND)).await.unwrap() })
}

fn counts(broker: &Broker) -> Vec<u32> {
    ids("m", 200).map(|id| broker.count(&id)).collect()
}

#[tokio::test(start_paused = true)]
async fn receives_that_end_soon_are_waited_for() {
    let broker = Broker::with(
        Limits::default()
            .with_lease(LEASE)
            .with_wait(3 * SECOND / 2),
    );
    let run = stopped(&broker);
    sleep(SECOND + SECOND / 10).await;
    assert_eq!(broker.invisible(), 200);
    sleep(SECOND).await;
    assert_eq!(broker.invisible(), IN_FLIGHT, "others have to get them");
    let report = run.await.unwrap();
    assert_eq!((report.unsettled, broker.invisible()), (200, 0));
    assert!(counts(&broker).iter().all(|count| *count == 1));
    assert_eq!(broker.abandoned(), 0);
}

/// Nobody extends the lease of what is on its way back.
#[tokio::test(start_paused = true)]
async fn nothing_waits_for_receives_until_its_lease_is_over() {
    let limits = Limits::default().with_lease(SECOND);
    let broker = Broker::with(limits.with_wait(9 * SECOND / 5));
    let run = stopped(&broker);
    sleep(SECOND + SECOND / 5).await;
    assert_eq!(broker.invisible(), IN_FLIGHT, "others have to get them");
    run.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn receives_that_do_not_end_soon_keep_nothing_back() {
    let broker = Broker::new();
    let run = stopped(&broker);
    sleep(SECOND + SECOND / 5).await;
    assert_eq!(broker.invisible(), IN_FLIGHT, "others have to get them");
    // Each of them takes some once more, which goes back at once.
    let again: u32 = counts(&broker).into_iter().map(|count| count - 1).sum();
    let most = Limits::default().receive * broker.most_waiting();
    assert!(again as usize <= most, "{again} of {most}");
    // What was in flight goes back when the time is over; by then no receive is under way.
    let in_flight: Vec<_> = ids("m", 200).take(IN_FLIGHT).collect();
    let report = run.await.unwrap();
    assert_eq!((report.unsettled, broker.invisible()), (200, 0));
    assert!(in_flight.iter().all(|id| broker.count(id) == 1));
    assert_eq!(broker.abandoned(), 0);
}

/// What waits for room is nobody's, and need not wait for the end of the grace time.
#[tokio::test(start_paused = true)]
async fn what_was_not_handed_out_goes_back_when_the_stop_begins() {
    let broker = Broker::new();
    let mut hand = crate::support::Hand::open(&broker, options()).await;
    broker.send(None, ids("m", 10));
    let ten = eventlane::source::Demand {
        records: 10,
        ..crate::support::PLENTY
    };
    assert!(hand.read(ten, SECOND / 1000).await.is_empty());
    sleep(SECOND).await;
    assert_eq!(broker.invisible(), 10);
    eventlane::Source::stop(&mut *hand.0, tokio::time::Instant::now() + WAIT);
    sleep(SECOND / 10).await;
    assert_eq!(broker.invisible(), 0);
    eventlane::Source::close(hand.0).await.unwrap();
    assert_eq!(broker.count("m0"), 1);
}
