//! How many receives there are, and when.

use eventlane::{
    Budgets, Error, ErrorKind, Pipeline, Source,
    source::{Action, Demand, Signal},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    broker::{Broker, WAIT},
    support::{Hand, PLENTY, Rules, SECOND, carry, ids, names, options},
};

#[tokio::test(start_paused = true)]
async fn an_idle_queue_costs_one_request_for_each_wait() {
    let broker = Broker::new();
    let mut hand = Hand::open(&broker, options()).await;
    assert!(hand.read(PLENTY, WAIT * 10).await.is_empty());
    assert!(broker.receives() <= 11, "{}", broker.receives());
    assert_eq!(broker.most_waiting(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_answers_too_early_is_not_asked_in_a_loop() {
    let broker = Broker::new();
    broker.script(|script| script.hasty = true);
    let mut hand = Hand::open(&broker, options()).await;
    assert!(hand.read(PLENTY, 200 * SECOND).await.is_empty());
    assert!(broker.receives() <= 25, "{}", broker.receives());
    assert_eq!(hand.0.monitor().hasty(), broker.receives() as u64);
    broker.script(|script| script.hasty = false);
    broker.send(None, ids("m", 1));
    assert_eq!(names(&hand.read(PLENTY, 30 * SECOND).await), ["m0"]);
}

#[tokio::test(start_paused = true)]
async fn receives_become_more_under_load_and_few_when_it_is_over() {
    let broker = Broker::new();
    broker.send(None, ids("m", 2_000));
    let (report, monitor) = carry(&broker, &Rules::taking(SECOND / 100)).await;
    assert_eq!((report.delivered, broker.len()), (2_000, 0));
    assert_eq!(broker.most_waiting(), 8);
    // All of them came full, but for the last ones and those of the idle minute.
    assert!(monitor.receives() < 260, "{}", monitor.receives());
    assert_eq!(report.redelivered, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_received_that_there_is_no_room_for() {
    let broker = Broker::new();
    broker.send(None, ids("m", 100));
    let mut hand = Hand::open(&broker, options()).await;
    let three = Demand {
        records: 3,
        ..PLENTY
    };
    assert_eq!(hand.read(three, SECOND).await.len(), 3);
    assert!(hand.read(Demand::NONE, 3 * SECOND).await.is_empty());
    assert_eq!(broker.invisible(), 3);

    let mut hand = Hand::open(&broker, options().with_max_held(20)).await;
    let read = hand.read_all(20).await;
    assert!(hand.read(PLENTY, 3 * SECOND).await.is_empty());
    assert_eq!(broker.invisible(), 20, "the first three are free again");
    let done = read.iter().map(|delivery| (delivery, Action::Done));
    assert!(hand.settle(done).await.is_empty());
    assert_eq!(hand.read_all(20).await.len(), 20);
}

/// A receive can't be told how many bytes it may bring, so those under way may bring too much. What
/// they brought has to be taken before there are others, or large messages would pile up.
#[tokio::test(start_paused = true)]
async fn large_messages_do_not_pile_up() {
    for groups in [0, 7] {
        let broker = Broker::new();
        let body = "x".repeat(10_000);
        for (number, id) in ids("m", 600).enumerate() {
            let group = (groups > 0).then(|| format!("g{}", number % groups));
            broker.send_body(group.as_deref(), &id, &body);
        }
        let source = eventlane::queue::Poller::with_options(broker.clone(), options());
        let pipeline = Pipeline::new(source, Rules::taking(SECOND / 10))
            .with_budgets(Budgets::default().with_bytes(200_000))
            .with_idle_timeout(60 * SECOND);
        let run = tokio::spawn(pipeline.run());
        let mut most = 0;
        while !run.is_finished() {
            most = most.max(broker.invisible());
            sleep(SECOND / 100).await;
        }
        assert_eq!(
            (run.await.unwrap().unwrap().delivered, broker.len()),
            (600, 0)
        );
        // Twenty in the pipeline's hands, as many whose deletes are under way, and what eight
        // receives bring.
        assert!(most <= 20 + 20 + 8 * 10, "{most} in hand, {groups} groups");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_followed_by_growing_pauses_and_show_in_the_monitor() {
    let broker = Broker::new();
    let error = |kind| Error::new(kind, "receive", "from the test");
    broker.script(|script| {
        script.receive_errors = (0..6).map(|_| error(ErrorKind::Throttled)).collect();
    });
    broker.send(None, ids("m", 1));
    let mut hand = Hand::open(&broker, options()).await;
    let (monitor, began) = (hand.0.monitor(), Instant::now());
    assert!(hand.read(PLENTY, SECOND / 10).await.is_empty());
    assert!(!monitor.is_healthy());
    let read = hand.read(PLENTY, 100 * SECOND).await;
    assert_eq!(names(&read), ["m0"]);
    let took = began.elapsed();
    assert!(took >= 25 * SECOND && took < 65 * SECOND, "{took:?}");
    assert!(monitor.is_healthy());
    hand.settle([(&read[0], Action::Done)]).await;

    broker.script(|script| script.receive_errors = [error(ErrorKind::Unauthorized)].into());
    broker.send(None, ids("n", 1));
    let began = Instant::now();
    assert_eq!(names(&hand.read(PLENTY, 100 * SECOND).await), ["n0"]);
    let took = began.elapsed();
    assert!(took >= 30 * SECOND && took <= 61 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_back_is_noticed_soon() {
    let broker = Broker::new();
    let error = |_| Error::new(ErrorKind::Unavailable, "receive", "connection refused");
    broker.script(|script| script.receive_errors = (0..1000).map(error).collect());
    broker.send(None, ids("m", 1));
    let mut hand = Hand::open(&broker, options()).await;
    assert!(hand.read(PLENTY, 600 * SECOND).await.is_empty());
    let asked = broker.receives();
    assert!((120..=400).contains(&asked), "{asked}");
    broker.script(|script| script.receive_errors.clear());
    assert_eq!(names(&hand.read(PLENTY, 6 * SECOND).await), ["m0"]);
}

#[tokio::test(start_paused = true)]
async fn receives_that_fail_together_have_failed_once() {
    let broker = Broker::new();
    let error = || Error::new(ErrorKind::Unavailable, "receive", "from the test");
    broker.send(None, ids("m", 400));
    let mut hand = Hand::open(&broker, options().with_receivers(1..=16)).await;
    let read = hand.read_all(400).await;
    let done = read.iter().map(|delivery| (delivery, Action::Done));
    assert!(hand.settle(done).await.is_empty());
    assert!(hand.read(PLENTY, SECOND).await.is_empty());
    assert_eq!(broker.most_waiting(), 16);
    // A connection is lost, and with it all that wait.
    broker.script(|script| script.receive_errors = (0..16).map(|_| error()).collect());
    broker.wake();
    let began = Instant::now();
    assert!(hand.read(PLENTY, SECOND / 10).await.is_empty());
    broker.send(None, ids("n", 1));
    assert_eq!(names(&hand.read(PLENTY, 100 * SECOND).await), ["n0"]);
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_queue_rests_as_long_as_it_asks_to() {
    let broker = Broker::new();
    let error = Error::new(ErrorKind::Throttled, "receive", "from the test");
    broker.script(|script| script.receive_errors = [error.with_retry_after(90 * SECOND)].into());
    broker.send(None, ids("m", 1));
    let mut hand = Hand::open(&broker, options()).await;
    assert!(hand.read(PLENTY, 89 * SECOND).await.is_empty());
    assert_eq!(names(&hand.read(PLENTY, 2 * SECOND).await), ["m0"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_receives_end_and_gives_back_what_they_bring() {
    // Whatever the grace time: what came to nobody would stay on lease.
    for grace in [30 * SECOND, SECOND] {
        let broker = Broker::new();
        let source = eventlane::queue::Poller::with_options(broker.clone(), options());
        let pipeline = Pipeline::new(source, Rules::taking(SECOND)).with_grace(grace);
        let run = tokio::spawn(pipeline.run_until(sleep(SECOND)));
        sleep(5 * SECOND).await;
        // A process would be gone by now, and the receive with it.
        assert!(!run.is_finished(), "a receive is under way");
        broker.send(None, ids("late", 3));
        let report = run.await.unwrap().unwrap();
        assert_eq!((report.received, broker.abandoned()), (0, 0));
        assert_eq!((broker.len(), broker.invisible()), (3, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_poller_gives_back_what_comes_too_late() {
    let broker = Broker::new();
    let mut hand = Hand::open(&broker, options()).await;
    assert!(hand.read(PLENTY, SECOND).await.is_empty());
    drop(hand);
    broker.send(None, ids("late", 3));
    sleep(SECOND).await;
    assert_eq!((broker.invisible(), broker.abandoned()), (0, 0));
    assert_eq!(broker.receives(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_depth_is_asked_for_now_and_then() {
    let broker = Broker::new();
    broker.send(None, ids("m", 7));
    let mut hand = Hand::open(&broker, options()).await;
    let monitor = hand.0.monitor();
    sleep(SECOND).await;
    assert_eq!(monitor.depth(), Some(7));
    let read = hand.read_all(7).await;
    hand.settle(read.iter().map(|delivery| (delivery, Action::Done)))
        .await;
    sleep(30 * SECOND).await;
    assert_eq!(monitor.depth(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn closing_ends_when_the_wait_is_over() {
    let broker = Broker::new();
    let mut hand = Hand::open(&broker, options()).await;
    let waits = timeout(SECOND, hand.0.poll(PLENTY)).await;
    assert!(!matches!(waits, Ok(Ok(Signal::Deliveries(_)))));
    let began = Instant::now();
    hand.0.close().await.unwrap();
    assert!(began.elapsed() < WAIT, "{:?}", began.elapsed());
    assert_eq!(broker.abandoned(), 0);
}
