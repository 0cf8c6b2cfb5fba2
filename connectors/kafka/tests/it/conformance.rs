//! The suite that every connector passes, under each way to rebalance.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Capability, Error, ErrorKind, Result, Source,
    conformance::{self, Harness, Message, Timing},
};
use eventlane_kafka::{Assignor, GroupProtocol, KafkaConfig, KafkaSource};
use eventlane_testkit::Kafka;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::support::config;

struct Topics {
    kafka: &'static Kafka,
    tune: fn(KafkaConfig) -> KafkaConfig,
}

/// A topic with two partitions, and the group that reads it.
struct Topic {
    name: String,
    group: String,
}

#[async_trait]
impl Harness for Topics {
    type Topic = Topic;

    fn capability(&self) -> Capability {
        Capability::log()
    }

    fn timing(&self) -> Timing {
        Timing::default()
            .with_patience(Duration::from_secs(30))
            .with_recovery(Duration::from_secs(8))
    }

    fn hands_over(&self) -> bool {
        true
    }

    async fn create(&self) -> Result<Topic> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let group = format!("conformance-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Ok(Topic {
            name: self.kafka.topic(2),
            group,
        })
    }

    async fn produce(&self, topic: &Topic, messages: &[Message]) -> Result<()> {
        let producer: FutureProducer = self.kafka.client().create().expect("a producer");
        let sent: Vec<_> = messages
            .iter()
            .map(|message| {
                let record = FutureRecord::to(&topic.name)
                    .key(&message.key)
                    .payload(&message.body)
                    .partition(message.partition as i32);
                producer
                    .send_result(record)
                    .map_err(|(error, _)| error)
                    .expect("there is room")
            })
            .collect();
        for sent in sent {
            let failed = |error: String| Error::new(ErrorKind::Unavailable, "produce", error);
            let result = sent.await.map_err(|error| failed(error.to_string()))?;
            result.map_err(|(error, _)| failed(error.to_string()))?;
        }
        Ok(())
    }

    async fn open(&self, topic: &Topic) -> Result<Box<dyn Source>> {
        let config = (self.tune)(config(self.kafka, &topic.group, &topic.name));
        Ok(Box::new(KafkaSource::connect(config).await?))
    }
}

async fn passes(tune: fn(KafkaConfig) -> KafkaConfig) {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let report = conformance::run(&Topics { kafka, tune }).await;
    assert!(report.failed().is_empty(), "{report}");
    println!("{report}");
}

#[tokio::test]
async fn with_cooperative_sticky() {
    passes(|config| config).await;
}

#[tokio::test]
async fn with_range() {
    passes(|config| config.with_assignor(Assignor::Range)).await;
}

#[tokio::test]
async fn with_the_consumer_protocol() {
    passes(|config| config.with_protocol(GroupProtocol::Consumer)).await;
}
