//! From a pipeline's configuration to the pipeline.

use eventlane::{
    Error, Pipeline, Source,
    queue::{Poller, QueueMonitor},
    sink::{FileDeadLetter, HttpSink},
};
use eventlane_kafka::{KafkaMonitor, KafkaSource};
use eventlane_mns::{MnsDeadLetter, MnsQueue};
use eventlane_rocketmq::RocketMqQueue;
use eventlane_sqs::SqsQueue;

use crate::config::{Chosen, DeadLetterConfig, PipelineConfig};

/// What can be seen of a source while a pipeline has it.
#[derive(Clone, Debug)]
pub enum Monitor {
    /// Of Kafka.
    Kafka(KafkaMonitor),
    /// Of a queue.
    Queue(QueueMonitor),
}

/// Connects to the source, and makes the pipeline. Nothing is consumed before it runs.
///
/// # Errors
/// The library's: its kind says whether trying again may help.
pub async fn build(name: &str, config: &PipelineConfig) -> Result<(Pipeline, Monitor), Error> {
    let poller = config.source.poller.clone().unwrap_or_default();
    let sink = HttpSink::new(config.sink.http.clone())?;
    let assemble = Assemble { name, config, sink };
    match config.source.chosen().map_err(wrong)? {
        Chosen::Kafka(kafka) => {
            let source = KafkaSource::connect(kafka.clone()).await?;
            let monitor = Monitor::Kafka(source.monitor());
            Ok((assemble.with(source)?, monitor))
        }
        Chosen::RocketMq(rocketmq) => {
            let queue = RocketMqQueue::connect(rocketmq.clone()).await?;
            let options = poller.apply(queue.options());
            let source = Poller::with_options(queue, options);
            let monitor = Monitor::Queue(source.monitor());
            let letters = source.dead_letters();
            let mut pipeline = assemble.with(source)?;
            if matches!(config.delivery.dead_letter, Some(DeadLetterConfig::Broker)) {
                pipeline = pipeline
                    .with_dead_letter(letters)
                    .with_on_exhausted(config.delivery.exhausted());
            }
            Ok((pipeline, monitor))
        }
        Chosen::Sqs(sqs) => {
            let queue = SqsQueue::connect(sqs.clone()).await?;
            let source = Poller::with_options(queue, poller.apply(Default::default()));
            let monitor = Monitor::Queue(source.monitor());
            Ok((assemble.with(source)?, monitor))
        }
        Chosen::Mns(mns) => {
            let queue = MnsQueue::connect(mns.clone()).await?;
            let source = Poller::with_options(queue, poller.apply(Default::default()));
            let monitor = Monitor::Queue(source.monitor());
            Ok((assemble.with(source)?, monitor))
        }
    }
}

fn wrong(message: String) -> Error {
    Error::new(
        eventlane::ErrorKind::Config,
        "configure the source",
        message,
    )
}

struct Assemble<'a> {
    name: &'a str,
    config: &'a PipelineConfig,
    sink: HttpSink,
}

impl Assemble<'_> {
    fn with(self, source: impl Source + 'static) -> Result<Pipeline, Error> {
        let delivery = &self.config.delivery;
        let mut pipeline = Pipeline::new(source, self.sink)
            .with_name(self.name)
            .with_ordering(delivery.ordering)
            .with_keyless(delivery.keyless)
            .with_budgets(delivery.budgets)
            .with_batch(delivery.batch)
            .with_retry(delivery.retry.clone())
            .with_commit_interval(delivery.commit_interval)
            .with_grace(delivery.grace.unwrap_or(crate::config::GRACE));
        if let Some(idle) = delivery.idle_timeout {
            pipeline = pipeline.with_idle_timeout(idle);
        }
        if let Some(seed) = delivery.seed {
            pipeline = pipeline.with_seed(seed);
        }
        pipeline = match &delivery.dead_letter {
            Some(DeadLetterConfig::Http(letters)) => pipeline.with_dead_letter(letters.open()?),
            Some(DeadLetterConfig::File(path)) => {
                pipeline.with_dead_letter(FileDeadLetter::open(path)?)
            }
            Some(DeadLetterConfig::Mns(config)) => {
                pipeline.with_dead_letter(MnsDeadLetter::new(config)?)
            }
            Some(DeadLetterConfig::Broker) | None => pipeline,
        };
        Ok(pipeline.with_on_exhausted(delivery.exhausted()))
    }
}
