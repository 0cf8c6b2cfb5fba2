//! Message groups: one lane each, without gaps.

use eventlane::{
    OnExhausted, Ordering, Pipeline, Retry,
    queue::Poller,
    source::{Action, Demand},
};
use tokio::time::{Duration, sleep};

use crate::{
    broker::{Broker, LEASE},
    support::{Hand, Letters, PLENTY, Rules, SECOND, carry, carry_by, ids, names, options, retry},
};

fn in_order(taken: &[String]) -> bool {
    let mut first: Vec<&String> = Vec::new();
    for id in taken {
        if !first.contains(&id) {
            first.push(id);
        }
    }
    let number = |id: &String| -> u32 { id.split_once('-').unwrap().1.parse().unwrap() };
    first.iter().map(|id| number(id)).eq(0..first.len() as u32)
}

#[tokio::test(start_paused = true)]
async fn order_holds_in_a_group_through_failures_and_other_groups_go_on() {
    let broker = Broker::new();
    for group in ["a", "b", "c"] {
        broker.send(Some(group), ids(&format!("{group}-"), 30));
    }
    let sink = Rules::new(|event, times| {
        let fails = event.id() == "b-3" && times <= 4 || event.id().ends_with('7') && times == 1;
        let verdict = if fails {
            retry()
        } else {
            eventlane::sink::Verdict::Delivered
        };
        (SECOND / 100, verdict)
    });
    let (report, monitor) = carry(&broker, &sink).await;
    assert_eq!(
        (report.delivered, report.redelivered, broker.len()),
        (90, 0, 0)
    );
    assert_eq!(monitor.expired(), 0);
    for group in ["a", "b", "c"] {
        let taken = sink.taken_of(group);
        assert!(taken.len() == 30 && in_order(&taken), "{taken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_goes_back_takes_the_rest_of_its_group_with_it() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 8));
    let sink = Rules::new(|event, times| {
        let fails = event.id() == "g-2" && times <= 3;
        let verdict = if fails {
            retry()
        } else {
            eventlane::sink::Verdict::Delivered
        };
        (SECOND / 100, verdict)
    });
    let after = 3 * SECOND;
    let (report, _) = carry_by(&broker, |source| {
        Pipeline::new(source, sink.clone())
            .with_retry(Retry::default().with_attempts(1))
            .with_on_exhausted(OnExhausted::Release { after })
            .with_idle_timeout(60 * SECOND)
    })
    .await;
    let taken = sink.taken();
    assert!(taken.len() == 8 && in_order(&taken), "{taken:?}");
    assert_eq!((report.delivered, broker.len()), (8, 0));
    // The failed one with its delay and a little more, the rest at once, in order, in one request.
    let requests = broker.changes();
    assert_eq!((requests[0].len(), requests[1].len()), (1, 5));
    let released: Vec<_> = requests[..2].concat();
    let names: Vec<&str> = released.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(names, ["g-2", "g-3", "g-4", "g-5", "g-6", "g-7"]);
    assert!(
        (after..after.mul_f64(1.11)).contains(&released[0].1),
        "{released:?}"
    );
    assert!(
        released[1..].iter().all(|(_, by)| by.is_zero()),
        "{released:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_message_that_went_back_is_not_handed_out() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 5));
    broker.send(Some("h"), ids("h-", 2));
    let mut hand = Hand::open(&broker, options()).await;
    let ten = Demand {
        records: 10,
        ..PLENTY
    };
    assert!(hand.read(ten, Duration::from_millis(1)).await.is_empty());
    let two = Demand {
        records: 2,
        ..PLENTY
    };
    let read = hand.read(two, SECOND).await;
    assert_eq!(names(&read), ["g-0", "g-1"]);
    let (zero, after) = (Duration::ZERO, 2 * SECOND);
    let back = [
        (&read[0], Action::Release { after }),
        (&read[1], Action::Release { after: zero }),
    ];
    assert!(hand.settle(back).await.is_empty());
    let rest = hand.read(PLENTY, SECOND).await;
    assert_eq!(names(&rest), ["h-0", "h-1"]);
    assert_eq!(
        names(&hand.read_all(5).await),
        ["g-0", "g-1", "g-2", "g-3", "g-4"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_group_waits_for_what_the_engine_has_of_it() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 6));
    broker.send(Some("h"), ids("h-", 2));
    let mut hand = Hand::open(&broker, options()).await;
    let two = Demand {
        records: 2,
        ..PLENTY
    };
    let ten = Demand {
        records: 10,
        ..PLENTY
    };
    assert!(hand.read(ten, Duration::from_millis(1)).await.is_empty());
    let read = hand.read(two, SECOND).await;
    assert_eq!(names(&read), ["g-0", "g-1"]);
    // Others come, whatever was asked for before.
    assert_eq!(names(&hand.read(PLENTY, SECOND).await), ["h-0", "h-1"]);
    assert!(hand.read(PLENTY, SECOND).await.is_empty());
    assert!(hand.settle([(&read[0], Action::Done)]).await.is_empty());
    assert!(hand.read(PLENTY, SECOND).await.is_empty());
    assert!(hand.settle([(&read[1], Action::Done)]).await.is_empty());
    let rest = hand.read(PLENTY, SECOND).await;
    assert_eq!(names(&rest), ["g-2", "g-3", "g-4", "g-5"]);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_split_a_group_do_not_break_its_order_when_it_goes_back() {
    let broker = Broker::new();
    let body = "x".repeat(1000);
    for group in ["a", "b"] {
        for id in ids(&format!("{group}-"), 10) {
            broker.send_body(Some(group), &id, &body);
        }
    }
    broker.script(|script| script.settle_delay = SECOND);
    let sink = Rules::new(|event, times| {
        let fails = event.id() == "a-1" && times <= 2;
        let verdict = if fails {
            retry()
        } else {
            eventlane::sink::Verdict::Delivered
        };
        (SECOND / 100, verdict)
    });
    let (report, _) = carry_by(&broker, |source| {
        Pipeline::new(source, sink.clone())
            .with_budgets(eventlane::Budgets::default().with_bytes(5000))
            .with_retry(Retry::default().with_attempts(1))
            .with_on_exhausted(OnExhausted::Release { after: SECOND })
            .with_idle_timeout(60 * SECOND)
    })
    .await;
    assert_eq!((report.delivered, broker.len()), (20, 0));
    for group in ["a", "b"] {
        let taken = sink.taken_of(group);
        assert!(in_order(&taken), "{taken:?}");
    }
}

/// The lease of what waits is just being extended when the message before it goes back.
#[tokio::test(start_paused = true)]
async fn what_is_busy_behind_a_message_that_went_back_follows_it() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 4));
    let mut hand = Hand::open(&broker, options()).await;
    let four = Demand {
        records: 4,
        ..PLENTY
    };
    assert!(hand.read(four, Duration::from_millis(1)).await.is_empty());
    let one = Demand {
        records: 1,
        ..PLENTY
    };
    let read = hand.read(one, SECOND).await;
    broker.script(|script| script.settle_delay = SECOND);
    // The extension begins at half of the lease, and takes a second; the release ends before it.
    sleep(LEASE / 2 + Duration::from_millis(300)).await;
    broker.script(|script| script.settle_delay = Duration::ZERO);
    let zero = Duration::ZERO;
    let back = hand
        .settle([(&read[0], Action::Release { after: zero })])
        .await;
    assert!(back.is_empty(), "{back:?}");
    let released = tokio::time::Instant::now();
    let again = hand.read_all(4).await;
    assert_eq!(names(&again), ["g-0", "g-1", "g-2", "g-3"]);
    let took = released.elapsed();
    assert!(took < 3 * SECOND, "not only when its lease ends: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn deletes_of_a_group_do_not_wait_for_company() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 1));
    let options = options().with_linger(SECOND);
    let mut hand = Hand::open(&broker, options).await;
    let read = hand.read_all(1).await;
    let began = tokio::time::Instant::now();
    assert!(hand.settle([(&read[0], Action::Done)]).await.is_empty());
    assert!(began.elapsed() < SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_runs_out_in_a_group_lets_nothing_overtake() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 6));
    broker.script(|script| script.unextendable.extend(["g-1".into()]));
    let sink = Rules::new(|event, times| {
        let slow = event.id() == "g-1" && times == 1;
        (
            if slow { 2 * LEASE } else { SECOND / 10 },
            eventlane::sink::Verdict::Delivered,
        )
    });
    let (_, monitor) = carry(&broker, &sink).await;
    assert!(monitor.expired() >= 1);
    assert!(in_order(&sink.taken()), "{:?}", sink.taken());
    assert_eq!(broker.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_consumers_keep_the_order_and_lose_nothing_when_one_is_killed() {
    let broker = Broker::new();
    for group in 0..20 {
        broker.send(Some(&group.to_string()), ids(&format!("{group}-"), 20));
    }
    let sink = Rules::taking(SECOND / 20);
    let pipeline = |sink: &Rules| {
        Pipeline::new(
            Poller::with_options(broker.clone(), options()),
            sink.clone(),
        )
        .with_ordering(Ordering::Key)
        .with_idle_timeout(60 * SECOND)
        .with_grace(120 * SECOND)
    };
    let victim = tokio::spawn(pipeline(&sink).run());
    let other = tokio::spawn(pipeline(&sink).run());
    sleep(SECOND / 2).await;
    victim.abort();
    let report = other.await.unwrap().unwrap();
    assert!(report.delivered > 200, "{report}");
    assert_eq!(broker.len(), 0);
    for group in 0..20 {
        let taken = sink.taken_of(&format!("{group}-"));
        assert!(in_order(&taken), "{taken:?}");
    }
}

/// What the broker counts is what its own dead-letter queue goes by.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_says_how_often_the_broker_handed_it_out() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 1));
    let mut hand = Hand::open(&broker, options()).await;
    let after = Duration::ZERO;
    for attempt in 1..=2 {
        let read = hand.read_all(1).await;
        assert_eq!(read[0].attempt, attempt);
        hand.settle([(&read[0], Action::Release { after })]).await;
    }
    eventlane::Source::close(hand.0).await.unwrap();
    let letters = Letters::default();
    let kept = letters.clone();
    let sink = Rules::new(|_, _| (SECOND, retry()));
    carry_by(&broker, move |source| {
        Pipeline::new(source, sink)
            .with_retry(Retry::default().with_attempts(2))
            .with_dead_letter(kept)
            .with_idle_timeout(10 * SECOND)
    })
    .await;
    let letters = letters.0.lock().unwrap();
    let [letter] = &letters[..] else {
        panic!("{letters:?}");
    };
    assert_eq!((letter.attempts, letter.deliveries), (2, 3));
    let event = letter.to_event();
    let said = event
        .extension("eventlanedeliveries")
        .map(|value| value.as_str().into_owned());
    assert_eq!(said.as_deref(), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_group_do_not_wait_for_each_other() {
    let broker = Broker::new();
    broker.send(None, ids("m", 60));
    let began = tokio::time::Instant::now();
    let (report, _) = carry(&broker, &Rules::taking(SECOND)).await;
    assert_eq!(report.delivered, 60);
    assert!(began.elapsed() < 64 * SECOND, "{:?}", began.elapsed());
}

/// A broker that is slow to confirm hands the group out again before the release is known here:
/// what has just come must not go back for that, or the last of it would be alone.
#[tokio::test(start_paused = true)]
async fn a_group_that_comes_again_before_its_release_is_confirmed_stays_together() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 4));
    let mut hand = Hand::open(&broker, options()).await;
    let three = Demand {
        records: 3,
        ..PLENTY
    };
    let read = hand.read(three, SECOND).await;
    assert_eq!(names(&read), ["g-0", "g-1", "g-2"]);
    broker.script(|script| script.answer_delay = SECOND);
    let settler = eventlane::Source::settler(&*hand.0);
    let after = Duration::ZERO;
    let settlements = read.iter().map(|one| eventlane::source::Settlement {
        receipt: one.receipt,
        action: Action::Release { after },
    });
    let settlements: Vec<_> = settlements.collect();
    let settling = tokio::spawn(async move { settler.settle(settlements).await });
    let again = hand.read(PLENTY, SECOND / 2).await;
    assert_eq!(names(&again), ["g-0", "g-1", "g-2", "g-3"]);
    assert!(settling.await.unwrap().unwrap().failed.is_empty());
}

/// What waits behind a lost message goes back as soon as the request about it has ended. If the
/// group comes again before that, all of it is delivered, and not only what was never here.
#[tokio::test(start_paused = true)]
async fn a_group_that_comes_again_while_it_waits_to_go_back_stays_together() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 3));
    let mut hand = Hand::open(&broker, options()).await;
    assert!(hand.read(PLENTY, SECOND / 1000).await.is_empty());
    let one = Demand {
        records: 1,
        ..PLENTY
    };
    assert_eq!(names(&hand.read(one, SECOND).await), ["g-0"]);
    // The extension of what waits takes too long, and nobody extends the first.
    broker.script(|script| script.settle_delay = 3 * LEASE);
    broker.send(Some("g"), ["g-3".to_owned()]);
    let again = hand.read(PLENTY, 2 * LEASE).await;
    assert_eq!(names(&again), ["g-0", "g-1", "g-2", "g-3"]);
}

/// The first of a group comes again while the others are still on their way back, and waits for
/// them. If then all of it comes again, it is no longer what waited.
#[tokio::test(start_paused = true)]
async fn a_group_that_comes_again_in_two_steps_stays_together() {
    let broker = Broker::new();
    broker.send(Some("g"), ids("g-", 3));
    let mut hand = Hand::open(&broker, options()).await;
    let read = hand.read_all(3).await;
    broker.script(|script| script.settle_delay = 5 * LEASE);
    let settler = eventlane::Source::settler(&*hand.0);
    let settlements = read.iter().map(|one| eventlane::source::Settlement {
        receipt: one.receipt,
        action: Action::GiveBack,
    });
    let settlements: Vec<_> = settlements.collect();
    let settling = tokio::spawn(async move { settler.settle(settlements).await });
    let one = Demand {
        records: 1,
        ..PLENTY
    };
    assert!(hand.read(one, 3 * LEASE / 2).await.is_empty());
    assert_eq!(broker.count("g-0"), 2);
    let again = hand.read(PLENTY, LEASE).await;
    assert_eq!(names(&again), ["g-0", "g-1", "g-2"]);
    assert_eq!(broker.count("g-0"), 3);
    drop(settling);
}
