//! Dead letters that the broker makes itself.

use eventlane::{Error, ErrorKind, Pipeline, Report, Retry, queue::QueueMonitor};

use crate::{
    broker::{Broker, LEASE},
    support::{Rules, SECOND, carry_by, ids, retry},
};

/// All but one are taken, at the third attempt to make its letter if need be.
async fn bury(broker: &Broker, poisoned: &'static str) -> (Report, QueueMonitor, Vec<String>) {
    let sink = Rules::new(move |event, _| {
        let verdict = match event.id() == poisoned {
            true => retry(),
            false => eventlane::sink::Verdict::Delivered,
        };
        (SECOND / 100, verdict)
    });
    let (report, monitor) = carry_by(broker, |source| {
        let letters = source.dead_letters();
        Pipeline::new(source, sink.clone())
            .with_retry(Retry::default().with_attempts(2))
            .with_dead_letter(letters)
            .with_idle_timeout(60 * SECOND)
    })
    .await;
    (report, monitor, sink.taken())
}

#[tokio::test(start_paused = true)]
async fn one_message_goes_and_its_group_goes_on() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 8));
    // It takes longer than a lease.
    broker.script(|script| script.settle_delay = SECOND);
    let (report, monitor, taken) = bury(&broker, "g-2").await;
    assert_eq!(broker.dead(), ["g-2"]);
    assert_eq!(taken, ["g-0", "g-1", "g-3", "g-4", "g-5", "g-6", "g-7"]);
    assert_eq!((report.delivered, report.dead_lettered), (7, 1));
    assert_eq!((report.redelivered, report.unconfirmed), (0, 0));
    assert_eq!((broker.len(), monitor.expired()), (0, 0));
    // Nothing more was asked of the broker about it.
    assert_eq!(broker.deletes().iter().sum::<usize>(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_could_not_be_made_is_made_later() {
    let broker = Broker::new();
    broker.send(None, ids("m", 3));
    let away = || Error::new(ErrorKind::Unavailable, "test", "away");
    broker.script(|script| script.dead_letter_errors = (0..5).map(|_| away()).collect());
    let (report, ..) = bury(&broker, "m1").await;
    assert_eq!((broker.dead(), broker.len()), (vec!["m1".to_owned()], 0));
    assert_eq!((report.dead_lettered, report.unconfirmed), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_lease_is_over_comes_again_and_has_one_letter() {
    let broker = Broker::new();
    broker.send(None, ids("m", 3));
    let over = Error::new(ErrorKind::Fenced, "test", "the lease is over");
    broker.script(|script| script.dead_letter_errors = [over].into());
    let (report, monitor, _) = bury(&broker, "m1").await;
    assert_eq!((broker.dead(), broker.len()), (vec!["m1".to_owned()], 0));
    assert_eq!((report.redelivered, monitor.expired()), (1, 1));
    assert!(report.elapsed > LEASE, "{report}");
}
