//! Topics and groups of a test's own.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use eventlane_rocketmq::{
    RocketMqConfig, Subscription,
    client::{Consumer, OutgoingMessage, Producer, ReceivedMessage},
};
use eventlane_testkit::rocketmq::{RocketMq, TopicType};
use tokio::time::Instant;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The shortest lease and wait that servers take.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
pub(crate) const WAIT: Duration = Duration::from_secs(5);

/// A topic and a group.
#[derive(Debug)]
pub(crate) struct Topic<'a> {
    pub(crate) broker: &'a RocketMq,
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) producer: Producer,
}

impl<'a> Topic<'a> {
    /// Its messages are handed out `max_retry` times again.
    pub(crate) async fn create(
        broker: &'a RocketMq,
        ty: TopicType,
        queues: u32,
        max_retry: u32,
    ) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (name, group) = (format!("topic-{number}"), format!("group-{number}"));
        broker.create_topic(&name, ty, queues);
        broker.create_group(&group, ty == TopicType::Fifo, max_retry);
        let config = RocketMqConfig::new(broker.endpoint(), "");
        let producer = Producer::connect(&config, &[&name]).await.unwrap();
        Self {
            broker,
            name,
            group,
            producer,
        }
    }

    pub(crate) fn config(&self) -> RocketMqConfig {
        self.config_for(self.name.as_str())
    }

    pub(crate) fn config_for(&self, subscription: impl Into<Subscription>) -> RocketMqConfig {
        RocketMqConfig::new(self.broker.endpoint(), &self.group)
            .with_topic(subscription)
            .with_lease(LEASE)
            .with_wait(WAIT)
    }

    pub(crate) async fn consumer(&self) -> Consumer {
        Consumer::connect(&self.config()).await.unwrap()
    }

    pub(crate) async fn send(&self, message: OutgoingMessage) -> String {
        let sent = self.producer.send(&self.name, &message).await;
        sent.unwrap().message_id
    }

    pub(crate) async fn send_numbers(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.send(OutgoingMessage::new(number.to_string())).await;
        }
    }
}

/// Receives until there are so many, and fails if that takes longer than half a minute.
pub(crate) async fn receive(consumer: &Consumer, count: usize) -> Vec<ReceivedMessage> {
    let start = Instant::now();
    let mut received = Vec::new();
    while received.len() < count {
        assert!(
            start.elapsed() < 30 * SECOND,
            "{} of {count} came",
            received.len()
        );
        received.extend(consumer.receive(32, WAIT).await.unwrap());
    }
    received
}

pub(crate) fn bodies(messages: &[ReceivedMessage]) -> BTreeSet<String> {
    messages.iter().map(body).collect()
}

pub(crate) fn body(message: &ReceivedMessage) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}

/// Acknowledges messages, which has to succeed.
pub(crate) async fn ack(consumer: &Consumer, messages: &[ReceivedMessage]) {
    let handles: Vec<_> = messages.iter().map(|it| it.handle.clone()).collect();
    for outcome in consumer.ack(&handles).await.unwrap() {
        outcome.unwrap();
    }
}

/// The dead letters of a group, read by a group of its own.
pub(crate) async fn dead_letters(topic: &Topic<'_>, count: usize) -> Vec<ReceivedMessage> {
    let name = format!("%DLQ%{}", topic.group);
    let reader = format!("{}-dead", topic.group);
    topic.broker.create_group(&reader, false, 16);
    let config = RocketMqConfig::new(topic.broker.endpoint(), reader)
        .with_topic(name)
        .with_wait(WAIT);
    let start = Instant::now();
    // The topic comes into being with its first message.
    let consumer = loop {
        match Consumer::connect(&config).await {
            Ok(consumer) => break consumer,
            Err(error) => assert!(start.elapsed() < 30 * SECOND, "{error}"),
        }
        tokio::time::sleep(SECOND / 2).await;
    };
    receive(&consumer, count).await
}
