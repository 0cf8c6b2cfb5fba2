//! Whether the source is there, and lets us in.

use eventlane::{Error, ErrorKind, queue::QueueBackend};
use eventlane_kafka::KafkaConfig;
use eventlane_mns::MnsQueue;
use eventlane_rocketmq::RocketMqQueue;
use eventlane_sqs::SqsQueue;

use super::Found;
use crate::config::{Chosen, SourceConfig};

pub(super) async fn check(source: &SourceConfig) -> Found {
    let wrong = |message| Error::new(ErrorKind::Config, "check the source", message);
    match source.chosen().map_err(wrong)? {
        Chosen::Kafka(kafka) => check_kafka(kafka).await,
        Chosen::RocketMq(rocketmq) => {
            let queue = RocketMqQueue::connect(rocketmq.clone()).await?;
            let fifo = queue.consumer().settings().fifo;
            let order = if fifo { ", FIFO" } else { "" };
            Ok(format!(
                "RocketMQ at {}: {}, group {}{order}",
                rocketmq.endpoint,
                queue.name(),
                rocketmq.group
            ))
        }
        Chosen::Sqs(sqs) => {
            let queue = SqsQueue::connect(sqs.clone()).await?;
            Ok(format!("SQS: {}{}", sqs.queue_url, leased(&queue)))
        }
        Chosen::Mns(mns) => {
            let queue = MnsQueue::connect(mns.clone()).await?;
            let lease = leased(&queue);
            Ok(format!("MNS at {}: {}{lease}", mns.endpoint, mns.queue))
        }
    }
}

async fn check_kafka(kafka: &KafkaConfig) -> Found {
    let found = kafka.check().await?;
    let mut topics: Vec<_> = found
        .iter()
        .map(|topic| format!("{} ({} partitions)", topic.name, topic.partitions))
        .collect();
    let patterns = kafka.topics.iter().filter(|topic| topic.starts_with('^'));
    topics.extend(patterns.map(|pattern| format!("what matches {pattern}")));
    Ok(format!(
        "Kafka at {}: {}, group {}",
        kafka.bootstrap_servers,
        topics.join(", "),
        kafka.group
    ))
}

fn leased(queue: &impl QueueBackend) -> String {
    let limits = queue.limits();
    format!(", messages on lease for {} s", limits.lease.as_secs())
}
