//! What an operator changes while we run.

use eventlane::queue::QueueBackend;

use super::*;

async fn told(consumer: &Consumer, fake: &Fake, change: impl FnOnce(&mut Group)) {
    let before = consumer.settings();
    fake.change_group("g", change);
    let began = Instant::now();
    while consumer.settings() == before {
        assert!(began.elapsed() < SECOND);
        sleep(SECOND / 100).await;
    }
}

#[tokio::test]
async fn settings_are_followed_while_it_runs() {
    let fake = normal();
    let queue = RocketMqQueue::connect(config(&fake)).await.unwrap();
    let consumer = queue.consumer();
    assert_eq!(consumer.settings().max_attempts, Some(17));
    told(consumer, &fake, |group| group.max_attempts = 3).await;
    assert_eq!(consumer.settings().max_attempts, Some(3));
    told(consumer, &fake, |group| {
        group.backoff = vec![SECOND / 2, SECOND]
    })
    .await;
    assert_eq!(consumer.settings().backoff, [SECOND / 2, SECOND]);
    // A queue's messages are bound from then on.
    put(&fake, 0..1);
    let unbound = queue.receive(1, SECOND).await.unwrap();
    assert!(unbound[0].binding.is_none());
    let handles: Vec<_> = unbound.into_iter().map(|it| it.handle).collect();
    queue.delete(&handles).await.unwrap();
    told(consumer, &fake, |group| group.fifo = true).await;
    put(&fake, 1..2);
    assert!(queue.receive(1, SECOND).await.unwrap()[0].binding.is_some());
    // Not a session was lost for it.
    assert_eq!(fake.faults().calls(Kind::Telemetry), 1);
}

/// What releases ask for, of the first attempt, and of the second after the group was changed.
async fn releases(fake: &Fake, retries: Retries) -> Vec<Duration> {
    fake.change_group("g", |group| group.backoff = vec![SECOND / 10, SECOND / 5]);
    let queue = RocketMqQueue::connect(config(fake).with_retries(retries));
    let queue = queue.await.unwrap();
    put(fake, 0..1);
    let before = fake.changes().len();
    for attempt in 1..=2 {
        let message = loop {
            if let Some(message) = queue.receive(1, SECOND).await.unwrap().pop() {
                break message;
            }
        };
        assert_eq!(message.attempt, attempt);
        if attempt == 2 {
            told(queue.consumer(), fake, |group| {
                group.backoff = vec![SECOND, SECOND / 4]
            })
            .await;
        }
        let asked = [(message.handle, SECOND / 50)];
        let released = queue.release(&asked).await.unwrap();
        released.into_iter().next().unwrap().unwrap();
    }
    fake.changes().split_off(before)
}

#[tokio::test]
async fn releases_follow_the_back_off_that_the_server_says_if_they_are_to() {
    let asked = SECOND / 50;
    assert_eq!(
        releases(&normal(), Retries::Broker).await,
        [SECOND / 10, SECOND / 4]
    );
    assert_eq!(releases(&normal(), Retries::Engine).await, [asked, asked]);
    let fifo = start(true, FakeOptions::default());
    assert_eq!(releases(&fifo, Retries::Broker).await, [asked, asked]);
}

#[tokio::test]
async fn batches_and_waits_are_no_larger_than_the_server_says() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    told(&consumer, &fake, |group| group.batch = 2).await;
    put(&fake, 0..3);
    let two = consumer.receive(32, SECOND).await.unwrap();
    assert_eq!((two.len(), fake.asked()), (2, 2));
    ack(&consumer, &two).await;
    ack(&consumer, &receive(&consumer, 1).await).await;
    // An empty answer that came early would be taken for a wish to be asked less.
    told(&consumer, &fake, |group| group.polling = SECOND).await;
    let (began, calls) = (Instant::now(), fake.faults().calls(Kind::Receive));
    assert!(consumer.receive(32, 3 * SECOND).await.unwrap().is_empty());
    let took = began.elapsed();
    assert!(took > 2 * SECOND && took < 4 * SECOND, "{took:?}");
    assert_eq!(fake.faults().calls(Kind::Receive) - calls, 3);
}

#[tokio::test]
async fn nonsense_settings_are_no_harm() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    fake.change_group("g", |group| {
        group.max_attempts = 1000;
        group.batch = -7;
        group.polling = Duration::ZERO;
        group.backoff.clear();
    });
    put(&fake, 0..1);
    assert_eq!(receive(&consumer, 1).await.len(), 1);
    let nothing = pb::TelemetryCommand {
        settings: Some(pb::Settings::default()),
        ..Default::default()
    };
    fake.command(&nothing);
    put(&fake, 0..1);
    assert_eq!(receive(&consumer, 1).await.len(), 1);
}

/// Until a proxy takes the group for this, although it can't look it up.
async fn taken_for(fake: &Fake, group: (bool, i32)) {
    let began = Instant::now();
    while fake.taken_for(0) != [group] {
        assert!(began.elapsed() < 5 * SECOND, "{:?}", fake.taken_for(0));
        sleep(SECOND / 100).await;
    }
}

/// A proxy goes by the client's own settings as long as it can't look the group up.
#[tokio::test]
async fn a_fifo_group_stays_one_while_the_proxy_can_not_look_it_up() {
    let fake = start(true, FakeOptions::default());
    let consumer = consumer(&fake).await;
    taken_for(&fake, (true, 17)).await;
    fake.change_group("g", |group| group.max_attempts = 100);
    taken_for(&fake, (true, 100)).await;
    fake.lose_groups(true);
    put(&fake, 0..4);
    let first = consumer.receive(2, SECOND).await.unwrap();
    let more = consumer.receive(32, SECOND).await.unwrap();
    assert_eq!((first.len(), more.len()), (2, 0), "the queue is bound");
    fake.lose_groups(false);
    ack(&consumer, &first).await;
    let rest = receive(&consumer, 2).await;
    assert_eq!(rest.iter().map(body).collect::<Vec<_>>(), ["2", "3"]);
    assert_eq!(fake.faults().calls(Kind::Telemetry), 1);
    fake.end_sessions(true);
    taken_for(&fake, (true, 100)).await;
    fake.change_group("g", |group| group.fifo = false);
    taken_for(&fake, (false, 100)).await;
}
