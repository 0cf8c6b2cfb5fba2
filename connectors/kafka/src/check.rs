//! A look at the broker without joining the group.

use std::{task::Waker, time::Duration};

use eventlane::{Error, ErrorKind, Result};
use rdkafka::consumer::Consumer;

use crate::{config::KafkaConfig, connect, context::unexpected, lag::KafkaMonitor};

/// A topic that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicFound {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: usize,
}

impl KafkaConfig {
    /// Asks what [`KafkaSource::connect`](crate::KafkaSource::connect) asks, and joins no group:
    /// nothing is consumed, nothing committed, and no other consumer notices. Returns the topics
    /// but for patterns, which are matched when the group is joined.
    ///
    /// # Errors
    /// Those of `connect`.
    pub async fn check(&self) -> Result<Vec<TopicFound>> {
        let config = self.clone().validated()?;
        let looked = tokio::task::spawn_blocking(move || look(&config)).await;
        looked.unwrap_or_else(|error| Err(unexpected("check Kafka", &error.to_string())))
    }
}

fn look(config: &KafkaConfig) -> Result<Vec<TopicFound>> {
    let consumer = connect::create(config, Waker::noop().clone(), KafkaMonitor::default())?;
    connect::check(&consumer, config)?;
    let named = config.topics.iter().filter(|topic| !topic.starts_with('^'));
    let found = named.map(|topic| {
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(5));
        let metadata = metadata.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "check Kafka", error.to_string())
                .with_context("topic", topic)
        })?;
        let partitions = metadata.topics().first().map(|it| it.partitions().len());
        Ok(TopicFound {
            name: topic.clone(),
            partitions: partitions.unwrap_or(0),
        })
    });
    found.collect()
}
