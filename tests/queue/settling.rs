//! Deletes and releases.

use eventlane::{Error, ErrorKind, Pipeline, source::Action};
use tokio::time::{Instant, sleep};

use crate::{
    broker::{Broker, LEASE},
    support::{Hand, PLENTY, Rules, SECOND, carry, ids, options},
};

#[tokio::test(start_paused = true)]
async fn deletes_go_together() {
    let broker = Broker::new();
    broker.send(None, ids("m", 1_000));
    let (report, _) = carry(&broker, &Rules::taking(SECOND / 50)).await;
    assert_eq!((report.delivered, broker.len()), (1_000, 0));
    let deletes = broker.deletes();
    assert_eq!(deletes.iter().sum::<usize>(), 1_000);
    assert!(deletes.len() < 130, "{}", deletes.len());
}

#[tokio::test(start_paused = true)]
async fn a_lone_delete_waits_no_longer_than_its_linger() {
    let broker = Broker::new();
    broker.send(None, ids("m", 1));
    let mut hand = Hand::open(&broker, options()).await;
    let read = hand.read_all(1).await;
    let began = Instant::now();
    assert!(hand.settle([(&read[0], Action::Done)]).await.is_empty());
    let took = began.elapsed();
    assert!(took >= SECOND / 10 && took < SECOND / 5, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_fails_is_deleted_again_alone() {
    let broker = Broker::new();
    broker.send(None, ids("m", 10));
    broker.script(|script| script.undeletable.extend(["m3".into(), "m7".into()]));
    let (report, monitor) = carry(&broker, &Rules::taking(SECOND / 100)).await;
    assert_eq!(
        (report.delivered, report.redelivered, report.unconfirmed),
        (10, 0, 0)
    );
    assert_eq!((broker.len(), monitor.delete_failed()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_is_made_again() {
    let broker = Broker::new();
    broker.send(None, ids("m", 10));
    let error = |kind| Error::new(kind, "delete", "from the test");
    let errors = [ErrorKind::Unavailable, ErrorKind::Throttled].map(error);
    broker.script(|script| script.delete_errors = errors.into());
    let (report, _) = carry(&broker, &Rules::taking(SECOND / 100)).await;
    assert_eq!(
        (report.delivered, report.redelivered, broker.len()),
        (10, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_deleted_comes_again_and_is_not_lost() {
    let broker = Broker::new();
    broker.send(None, ids("m", 3));
    let refused = || Error::new(ErrorKind::Unauthorized, "delete", "from the test");
    broker.script(|script| script.delete_errors = (0..3).map(|_| refused()).collect());
    let sink = Rules::taking(SECOND / 100);
    let (report, monitor) = carry(&broker, &sink).await;
    assert!(
        report.redelivered >= 3 && monitor.expired() >= 3,
        "{report} {monitor:?}"
    );
    assert_eq!(broker.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn releases_of_the_same_delay_are_spread() {
    let broker = Broker::new();
    broker.send(None, ids("m", 20));
    let mut hand = Hand::open(&broker, options()).await;
    let read = hand.read_all(20).await;
    let release = Action::Release { after: 10 * SECOND };
    assert!(
        hand.settle(read.iter().map(|one| (one, release.clone())))
            .await
            .is_empty()
    );
    let mut delays: Vec<_> = broker
        .changes()
        .into_iter()
        .flatten()
        .map(|(_, by)| by)
        .collect();
    delays.sort();
    delays.dedup();
    assert!(delays.len() > 15, "{delays:?}");
    assert!(delays[0] >= 10 * SECOND && delays[delays.len() - 1] <= 11 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_back_at_once_what_is_not_delivered() {
    let broker = Broker::new();
    broker.send(None, ids("m", 200));
    let source = eventlane::queue::Poller::with_options(broker.clone(), options());
    let pipeline = Pipeline::new(source, Rules::taking(2 * SECOND)).with_grace(30 * SECOND);
    let report = pipeline.run_until(sleep(SECOND)).await.unwrap();
    assert_eq!(
        (report.delivered, report.unsettled + report.delivered),
        (64, 200)
    );
    assert_eq!((broker.len(), broker.invisible()), (136, 0));
    assert_eq!(broker.abandoned(), 0);
}

#[tokio::test(start_paused = true)]
async fn settlements_that_were_accepted_are_carried_out_by_a_close() {
    let broker = Broker::new();
    broker.send(None, ids("m", 2));
    broker.script(|script| script.settle_delay = SECOND);
    let mut hand = Hand::open(&broker, options()).await;
    let read = hand.read_all(2).await;
    let settler = eventlane::Source::settler(&*hand.0);
    let receipt = read[0].receipt;
    let done = tokio::spawn(async move {
        let action = Action::Done;
        settler
            .settle(vec![eventlane::source::Settlement { receipt, action }])
            .await
    });
    sleep(SECOND / 100).await;
    eventlane::Source::close(hand.0).await.unwrap();
    assert!(done.await.unwrap().unwrap().failed.is_empty());
    assert_eq!((broker.len(), broker.invisible()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_down_for_long_loses_nothing() {
    let broker = Broker::new();
    broker.send(None, ids("m", 50));
    let began = Instant::now();
    let sink = Rules::new(move |_, _| {
        let up = began.elapsed() > LEASE * 3;
        let verdict = if up {
            eventlane::sink::Verdict::Delivered
        } else {
            crate::support::retry()
        };
        (SECOND / 10, verdict)
    });
    let (report, _) = carry(&broker, &sink).await;
    assert_eq!(
        (report.delivered, report.redelivered, broker.len()),
        (50, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_close_gives_back_what_is_just_being_extended() {
    let broker = Broker::new();
    broker.send(None, ids("m", 10));
    let mut hand = Hand::open(&broker, options()).await;
    let ten = eventlane::source::Demand {
        records: 10,
        ..PLENTY
    };
    assert!(hand.read(ten, SECOND / 1000).await.is_empty());
    broker.script(|script| script.settle_delay = SECOND);
    sleep(LEASE / 2 + SECOND / 2).await;
    eventlane::Source::close(hand.0).await.unwrap();
    assert_eq!((broker.len(), broker.invisible()), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn deletes_that_are_refused_show_and_do_not_stop_the_receives_for_good() {
    let broker = Broker::new();
    broker.send(None, ids("m", 60));
    let refused = || Error::new(ErrorKind::Unauthorized, "delete", "from the test");
    broker.script(|script| script.delete_errors = (0..60).map(|_| refused()).collect());
    let options = options().with_max_held(20);
    let source = eventlane::queue::Poller::with_options(broker.clone(), options);
    let monitor = source.monitor();
    let pipeline = Pipeline::new(source, Rules::taking(SECOND / 100)).with_grace(60 * SECOND);
    let run = tokio::spawn(pipeline.run_until(sleep(600 * SECOND)));
    sleep(SECOND).await;
    assert!(!monitor.is_healthy());
    let error = monitor.last_error().map(|(kind, _)| kind);
    assert_eq!(error, Some(ErrorKind::Unauthorized));
    run.await.unwrap().unwrap();
    assert_eq!(broker.len(), 0, "it was mended, and went on");
    assert!(monitor.is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_panics_is_one_that_fails() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 5));
    broker.send(None, ids("m", 20));
    let sink = Rules::new({
        let broker = broker.clone();
        move |event, times| {
            if times == 1 && event.id() == "m3" {
                broker.script(|script| script.panics = 6);
            }
            (6 * SECOND, eventlane::sink::Verdict::Delivered)
        }
    });
    let (report, _) = crate::support::carry_by(&broker, |source| {
        Pipeline::new(source, sink.clone()).with_idle_timeout(200 * SECOND)
    })
    .await;
    assert_eq!(broker.len(), 0, "{report}");
    broker.script(|script| script.panics = 1);
    let before = broker.receives();
    broker.send(None, ids("n", 1));
    let (report, _) = crate::support::carry_by(&broker, |source| {
        Pipeline::new(source, sink.clone()).with_idle_timeout(200 * SECOND)
    })
    .await;
    assert_eq!((report.delivered, broker.len()), (1, 0));
    assert!(broker.receives() < before + 30, "no loop");
}

#[tokio::test(start_paused = true)]
async fn never_is_a_duration_too() {
    use std::time::Duration;
    let limits = eventlane::queue::Limits::default()
        .with_lease(Duration::MAX)
        .with_wait(SECOND)
        .with_visibility(Duration::ZERO, Duration::MAX);
    let broker = Broker::with(limits);
    broker.send(None, ids("m", 2));
    let options = options()
        .with_linger(Duration::MAX)
        .with_wait(Duration::MAX)
        .with_receivers(1..=usize::MAX);
    let mut hand = Hand::open(&broker, options).await;
    let read = hand.read_all(2).await;
    let after = Duration::MAX;
    let failed = hand
        .settle([
            (&read[0], Action::Done),
            (&read[1], Action::Release { after }),
        ])
        .await;
    assert!(failed.is_empty());
    assert_eq!(broker.len(), 1);
}

/// The broker gives it to our own receive before it answers our release.
#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_before_its_release_is_confirmed_is_delivered() {
    let broker = Broker::new();
    broker.send(None, ids("m", 1));
    let mut hand = Hand::open(&broker, options()).await;
    let read = hand.read_all(1).await;
    assert!(hand.read(PLENTY, SECOND).await.is_empty());
    broker.script(|script| script.answer_delay = SECOND);
    let after = std::time::Duration::ZERO;
    let settler = eventlane::Source::settler(&*hand.0);
    let receipt = read[0].receipt;
    let action = Action::Release { after };
    let settling = tokio::spawn(async move {
        settler
            .settle(vec![eventlane::source::Settlement { receipt, action }])
            .await
    });
    let again = hand.read(PLENTY, SECOND / 2).await;
    assert_eq!((again.len(), again[0].attempt), (1, 2));
    assert!(settling.await.unwrap().unwrap().failed.is_empty());
    broker.script(|script| script.answer_delay = std::time::Duration::ZERO);
    assert!(hand.settle([(&again[0], Action::Done)]).await.is_empty());
    assert_eq!(broker.len(), 0);
}

/// They would wake each other for ever: with a paused clock that never ends, with a real one it
/// takes a processor as long as the request does. Hence a clock outside.
#[test]
fn settlements_that_wait_for_the_same_request_wait_quietly() {
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let broker = Broker::new();
            broker.send(None, ids("m", 1));
            let mut hand = Hand::open(&broker, options()).await;
            let read = hand.read_all(1).await;
            broker.script(|script| script.settle_delay = SECOND);
            let settle = || {
                let settler = eventlane::Source::settler(&*hand.0);
                let receipt = read[0].receipt;
                let action = Action::Extend { by: 5 * SECOND };
                let batch = vec![eventlane::source::Settlement { receipt, action }];
                tokio::spawn(async move { settler.settle(batch).await.unwrap().failed.len() })
            };
            let settling = [settle(), settle(), settle()];
            // What comes is made known to whoever waits.
            broker.send(None, ids("n", 1));
            assert_eq!(hand.read(PLENTY, SECOND / 2).await.len(), 1);
            for settling in settling {
                assert_eq!(settling.await.unwrap(), 0);
            }
        });
        done.send(()).unwrap();
    });
    let patience = std::time::Duration::from_secs(20);
    assert!(
        ended.recv_timeout(patience).is_ok(),
        "it goes round and round"
    );
}
