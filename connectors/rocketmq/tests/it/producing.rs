//! The producer.

use eventlane_rocketmq::client::OutgoingMessage;
use eventlane_testkit::rocketmq::{RocketMq, TopicType};

use crate::support::{Topic, ack, body, receive};

#[tokio::test]
async fn a_group_that_is_sent_together_stays_in_one_queue() {
    let Some(broker) = RocketMq::shared_or_skip() else {
        return;
    };
    let topic = Topic::create(broker, TopicType::Fifo, 4, 16).await;
    for batch in 0..4 {
        let numbers = batch * 5..(batch + 1) * 5;
        let messages: Vec<_> = numbers
            .map(|number: u32| OutgoingMessage::new(number.to_string()).with_group("g"))
            .collect();
        let sent = topic.producer.send_all(&topic.name, &messages).await;
        assert_eq!(sent.unwrap().len(), 5);
    }
    let consumer = topic.consumer().await;
    let messages = receive(&consumer, 20).await;
    ack(&consumer, &messages).await;
    let numbers: Vec<u32> = messages
        .iter()
        .map(|it| body(it).parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    let queue = messages[0].queue_id;
    assert!(messages.iter().all(|message| message.queue_id == queue));
}

#[tokio::test]
async fn each_of_those_that_are_sent_together_has_an_id() {
    let Some(broker) = RocketMq::shared_or_skip() else {
        return;
    };
    let topic = Topic::create(broker, TopicType::Normal, 4, 16).await;
    let messages = ["0", "1", "2"].map(OutgoingMessage::new);
    let sent = topic.producer.send_all(&topic.name, &messages).await;
    let sent = sent.unwrap();
    assert_eq!(sent.len(), 3, "{sent:?}");
    let consumer = topic.consumer().await;
    let messages = receive(&consumer, 3).await;
    ack(&consumer, &messages).await;
    for message in &messages {
        let number: usize = body(message).parse().unwrap();
        assert_eq!(message.id, sent[number].message_id);
        assert_eq!(message.queue_offset, sent[number].offset);
    }
}
