//! The start: is there a broker, does it know us, are the topics there, may we read them?
//!
//!
//! Runs on the consumer's thread, before the worker: nobody else polls the consumer meanwhile, and
//! blocking is allowed. Asks with the lightest requests that meet each permission:
//!
//! | question | request | what it finds |
//! |---|---|---|
//! | each topic by name | Metadata | no broker, credentials, no such topic, no Describe on it |
//! | patterns only | Metadata of a name that is always there | no broker, credentials |
//! | the group | OffsetFetch of one partition for each topic | no Describe on it, no coordinator |
//!
//! That Read on a topic or on the group is missing shows only when records are fetched or the group
//! is joined: the first polls report it.

use std::{task::Waker, thread, time::Duration};

use eventlane::{Error, ErrorKind, Result};
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use tokio::time::Instant;

use crate::{
    config::KafkaConfig,
    context::{Context, unexpected},
    error,
    lag::KafkaMonitor,
    native,
};

/// How long one question may take. Between two, librdkafka gets to say what went wrong, and to ask
/// for tokens.
// librdkafka answers a failed handshake with a plain timeout; the reason comes by its callback.
const SLICE: Duration = Duration::from_millis(250);

const OPERATION: &str = "connect to Kafka";

/// Creates the consumer. Nothing is sent to the broker before [`check`].
/// `wake` is woken when it has something to say.
///
/// # Errors
/// `Config`, with the name of the property, if librdkafka refuses one, or a value of it.
pub(crate) fn create(
    config: &KafkaConfig,
    wake: Waker,
    monitor: KafkaMonitor,
) -> Result<BaseConsumer<Context>> {
    let context = Context::new(config.token_provider.clone(), monitor);
    let consumer: KafkaResult = config.client()?.create_with_context(context);
    let mut consumer = consumer.map_err(|error| error::from_kafka("configure Kafka", &error))?;
    consumer.set_nonempty_callback(move || wake.wake_by_ref());
    Ok(consumer)
}

type KafkaResult = std::result::Result<BaseConsumer<Context>, KafkaError>;

/// Asks the broker what can be asked before the group is joined.
///
/// # Errors
/// What [`Check::ask`] makes of the first question that finds no good answer. The faults noted on
/// the way are forgotten only on success: a failure has used them.
pub(crate) fn check(consumer: &BaseConsumer<Context>, config: &KafkaConfig) -> Result<()> {
    let check = Check {
        consumer,
        config,
        end: Instant::now() + config.connect_timeout,
    };
    let patterns = config.topics.iter().any(|topic| topic.starts_with('^'));
    let mut partitions = TopicPartitionList::new();
    for topic in config.topics.iter().filter(|topic| !topic.starts_with('^')) {
        check.topic(topic)?;
        partitions.add_partition(topic, 0);
    }
    if patterns && partitions.count() == 0 {
        check.reachable()?;
    }
    check.group(partitions)?;
    consumer.context().clear_faults();
    Ok(())
}

/// Joins the group. The answer comes as a rebalance.
///
/// Asynchronous: librdkafka finds the coordinator and joins on threads of its own.
pub(crate) fn join(consumer: &BaseConsumer<Context>, config: &KafkaConfig) -> Result<()> {
    let topics: Vec<_> = config.topics.iter().map(String::as_str).collect();
    let joined = consumer.subscribe(&topics);
    joined.map_err(|error| error::from_kafka("subscribe", &error))
}

/// The questions, with one deadline for all of them together.
struct Check<'a> {
    consumer: &'a BaseConsumer<Context>,
    config: &'a KafkaConfig,
    end: Instant,
}

impl Check<'_> {
    /// Asks until there is an answer, something is found that asking again can't mend, or the time
    /// is over.
    ///
    /// An error that may pass (a broker that starts, a leader that moves) is asked again until the
    /// deadline; any other ends it at once. Credentials that are refused end it although the
    /// request itself only timed out: the callback has noted it ([`Context::decisive_fault`]).
    fn ask<T>(
        &self,
        mut question: impl FnMut(Duration) -> std::result::Result<T, Code>,
    ) -> Result<T> {
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            let code = match question(left.clamp(Duration::from_millis(1), SLICE)) {
                Ok(answer) => return Ok(answer),
                Err(code) => code,
            };
            let mut said = None;
            // What librdkafka wants to say meanwhile.
            loop {
                match self.consumer.poll(Duration::ZERO) {
                    Some(Err(error)) => {
                        let code = error::code_of(&error);
                        said =
                            said.or(code.filter(|code| !error::classify(*code).0.is_transient()));
                    }
                    Some(Ok(_)) => {
                        return Err(unexpected(
                            OPERATION,
                            "a record before the group was joined",
                        ));
                    }
                    None if self.consumer.context().take_served() => {}
                    None => break,
                }
            }
            if let Some(error) = self.consumer.context().decisive_fault(OPERATION) {
                return Err(self.complete(error));
            }
            let code = said.unwrap_or(code);
            if !error::classify(code).0.is_transient() {
                return Err(self.complete(error::from_code(OPERATION, code, None)));
            }
            if left.is_zero() {
                return Err(self.complete(self.silence(code)));
            }
            // A question that fails at once must not be asked in a tight loop.
            thread::park_timeout(SLICE / 5);
        }
    }

    /// The error when time is over: librdkafka's last reason says more than the time-out does.
    fn silence(&self, code: Code) -> Error {
        let reason = self
            .consumer
            .context()
            .latest_fault()
            .map(|(_, reason)| reason);
        let waited = self.config.connect_timeout.as_secs_f64();
        let reason = reason.filter(|reason| !reason.is_empty());
        let reason = match reason {
            Some(reason) => format!("no answer within {waited} s: {reason}"),
            None => format!("no answer within {waited} s"),
        };
        error::from_code(OPERATION, code, Some(&reason))
    }

    fn complete(&self, error: Error) -> Error {
        error.with_context("brokers", &self.config.bootstrap_servers)
    }

    /// Whether a broker answers at all, where there is no topic to ask for.
    fn reachable(&self) -> Result<()> {
        self.ask(|slice| {
            // An unknown name costs the broker less than the list of all topics, and creates
            // nothing.
            let asked = self
                .consumer
                .fetch_metadata(Some("__consumer_offsets"), slice);
            asked
                .map(drop)
                .map_err(|error| error::code_of(&error).unwrap_or(Code::Fail))
        })
    }

    /// Whether the topic exists and may be described. The broker says it within the answer, as an
    /// error of the topic, while the request itself succeeds.
    fn topic(&self, topic: &str) -> Result<()> {
        let found = self.ask(|slice| {
            let metadata = self.consumer.fetch_metadata(Some(topic), slice);
            let metadata =
                metadata.map_err(|error| error::code_of(&error).unwrap_or(Code::Fail))?;
            let error = metadata
                .topics()
                .first()
                .and_then(rdkafka::metadata::MetadataTopic::error);
            match error.map(Code::from) {
                None => Ok(()),
                Some(code) => Err(code),
            }
        });
        found.map_err(|error| error.with_context("topic", topic))
    }

    /// Whether the group may be asked about. Only that: an error of a partition by itself (a topic
    /// that has just been created, say) is none of the group's, and passes.
    fn group(&self, partitions: TopicPartitionList) -> Result<()> {
        let mut partitions = partitions;
        if partitions.count() == 0 {
            // Any partition will do, since it is the group that is asked about.
            partitions.add_partition("__consumer_offsets", 0);
        }
        let asked = self.ask(|slice| {
            let answer = self.consumer.committed_offsets(partitions.clone(), slice);
            let answer = answer.map_err(|error| error::code_of(&error).unwrap_or(Code::Fail))?;
            let denied = native::entries(&answer)
                .into_iter()
                .map(|entry| error::code(entry.code));
            match denied
                .into_iter()
                .find(|code| *code == Code::GroupAuthorizationFailed)
            {
                Some(code) => Err(code),
                None => Ok(()),
            }
        });
        asked
            .map_err(|error| match error.kind() {
                ErrorKind::Unavailable => {
                    error.with_context("waiting for", "the group's coordinator")
                }
                _ => error,
            })
            .map_err(|error| error.with_context("group", &self.config.group))
    }
}
