//! A producer that outlives what librdkafka does not recover from.
//!
//!
//! librdkafka's own thread calls [`Reports::delivery`] for each record once its fate is known; a
//! task waits for it on a channel. An idempotent producer can fail for good (the broker has lost
//! track of its records): from then on it refuses everything. It is replaced by a new one, and what
//! had failed is sent again by whoever waited for it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use eventlane::{Error, ErrorKind, Event, Result};
use rdkafka::{
    ClientConfig, ClientContext,
    client::OAuthToken,
    config::RDKafkaLogLevel as Level,
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::DeliveryResult,
    metadata::MetadataTopic,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::{
    sync::{RwLock, oneshot},
    time::{Instant, sleep},
};

use self::record::Outgoing;
use crate::{
    config::{KafkaSinkConfig, SharedProvider},
    context::Context,
    error,
    lag::KafkaMonitor,
};

mod record;

/// How long one question may take. Between two, librdkafka gets to say what went wrong.
const SLICE: Duration = Duration::from_millis(250);

const OPERATION: &str = "connect to Kafka";

/// What became of a record.
pub(crate) type Fate = std::result::Result<(), Code>;

pub(crate) struct Producer {
    config: KafkaSinkConfig,
    client: ClientConfig,
    current: Mutex<Current>,
    /// Held shared by whoever has records on their way, and alone by who wants no company.
    turn: RwLock<()>,
}

struct Current {
    /// `None` only when it is dropped.
    producer: Option<ThreadedProducer<Reports>>,
    generation: u64,
}

/// A record on its way.
struct Sent {
    fate: oneshot::Receiver<Fate>,
    generation: u64,
}

impl Producer {
    /// Creates the producer, and asks the brokers for the topic. Blocks.
    ///
    /// # Errors
    /// `Config` if librdkafka refuses a property, or there is no such topic; what the brokers say
    /// of us; `Unavailable` if they say nothing within the time for it.
    pub(crate) fn connect(config: KafkaSinkConfig) -> Result<Self> {
        config.validate()?;
        let client = config.client()?;
        let producer = create(&client, config.token_provider.clone())?;
        check(&producer, &config)
            .map_err(|error| error.with_context("brokers", &config.bootstrap_servers))?;
        Ok(Self {
            config,
            client,
            current: Mutex::new(Current {
                producer: Some(producer),
                generation: 0,
            }),
            turn: RwLock::new(()),
        })
    }

    pub(crate) fn config(&self) -> &KafkaSinkConfig {
        &self.config
    }

    /// Produces events in their order, and waits until all replicas have them or it is clear that
    /// they won't.
    ///
    /// Brokers refuse whole batches of records, which librdkafka makes of what is on its way to a
    /// partition. So what is refused goes again, by itself: only then is it the record's own fault.
    pub(crate) async fn produce(&self, events: &[Event]) -> Vec<Fate> {
        let mut fates = Vec::with_capacity(events.len());
        let mut suspects = Vec::new();
        let shared = self.turn.read().await;
        let sent: Vec<_> = events.iter().map(|event| self.send(event)).collect();
        for (at, sent) in sent.into_iter().enumerate() {
            let fate = match sent {
                Ok(sent) => {
                    let fate = self.stored(sent).await;
                    suspects.extend(is_refused(fate).then_some(at));
                    fate
                }
                // Not even put into the queue.
                Err(code) => Err(code),
            };
            fates.push(fate);
        }
        drop(shared);
        for at in suspects {
            let _alone = self.turn.write().await;
            // Of attempts that were given up there may still be records on their way.
            while self.on_their_way() > 0 {
                sleep(Duration::from_millis(2)).await;
            }
            fates[at] = match self.send(&events[at]) {
                Ok(sent) => self.stored(sent).await,
                Err(code) => Err(code),
            };
        }
        fates
    }

    fn on_their_way(&self) -> i32 {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current
            .producer
            .as_ref()
            .map_or(0, |producer| producer.in_flight_count())
    }

    /// Puts an event into the producer's queue. Records are sent in the order of these calls.
    fn send(&self, event: &Event) -> std::result::Result<Sent, Code> {
        let (producer, generation) = {
            let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            (current.producer.clone(), current.generation)
        };
        let outgoing = Outgoing::new(event, self.config.mode);
        let (report, fate) = oneshot::channel();
        let mut record = BaseRecord::with_opaque_to(&self.config.topic, Box::new(report))
            .headers(outgoing.headers);
        if let Some(key) = &outgoing.key {
            record = record.key(key.as_bytes());
        }
        if let Some(payload) = &outgoing.payload {
            record = record.payload(&payload[..]);
        }
        let sent = producer.ok_or(Code::PurgeQueue).and_then(|producer| {
            producer
                .send(record)
                .map_err(|(error, _)| error::code_of(&error).unwrap_or(Code::Fail))
        });
        match sent {
            Ok(()) => Ok(Sent { fate, generation }),
            Err(code) => {
                self.failed(code, generation);
                Err(code)
            }
        }
    }

    /// Waits until all replicas have a record.
    async fn stored(&self, sent: Sent) -> Fate {
        let fate = sent.fate.await.unwrap_or(Err(Code::PurgeQueue));
        if let Err(code) = fate {
            self.failed(code, sent.generation);
        }
        fate
    }

    /// Replaces a producer that has failed for good.
    fn failed(&self, code: Code, generation: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(producer) = current.producer.as_ref() else {
            return;
        };
        let fatal = producer.client().fatal_error();
        if current.generation != generation || (code != Code::Fatal && fatal.is_none()) {
            return;
        }
        let reason = fatal.map(|(_, reason)| reason).unwrap_or_default();
        match create(&self.client, self.config.token_provider.clone()) {
            Ok(new) => {
                tracing::warn!(topic = %self.config.topic, "the producer is made anew: {reason}");
                current.generation += 1;
                retire(current.producer.replace(new));
            }
            Err(error) => tracing::warn!(%error, "the producer can't be made anew"),
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let current = self
            .current
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        retire(current.producer.take());
    }
}

fn is_refused(fate: Fate) -> bool {
    fate.is_err_and(|code| error::classify_produce(code).0 == ErrorKind::Rejected)
}

/// Lets a producer go. That waits for its thread and for its records, half a second or more, which
/// nobody else must wait for.
fn retire(producer: Option<ThreadedProducer<Reports>>) {
    let name = "eventlane-kafka-retire".to_owned();
    if let Err(error) = thread::Builder::new()
        .name(name)
        .spawn(move || drop(producer))
    {
        tracing::debug!(%error, "no thread for a producer to end on");
    }
}

fn create(
    client: &ClientConfig,
    tokens: Option<SharedProvider>,
) -> Result<ThreadedProducer<Reports>> {
    let reports = Reports(Arc::new(Context::new(tokens, KafkaMonitor::default())));
    client
        .create_with_context(reports)
        .map_err(|error| error::from_kafka("configure Kafka", &error))
}

/// A topic that was just created is not known to every broker at once.
const SPREADS: Duration = Duration::from_secs(2);

/// Asks for the topic until there is an answer, something is found that asking again can't mend, or
/// the time is over.
fn check(producer: &ThreadedProducer<Reports>, config: &KafkaSinkConfig) -> Result<()> {
    let began = Instant::now();
    let end = began + config.connect_timeout;
    let context = &producer.context().0;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let asked = producer.client().fetch_metadata(
            Some(&config.topic),
            left.clamp(Duration::from_millis(1), SLICE),
        );
        let code = match asked {
            Ok(found) => match found.topics().first().and_then(MetadataTopic::error) {
                None => {
                    context.clear_faults();
                    return Ok(());
                }
                Some(code) => Code::from(code),
            },
            Err(error) => error::code_of(&error).unwrap_or(Code::Fail),
        };
        if let Some(error) = context.decisive_fault(OPERATION) {
            return Err(error);
        }
        let is_missing = matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition);
        let may_be_new = is_missing && began.elapsed() < SPREADS && !left.is_zero();
        if !may_be_new && !error::classify_produce(code).0.is_transient() {
            let error = error::produce(OPERATION, code, None);
            return Err(error.with_context("topic", &config.topic));
        }
        if left.is_zero() {
            let waited = config.connect_timeout.as_secs_f64();
            let reason = context.latest_fault().map(|(_, reason)| reason);
            let reason = match reason.filter(|reason| !reason.is_empty()) {
                Some(reason) => format!("no answer within {waited} s: {reason}"),
                None => format!("no answer within {waited} s"),
            };
            return Err(error::produce(OPERATION, code, Some(&reason)));
        }
        thread::park_timeout(SLICE / 5);
    }
}

/// What librdkafka calls back, on the producer's thread. Logs, errors and tokens are as the
/// consumer's.
struct Reports(Arc<Context>);

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: Level, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.0.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> std::result::Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.generate_oauth_token(config)
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<Fate>>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Self::DeliveryOpaque) {
        let fate = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(error::code_of(error).unwrap_or(Code::Fail)),
        };
        // Nobody waits any more if the attempt has timed out.
        let _nobody_waits = report.send(fate);
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The thread on which connecting blocked has ended without an answer.
pub(crate) fn interrupted() -> Error {
    let message = "the thread that connects has panicked";
    Error::new(ErrorKind::Unexpected, OPERATION, message)
}
