//! The client's operations.

use std::{collections::BTreeSet, time::Duration};

use eventlane::ErrorKind;
use eventlane_rocketmq::{
    Subscription,
    client::{Consumer, OutgoingMessage},
};
use eventlane_testkit::rocketmq::TopicType;
use tokio::time::{Instant, sleep};

use crate::support::{Is, SECOND, Topic, ack, bodies, body, dead_letters, on_both, receive};

on_both! {
    what_is_sent_arrives
    what_is_not_acknowledged_comes_again
    an_extended_lease_lasts_and_its_acknowledgement_holds
    what_is_given_back_comes_after_its_delay
    a_dead_letter_is_the_right_one
    the_server_filters
    a_delayed_message_comes_later
    several_topics_are_waited_for_at_the_same_time
    what_no_server_takes_is_refused
}

async fn what_is_sent_arrives(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 4, 16).await;
    let consumer = topic.consumer().await;
    let message = OutgoingMessage::new("hello")
        .with_tag("greeting")
        .with_key("k1")
        .with_key("k2")
        .with_property("region", "eu")
        .with_property("empty", "")
        .with_property("odd", "a=b ü");
    let began = Instant::now();
    let id = topic.send(message).await;
    let received = receive(&consumer, 1).await;
    // Connecting leaves nothing behind that the server would rather give it to.
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
    let [message] = &received[..] else {
        panic!("{received:?}")
    };
    assert_eq!((&message.id, &*body(message)), (&id, "hello"));
    assert_eq!((&message.topic, message.attempt), (&topic.name, 1));
    assert_eq!(message.tag.as_deref(), Some("greeting"));
    assert_eq!(message.keys, ["k1", "k2"]);
    assert_eq!(message.properties["region"], "eu");
    assert_eq!(message.properties["odd"], "a=b ü");
    assert!(message.born.is_some() && message.message_group.is_none());
    assert_eq!(message.content_encoding, None);
    ack(&consumer, &received).await;
    assert!(!consumer.settings().fifo);
    assert_eq!(consumer.settings().max_attempts, Some(17));
    let began = Instant::now();
    assert!(
        consumer
            .receive(32, server.wait())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        began.elapsed() > server.wait().mul_f64(0.8),
        "{:?}",
        began.elapsed()
    );
    consumer.close().await;
}

async fn what_is_not_acknowledged_comes_again(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 1, 16).await;
    let consumer = topic.consumer().await;
    topic.send_numbers(0..3).await;
    let first = receive(&consumer, 3).await;
    ack(&consumer, &first[..1]).await;
    let began = Instant::now();
    let again = receive(&consumer, 2).await;
    assert!(
        began.elapsed() > server.lease().mul_f64(0.8),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(bodies(&again), bodies(&first[1..]));
    for message in &again {
        assert_eq!(message.attempt, 2);
        assert!(first.iter().any(|it| it.id == message.id));
    }
    // The first handles are over by now; one of each is told.
    let mixed = [first[1].handle.clone(), again[0].handle.clone()];
    let [over, done] = consumer.ack(&mixed).await.unwrap().try_into().unwrap();
    assert_eq!(over.unwrap_err().kind(), ErrorKind::Fenced);
    done.unwrap();
}

async fn an_extended_lease_lasts_and_its_acknowledgement_holds(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 1, 16).await;
    let consumer = topic.consumer().await;
    topic.send_numbers(0..6).await;
    let mut messages = receive(&consumer, 6).await;
    for _ in 0..2 {
        sleep(server.lease() / 2).await;
        for message in &mut messages {
            let extended = consumer
                .change_invisible(&message.handle, server.lease(), false)
                .await;
            message.handle = extended.unwrap();
        }
    }
    sleep(server.lease() / 2).await;
    ack(&consumer, &messages).await;
    // Local mode returns handles whose acknowledgement finds nothing: all but the first of the
    // batch would come again.
    let until = Instant::now() + server.lease() + server.late();
    while Instant::now() < until {
        let again = consumer.receive(32, server.wait()).await.unwrap();
        assert!(again.is_empty(), "{again:?}");
    }
}

async fn what_is_given_back_comes_after_its_delay(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 1, 16).await;
    let consumer = topic.consumer().await;
    for (delay, suspend, attempt) in [(0, true, 1), (2, false, 2)] {
        topic.send_numbers(0..1).await;
        let [message] = receive(&consumer, 1).await.try_into().unwrap();
        let delay = Duration::from_secs(delay);
        let began = Instant::now();
        let changed = consumer
            .change_invisible(&message.handle, delay, suspend)
            .await;
        changed.unwrap();
        let again = receive(&consumer, 1).await;
        let took = began.elapsed();
        assert!(
            took >= delay && took < delay + server.late() + SECOND,
            "{took:?}"
        );
        assert_eq!((again[0].attempt, &again[0].id), (attempt, &message.id));
        ack(&consumer, &again).await;
    }
}

async fn a_dead_letter_is_the_right_one(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 1, 16).await;
    let consumer = topic.consumer().await;
    topic.send_numbers(0..4).await;
    let mut messages = receive(&consumer, 4).await;
    // After a change, local mode's handle would name another message.
    let dead = messages.pop().unwrap();
    let handle = consumer
        .change_invisible(&dead.handle, server.lease(), false)
        .await
        .unwrap();
    consumer.dead_letter(&handle).await.unwrap();
    ack(&consumer, &messages).await;
    let letters = dead_letters(&topic, 1).await;
    assert_eq!(letters.len(), 1);
    assert_eq!((body(&letters[0]), &letters[0].id), (body(&dead), &dead.id));
}

async fn the_server_filters(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 2, 16).await;
    for (subscription, expected) in [
        (
            Subscription::new(&topic.name).with_tags("a || b"),
            vec!["0", "1"],
        ),
        (
            Subscription::new(&topic.name).with_sql("TAGS IS NOT NULL AND n > 1"),
            vec!["2", "3"],
        ),
    ] {
        let group = format!("{}-{}", topic.group, expected[0]);
        server.create_group(&group, false, 16);
        let mut config = topic.config_for(subscription);
        config.group = group;
        let consumer = Consumer::connect(&config).await.unwrap();
        for (number, tag) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let message = OutgoingMessage::new(number.to_string());
            let message = message.with_tag(tag).with_property("n", number.to_string());
            topic.send(message).await;
        }
        let received = receive(&consumer, 2).await;
        ack(&consumer, &received).await;
        let expected: BTreeSet<_> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(bodies(&received), expected);
        // Those of the next round must not be those of this one.
        let rest = consumer.receive(32, server.wait()).await.unwrap();
        assert!(bodies(&rest).is_subset(&expected), "{rest:?}");
        ack(&consumer, &rest).await;
    }
}

async fn a_delayed_message_comes_later(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Delay, 1, 16).await;
    let consumer = topic.consumer().await;
    let began = Instant::now();
    topic
        .send(OutgoingMessage::new("later").with_delay(3 * SECOND))
        .await;
    let received = receive(&consumer, 1).await;
    assert!(began.elapsed() > 2 * SECOND, "{:?}", began.elapsed());
    ack(&consumer, &received).await;
}

async fn several_topics_are_waited_for_at_the_same_time(is: Is) {
    let Some(server) = is.shared() else { return };
    let one = Topic::create(&server, TopicType::Normal, 1, 16).await;
    let two = Topic::create(&server, TopicType::Normal, 1, 16).await;
    let config = one.config().with_topic(two.name.as_str());
    let consumer = Consumer::connect(&config).await.unwrap();
    assert_eq!(consumer.places().await.unwrap(), 2);
    for topic in [&one, &two, &two, &one] {
        let sent = async {
            sleep(SECOND / 2).await;
            topic.send_numbers(0..1).await;
        };
        let polls = [
            consumer.receive(32, server.wait()),
            consumer.receive(32, server.wait()),
        ];
        let began = Instant::now();
        let polls = async {
            let mut received = futures_util::future::try_join_all(polls)
                .await
                .unwrap()
                .concat();
            assert_eq!(received.len(), 1);
            received.pop().unwrap()
        };
        let (message, ()) = tokio::join!(polls, sent);
        assert_eq!(message.topic, topic.name);
        assert!(began.elapsed() < server.wait() + 2 * SECOND);
        ack(&consumer, &[message]).await;
    }
}

async fn what_no_server_takes_is_refused(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 1, 16).await;
    let cases = [
        (OutgoingMessage::new(""), ErrorKind::Rejected),
        (
            OutgoingMessage::new(vec![b'x'; (4 << 20) + 1]),
            ErrorKind::Rejected,
        ),
        (
            OutgoingMessage::new("x").with_tag("a|b"),
            ErrorKind::Rejected,
        ),
        (
            OutgoingMessage::new("x").with_property("TAGS", "x"),
            ErrorKind::Rejected,
        ),
    ];
    for (message, kind) in cases {
        let error = topic
            .producer
            .send(&topic.name, &message)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    topic.send(OutgoingMessage::new(vec![b'x'; 4 << 20])).await;
    let consumer = topic.consumer().await;
    let large = receive(&consumer, 1).await;
    assert_eq!(large[0].body.len(), 4 << 20);
}
