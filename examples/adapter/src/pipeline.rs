//! From a pipeline's configuration to the pipeline.

use eventlane::{
    Error, ErrorKind, Pipeline, Source,
    queue::{Poller, PollerOptions},
    sink::FileDeadLetter,
};
use eventlane_kafka::{KafkaConfig, KafkaSink, KafkaSource};
use eventlane_mns::{MnsDeadLetter, MnsQueue};
use eventlane_rocketmq::RocketMqQueue;
use eventlane_sqs::SqsQueue;

use crate::{
    config::{Chosen, DeadLetterConfig, GRACE, PipelineConfig},
    extensions::Extended,
    live::{LiveLetters, LiveParts},
    replies::ReplySink,
    status::Monitor,
};

/// A pipeline that is connected, what can be seen of its source, and what can be changed of it.
#[derive(Debug)]
pub struct Built {
    /// Nothing is consumed before it runs.
    pub pipeline: Pipeline,
    /// Of its source.
    pub monitor: Monitor,
    /// Of it.
    pub live: LiveParts,
}

/// Connects to the source, and makes the pipeline.
///
/// # Errors
/// The library's: its kind says whether trying again may help.
pub async fn build(name: &str, config: &PipelineConfig) -> Result<Built, Error> {
    let poller = config.source.poller.clone().unwrap_or_default();
    let replies = match &config.sink.replies_to {
        Some(to) => Some(ReplySink::connect(to).await?),
        None => None,
    };
    let mut live = LiveParts::new(config, replies)?;
    let letters = Letters::open(config, &live).await?;
    let assemble = Assemble { name, config };
    let wrong = |message| Error::new(ErrorKind::Config, "configure the source", message);
    let (mut pipeline, monitor) = match config.source.chosen().map_err(wrong)? {
        Chosen::Kafka(kafka) => {
            let source = KafkaSource::connect(counting(kafka)).await?;
            let monitor = Monitor::Kafka(source.monitor());
            (assemble.with(source, &live), monitor)
        }
        Chosen::RocketMq(rocketmq) => {
            let rocketmq = live.follow_rocketmq(rocketmq);
            let queue = RocketMqQueue::connect(rocketmq).await?;
            let options = poller.apply(queue.options());
            let source = Poller::with_options(queue, options);
            let monitor = Monitor::Queue(source.monitor());
            let by_broker = source.dead_letters();
            let mut pipeline = assemble.with(source, &live);
            if matches!(letters, Letters::Broker) {
                pipeline = pipeline.with_dead_letter(by_broker);
            }
            (pipeline, monitor)
        }
        Chosen::Sqs(sqs) => {
            let queue = SqsQueue::connect(sqs.clone()).await?;
            let source = Poller::with_options(queue, poller.apply(PollerOptions::default()));
            let monitor = Monitor::Queue(source.monitor());
            (assemble.with(source, &live), monitor)
        }
        Chosen::Mns(mns) => {
            let queue = MnsQueue::connect(live.follow_mns(mns)).await?;
            let source = Poller::with_options(queue, poller.apply(PollerOptions::default()));
            let monitor = Monitor::Queue(source.monitor());
            (assemble.with(source, &live), monitor)
        }
    };
    pipeline = match letters {
        Letters::Live(letters) => pipeline.with_dead_letter(letters),
        Letters::File(file) => pipeline.with_dead_letter(file),
        Letters::Kafka(topic) => pipeline.with_dead_letter(topic),
        Letters::Mns(queue) => pipeline.with_dead_letter(queue),
        Letters::Broker | Letters::None => pipeline,
    };
    pipeline = pipeline.with_on_exhausted(config.delivery.exhausted());
    live.control = Some(pipeline.control());
    Ok(Built {
        pipeline,
        monitor,
        live,
    })
}

/// With what tells whether there is a connection, unless the user has an opinion.
fn counting(kafka: &KafkaConfig) -> KafkaConfig {
    const STATISTICS: &str = "statistics.interval.ms";
    let mut kafka = kafka.clone();
    let counts = kafka.properties.0.entry(STATISTICS.to_owned());
    counts.or_insert_with(|| "5000".to_owned());
    kafka
}

/// Where events go that are given up, opened.
enum Letters {
    None,
    /// An endpoint that can be exchanged.
    Live(LiveLetters),
    File(FileDeadLetter),
    Kafka(KafkaSink),
    Mns(MnsDeadLetter),
    /// The source's own.
    Broker,
}

impl Letters {
    async fn open(config: &PipelineConfig, live: &LiveParts) -> Result<Self, Error> {
        Ok(match &config.delivery.dead_letter {
            None => Self::None,
            Some(DeadLetterConfig::Http(_)) => match &live.letters {
                Some(letters) => Self::Live(letters.clone()),
                None => Self::None,
            },
            Some(DeadLetterConfig::File(path)) => Self::File(FileDeadLetter::open(path)?),
            Some(DeadLetterConfig::Kafka(config)) => {
                Self::Kafka(KafkaSink::connect((**config).clone()).await?)
            }
            Some(DeadLetterConfig::Mns(config)) => Self::Mns(MnsDeadLetter::new(config)?),
            Some(DeadLetterConfig::Broker) => Self::Broker,
        })
    }
}

struct Assemble<'a> {
    name: &'a str,
    config: &'a PipelineConfig,
}

impl Assemble<'_> {
    fn with(&self, source: impl Source + 'static, live: &LiveParts) -> Pipeline {
        let delivery = &self.config.delivery;
        let source = Extended::new(source, self.config.extensions.clone());
        let mut pipeline = Pipeline::new(source, live.sink.clone())
            .with_name(self.name)
            .with_ordering(delivery.ordering)
            .with_keyless(delivery.keyless)
            .with_budgets(delivery.budgets)
            .with_batch(delivery.batch)
            .with_retry(delivery.retry.clone())
            .with_commit_interval(delivery.commit_interval)
            .with_grace(delivery.grace.unwrap_or(GRACE));
        if let Some(idle) = delivery.idle_timeout {
            pipeline = pipeline.with_idle_timeout(idle);
        }
        match delivery.seed {
            Some(seed) => pipeline.with_seed(seed),
            None => pipeline,
        }
    }
}
