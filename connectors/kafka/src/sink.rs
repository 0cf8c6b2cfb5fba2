//! A topic as a sink.

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use eventlane::{
    Error, ErrorKind, Result, Sink,
    sink::{Batch, DeadLetter, DeadLetterSink, Failure, Outcome, Verdict, Verdicts},
};
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::{
    config::KafkaSinkConfig,
    error,
    producer::{self, Producer},
};

const OPERATION: &str = "produce";

/// Produces events to a topic: for replies, for dead letters, or as the sink of a pipeline.
///
/// * **Durable.** An event is taken once all in-sync replicas have its record (`acks=all`), which
///   an idempotent producer wrote once. A record that came to nothing within
///   [`KafkaSinkConfig::delivery_timeout`] is to be tried again, and may be there twice then.
/// * **Order.** Events of one call are produced in their order. An event with `partitionkey` goes
///   to the partition of that key; one without, to any.
/// * **What fails.** A record that the broker refuses is rejected; a missing permission or topic
///   holds the destination; everything else is tried again.
/// * **Sharing.** Clones share one producer: use one for several pipelines.
///
/// ```no_run
/// use eventlane::{Pipeline, sink::{HttpSink, HttpSinkConfig}};
/// use eventlane_kafka::{KafkaConfig, KafkaSink, KafkaSource};
///
/// # async fn example() -> eventlane::Result<()> {
/// let config = KafkaConfig::new("localhost:9092", "scoring", ["comments"]);
/// let scores = KafkaSink::connect(config.sink("scores")).await?;
/// let scorer = HttpSink::new(HttpSinkConfig::new("http://localhost:8080/score"))?;
/// let source = KafkaSource::connect(config).await?;
/// let pipeline = Pipeline::new(source, scorer.with_replies_to(scores));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KafkaSink {
    producer: Arc<Producer>,
    destination: Arc<str>,
}

impl KafkaSink {
    /// Connects, and looks for the topic, so that what can't work says so at once. No topic is
    /// created, unless the brokers create those that are asked for.
    ///
    /// # Errors
    /// `Config` for a mistake in the configuration and for a topic that is not there, also not 2 s
    /// later: one that was just created is not known to every broker at once;
    /// `Unauthorized`; `Unavailable` if no broker answers within
    /// [`KafkaSinkConfig::connect_timeout`].
    pub async fn connect(config: KafkaSinkConfig) -> Result<Self> {
        // librdkafka blocks.
        let connecting = tokio::task::spawn_blocking(|| Producer::connect(config));
        let producer = connecting.await.map_err(|_| producer::interrupted())??;
        let config = producer.config();
        let destination = format!("kafka://{}/{}", config.bootstrap_servers, config.topic);
        Ok(Self {
            producer: Arc::new(producer),
            destination: destination.into(),
        })
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.producer.config().topic
    }

    fn error(&self, code: Code) -> Error {
        error::produce(OPERATION, code, None).with_context("topic", self.topic())
    }

    fn verdict(&self, code: Code) -> Verdict {
        let error = self.error(code);
        let kind = error.kind();
        let failure = Box::new(Failure::new(kind.as_str(), error.to_string()));
        match kind {
            ErrorKind::Rejected => Verdict::Reject(failure),
            // Nobody's event is taken as long as that is so.
            ErrorKind::Unauthorized | ErrorKind::Config | ErrorKind::Unsupported => {
                Verdict::Hold(failure)
            }
            _ => Verdict::Retry(failure),
        }
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn send(&self, batch: Batch) -> Outcome {
        let fates = self.producer.produce(&batch.events).await;
        let verdicts = fates.into_iter().map(|fate| match fate {
            Ok(()) => Verdict::Delivered,
            Err(code) => self.verdict(code),
        });
        Outcome::Each(verdicts.collect())
    }

    fn verdicts(&self) -> Verdicts {
        Verdicts::PerEvent
    }

    fn destination(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.destination)
    }
}

#[async_trait]
impl DeadLetterSink for KafkaSink {
    /// Produces the letters as events ([`DeadLetter::to_event`]).
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>> {
        let events: Vec<_> = letters.iter().map(DeadLetter::to_event).collect();
        let fates = self.producer.produce(&events).await;
        let results = fates
            .into_iter()
            .map(|fate| fate.map_err(|code| self.error(code)));
        results.collect()
    }

    fn destination(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.destination)
    }
}
