//! FIFO groups.

use std::collections::BTreeMap;

use eventlane_rocketmq::client::OutgoingMessage;
use eventlane_testkit::rocketmq::TopicType;

use crate::support::{Is, SECOND, Topic, ack, body, on_both, receive};

on_both! {
    a_queue_waits_for_what_is_on_lease
    order_holds_when_a_batch_is_given_back
}

async fn a_queue_waits_for_what_is_on_lease(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Fifo, 1, 16).await;
    let consumer = topic.consumer().await;
    assert!(consumer.settings().fifo);
    for number in 0..3 {
        let group = format!("g{}", number % 2);
        topic
            .send(OutgoingMessage::new(number.to_string()).with_group(group))
            .await;
    }
    let first = consumer.receive(2, server.wait()).await.unwrap();
    assert_eq!(first.iter().map(body).collect::<Vec<_>>(), ["0", "1"]);
    assert_eq!(first[1].message_group.as_deref(), Some("g1"));
    assert!(
        consumer
            .receive(32, server.wait())
            .await
            .unwrap()
            .is_empty()
    );
    ack(&consumer, &first).await;
    let next = receive(&consumer, 1).await;
    assert_eq!(body(&next[0]), "2");
    ack(&consumer, &next).await;
}

async fn order_holds_when_a_batch_is_given_back(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Fifo, 2, 16).await;
    let consumer = topic.consumer().await;
    for number in 0..20 {
        let group = format!("g{}", number % 4);
        topic
            .send(OutgoingMessage::new(number.to_string()).with_group(group))
            .await;
    }
    let mut taken: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut given_back = false;
    while taken.values().map(Vec::len).sum::<usize>() < 20 {
        let messages = receive(&consumer, 1).await;
        if !given_back {
            given_back = true;
            for message in &messages {
                let changed = consumer
                    .change_invisible(&message.handle, SECOND, false)
                    .await;
                changed.unwrap();
            }
            continue;
        }
        for message in &messages {
            let group = message.message_group.clone().unwrap();
            taken
                .entry(group)
                .or_default()
                .push(body(message).parse().unwrap());
        }
        ack(&consumer, &messages).await;
    }
    assert_eq!(taken.len(), 4);
    for (group, numbers) in taken {
        assert!(
            numbers.is_sorted_by(|one, next| one < next),
            "{group}: {numbers:?}"
        );
    }
}
