//! Through the whole pipeline: nothing is lost, order holds, and nothing is asked for in a hot loop.

use std::sync::{Arc, Mutex};

use eventlane::{Event, Pipeline, sink::FunctionSink};

use super::*;

/// Message group and body, in the order of delivery.
type Taken = Vec<(String, String)>;

/// Delivers until so many different messages were delivered and the server has none left.
pub(super) async fn deliver(fake: &Fake, config: RocketMqConfig, count: usize) -> Taken {
    let queue = RocketMqQueue::connect(config).await.unwrap();
    deliver_from(fake, queue, count).await
}

async fn deliver_from(fake: &Fake, queue: RocketMqQueue, count: usize) -> Taken {
    let taken = Arc::new(Mutex::new(Taken::new()));
    let sink = {
        let taken = Arc::clone(&taken);
        FunctionSink::new(move |event: Event| {
            let group = event.extension("partitionkey");
            let group = group.map_or_else(String::new, |it| it.as_str().into_owned());
            let data = event.data().map(|data| data.as_bytes().to_vec());
            let body = String::from_utf8_lossy(&data.unwrap_or_default()).into_owned();
            taken.lock().unwrap().push((group, body));
            async { Ok::<_, Error>(()) }
        })
    };
    let source = queue.into_source();
    let monitor = source.monitor();
    let done = async {
        let began = Instant::now();
        loop {
            let different = taken.lock().unwrap().iter().collect::<BTreeSet<_>>().len();
            let left = fake.left("g", "t");
            if different >= count && left == 0 {
                return;
            }
            assert!(
                began.elapsed() < 30 * SECOND,
                "{different} of {count}, {left} left, {monitor:?}"
            );
            sleep(SECOND / 50).await;
        }
    };
    let pipeline = Pipeline::new(source, sink);
    pipeline.run_until(done).await.unwrap();
    taken.lock().unwrap().clone()
}

/// What is delivered for the first time comes in the order of sending, of each group.
fn assert_order(taken: &Taken) {
    let mut seen = BTreeSet::new();
    let mut last = std::collections::HashMap::new();
    for (group, body) in taken {
        let number: u32 = body.parse().unwrap();
        if seen.insert(number) {
            let last = last.insert(group, number);
            assert!(last < Some(number), "{group}: {last:?}, {number}");
        }
    }
}

#[tokio::test]
async fn polls_that_fail_at_once_are_not_repeated_at_once() {
    let cases = [
        Fault::Code(42900, "polling full"),
        Fault::Code(40401, "no new message"),
        Fault::Code(50001, "broker is away"),
        Fault::Code(40402, "no route"),
        Fault::Rpc(14, "away"),
        Fault::Reset,
        Fault::Nothing,
        Fault::Html(503),
    ];
    let runs = cases.map(async |fault| {
        let fake = normal();
        let queue = RocketMqQueue::connect(config(&fake)).await.unwrap();
        let before = fake.faults().calls(Kind::Receive);
        fake.faults().always(Kind::Receive, fault);
        put(&fake, 0..5);
        let course = async {
            sleep(2 * SECOND).await;
            let calls = fake.faults().calls(Kind::Receive) - before;
            assert!((1..=3).contains(&calls), "{fault:?}: {calls}");
            fake.faults().clear();
        };
        // Nothing is deaf for long after that, unless somebody has to mend something.
        if matches!(fault, Fault::Nothing) {
            let never = deliver_from(&fake, queue, usize::MAX);
            tokio::select! { _ = never => {}, () = course => {} }
        } else {
            let (taken, ()) = tokio::join!(deliver_from(&fake, queue, 5), course);
            assert_eq!(taken.len(), 5, "{fault:?}");
        }
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test]
async fn partial_acknowledgements_deliver_nothing_twice() {
    let fake = normal();
    put(&fake, 0..60);
    for fault in [
        Fault::Entries(3, 50001),
        Fault::Silent(2),
        Fault::Code(42900, "slow down"),
    ] {
        fake.faults().next(Kind::Ack, fault);
    }
    let taken = deliver(&fake, config(&fake).with_lease(10 * SECOND), 60).await;
    assert_eq!(taken.len(), 60);
}

#[tokio::test]
async fn an_acknowledgement_that_is_lost_is_made_again() {
    let fake = normal();
    put(&fake, 0..20);
    for fault in [Fault::Hang, Fault::Lost, Fault::Broken, Fault::Reset] {
        fake.faults().next(Kind::Ack, fault);
    }
    let taken = deliver(&fake, config(&fake).with_lease(10 * SECOND), 20).await;
    assert_eq!(taken.len(), 20);
}

#[tokio::test]
async fn order_holds_whatever_fails() {
    let fake = start(true, FakeOptions::default());
    fake.create_topic("t", TopicType::Fifo, 4);
    let producer = Producer::connect(&config(&fake), &["t"]).await.unwrap();
    for number in 0..300 {
        let message = OutgoingMessage::new(number.to_string());
        let message = message.with_group(format!("g{}", number % 20));
        producer.send("t", &message).await.unwrap();
    }
    let faults = async {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..40 {
            let (kind, fault) = match random.u8(..9) {
                0 => (Kind::Receive, Fault::Broken),
                1 => (Kind::Receive, Fault::Reset),
                2 => (Kind::Ack, Fault::Entries(1, 50001)),
                3 => (Kind::Ack, Fault::Entries(2, 40013)),
                4 => (Kind::Ack, Fault::Broken),
                5 => (Kind::Ack, Fault::Hang),
                6 => (Kind::Change, Fault::Broken),
                7 => (Kind::Ack, Fault::Slow(SECOND / 10)),
                _ => (Kind::Receive, Fault::Code(42900, "slow down")),
            };
            fake.faults().next(kind, fault);
            match round % 10 {
                3 => fake.cut(0),
                6 => fake.end_sessions(false),
                9 => fake.forget_clients(),
                _ => {}
            }
            sleep(SECOND / 20).await;
        }
        fake.faults().clear();
    };
    let (taken, ()) = tokio::join!(deliver(&fake, config(&fake), 300), faults);
    assert_order(&taken);
}

#[tokio::test]
async fn brokers_come_and_go() {
    let options = FakeOptions {
        brokers: 2,
        ..FakeOptions::default()
    };
    let fake = start(false, options);
    for number in 0..20 {
        fake.put_text(number % 2, "t", &number.to_string(), None);
    }
    let queue = RocketMqQueue::connect(config(&fake)).await.unwrap();
    assert_eq!(*queue.options().receivers.start(), 2);
    // One is away: the other one's messages come.
    fake.kill(1);
    let course = async {
        sleep(2 * SECOND).await;
        fake.revive();
    };
    let (taken, ()) = tokio::join!(deliver_from(&fake, queue, 20), course);
    let taken: BTreeSet<_> = taken.into_iter().collect();
    assert_eq!(taken.len(), 20);
}

#[tokio::test]
async fn a_topic_that_moves_is_found() {
    let options = FakeOptions {
        brokers: 3,
        ..FakeOptions::default()
    };
    let fake = start(false, options);
    fake.set_route(&[0, 1]);
    let mut config = config(&fake);
    config.endpoint = fake.endpoint_of(2);
    let queue = RocketMqQueue::connect(config).await.unwrap();
    fake.put_text(2, "t", "0", None);
    // What is asked for while nobody knows the topic is asked again.
    fake.faults()
        .next(Kind::Route, Fault::Code(40402, "no route"));
    fake.set_route(&[2]);
    fake.kill(0);
    fake.kill(1);
    let began = Instant::now();
    assert_eq!(deliver_from(&fake, queue, 1).await.len(), 1);
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
}
