//! Topics and groups of a test's own, and what is sent to them.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use eventlane::ErrorKind;
use eventlane_rocketmq::{
    RocketMqConfig,
    client::{Consumer, OutgoingMessage, Producer},
};
use eventlane_testkit::{
    Adapter,
    rocketmq::{RocketMq, TopicType},
};
use tokio::time::{Instant, sleep};

use crate::adapter::{self, LIMIT};

pub(crate) const QUEUES: u32 = 8;

/// The most that one receive brings.
pub(crate) const BATCH: u32 = 32;

/// A topic, and a group that gets its messages.
pub(crate) struct Topic<'a> {
    broker: &'a RocketMq,
    name: String,
    ty: TopicType,
    producer: Producer,
}

/// A message that the broker has.
#[derive(Debug)]
pub(crate) struct Sent {
    key: String,
    seq: u64,
    pub(crate) at: Instant,
}

impl Sent {
    /// As the endpoint knows it.
    pub(crate) fn id(&self) -> (String, u64) {
        (self.key.clone(), self.seq)
    }
}

impl<'a> Topic<'a> {
    pub(crate) async fn create(broker: &'a RocketMq, ty: TopicType) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("topic-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        broker.create_topic(&name, ty, QUEUES);
        // The broker's dead letters are for messages that it has handed out so often; nothing here
        // may come near that.
        broker.create_group(&name, ty == TopicType::Fifo, 30);
        let config = RocketMqConfig::new(broker.endpoint(), "");
        let producer = Producer::connect(&config, &[&name]).await.unwrap();
        Self {
            broker,
            name,
            ty,
            producer,
        }
    }

    pub(crate) fn is_fifo(&self) -> bool {
        self.ty == TopicType::Fifo
    }

    /// Carries it to `sink`. A receive waits for 5 s, the least.
    pub(crate) fn adapter(&self, sink: &str, flags: &[&str]) -> Adapter {
        let usual = [
            "--endpoint",
            self.broker.endpoint(),
            "--topic",
            &self.name,
            "--group",
            &self.name,
            "--sink",
            sink,
            "--wait",
            "5",
        ];
        adapter::reporting(&[&usual, flags].concat())
    }

    /// Sends `each` messages of each of `keys` keys, which are the message groups of a FIFO topic.
    pub(crate) async fn fill(&self, keys: u64, each: u64) {
        const TOGETHER: u64 = 10;
        let teams = (0..keys).step_by(10).map(async |first| {
            for seq in 0..each {
                let team = first..keys.min(first + TOGETHER);
                let messages: Vec<_> = team.map(|key| self.message(key, seq)).collect();
                let sent = self.producer.send_all(&self.name, &messages).await;
                assert_eq!(sent.unwrap().len(), messages.len());
            }
        });
        futures_util::future::join_all(teams).await;
    }

    /// Sends a round of messages, one of each key, every `pace`, until `stop`.
    pub(crate) async fn load(
        &self,
        keys: u64,
        pace: Duration,
        stop: impl Future<Output = ()>,
    ) -> Vec<Sent> {
        let mut sent = Vec::new();
        tokio::pin!(stop);
        for seq in 0.. {
            let round = (0..keys).map(async |key| {
                let message = self.message(key, seq);
                self.producer.send(&self.name, &message).await.unwrap();
                let (key, at) = (name(key), Instant::now());
                Sent { key, seq, at }
            });
            sent.extend(futures_util::future::join_all(round).await);
            tokio::select! {
                () = &mut stop => break,
                () = sleep(pace) => {}
            }
        }
        sent
    }

    fn message(&self, key: u64, seq: u64) -> OutgoingMessage {
        let key = name(key);
        let body = format!(
            r#"{{"key":"{key}","seq":{seq},"pad":"{}"}}"#,
            "x".repeat(200)
        );
        match self.is_fifo() {
            true => OutgoingMessage::new(body).with_group(key),
            false => OutgoingMessage::new(body),
        }
    }

    /// The keys of the broker's dead letters, which there have to be so many of.
    pub(crate) async fn dead_letters(&self, count: usize) -> Vec<String> {
        // The group itself would move them there again.
        let reader = format!("{}-dead", self.name);
        self.broker.create_group(&reader, false, 16);
        let config = RocketMqConfig::new(self.broker.endpoint(), reader);
        let config = config.with_topic(format!("%DLQ%{}", self.name));
        let (mut keys, began) = (Vec::new(), Instant::now());
        // The topic comes into being with its first message.
        let consumer = loop {
            match Consumer::connect(&config).await {
                Ok(consumer) => break consumer,
                Err(error) => assert!(began.elapsed() < LIMIT, "{error}"),
            }
            sleep(Duration::from_millis(200)).await;
        };
        while keys.len() < count {
            assert!(
                began.elapsed() < LIMIT,
                "{} of {count} dead letters",
                keys.len()
            );
            let letters = consumer.receive(32, Duration::from_secs(5)).await.unwrap();
            keys.extend(letters.into_iter().filter_map(|it| it.message_group));
        }
        keys
    }

    /// The broker makes a group's topic of dead letters when it has the first.
    pub(crate) async fn assert_no_dead_letters(&self) {
        let config = RocketMqConfig::new(self.broker.endpoint(), &self.name);
        let letters = config.with_topic(format!("%DLQ%{}", self.name));
        let error = Consumer::connect(&letters).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains("create the topic"), "{error}");
    }
}

fn name(key: u64) -> String {
    format!("k{key}")
}
