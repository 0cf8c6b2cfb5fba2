//! Topics with messages.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use eventlane_rocketmq::{
    RocketMqConfig,
    client::{OutgoingMessage, Producer},
};
use eventlane_testkit::rocketmq::{RocketMq, TopicType};
use futures_util::future::join_all;

pub(crate) const BODY: usize = 256;
pub(crate) const QUEUES: u32 = 8;
const GROUPS: usize = 1_000;

/// What both consume with.
pub(crate) fn config(endpoint: &str, topic: &str) -> RocketMqConfig {
    RocketMqConfig::new(endpoint, topic)
        .with_topic(topic)
        .with_wait(Duration::from_secs(5))
}

/// Makes a topic with so many messages, and a group of the same name.
pub(crate) async fn fill(broker: &RocketMq, ty: TopicType, messages: usize) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let name = format!("bench-{}", NUMBER.fetch_add(1, Relaxed));
    broker.create_topic(&name, ty, QUEUES);
    broker.create_group(&name, ty == TopicType::Fifo, 16);
    let config = RocketMqConfig::new(broker.endpoint(), "");
    let producer = Producer::connect(&config, &[&name])
        .await
        .expect("connects");
    let body = format!("{{\"x\":\"{}\"}}", "y".repeat(BODY - 8));
    let message = |number: usize| match ty {
        TopicType::Fifo => {
            OutgoingMessage::new(body.clone()).with_group(format!("g{}", number % GROUPS))
        }
        _ => OutgoingMessage::new(body.clone()),
    };
    // Each its own message groups, which thus stay in order.
    const SENDERS: usize = 50;
    let (producer, name) = (&producer, &name);
    let senders = (0..SENDERS).map(async |sender| {
        let mine: Vec<_> = (sender..messages).step_by(SENDERS).collect();
        for numbers in mine.chunks(32) {
            let together: Vec<_> = numbers.iter().map(|number| message(*number)).collect();
            let sent = producer.send_all(name, &together).await;
            sent.expect("sends");
        }
    });
    join_all(senders).await;
    producer.close().await;
    name.clone()
}
