//! What librdkafka calls back: rebalances, logs, errors, tokens. All on the consumer's thread.
//!
//!
//! A callback runs inside `consumer.poll`, in which nothing else of the consumer may be called that
//! waits, so each only takes note: a rebalance goes into a queue, a reason into [`Faults`]. The one
//! exception is the token provider, which librdkafka wants an answer from.
//!
//! rdkafka's `poll` returns nothing both when the queue is empty and when it ran a callback. The
//! flag `served` tells the two apart; without it a second event would wait for the next wake-up.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use eventlane::{Error, ErrorKind};
use rdkafka::{
    ClientContext, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel as Level,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code},
    types::RDKafkaRespErr,
};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::{config::SharedProvider, error, lag::KafkaMonitor};

/// Something that librdkafka wants done and then to be told of, at our leisure.
pub(crate) enum Rebalance {
    Assign(TopicPartitionList),
    Revoke(TopicPartitionList),
}

/// Handed to rdkafka, and read by the worker.
pub(crate) struct Context {
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// Set while the consumer closes: from then on rebalances are carried out on the spot.
    closing: AtomicBool,
    /// Set by every callback: `poll` returns the same for "did something" as for "nothing there".
    served: AtomicBool,
    faults: Mutex<Faults>,
    gate: Mutex<Gate>,
    tokens: Option<SharedProvider>,
    monitor: KafkaMonitor,
}

/// The reasons that librdkafka gives, which it does not give where the error is returned.
#[derive(Debug, Default)]
struct Faults {
    /// About credentials and certificates: waiting doesn't help.
    decisive: Option<(Code, String)>,
    latest: Option<(Code, String)>,
}

impl Context {
    pub(crate) fn new(tokens: Option<SharedProvider>, monitor: KafkaMonitor) -> Self {
        Self {
            rebalances: Mutex::default(),
            closing: AtomicBool::new(false),
            served: AtomicBool::new(false),
            faults: Mutex::default(),
            gate: Mutex::default(),
            tokens,
            monitor,
        }
    }

    /// The next thing that librdkafka waits for, in the order in which it asked.
    pub(crate) fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    /// From now on a rebalance is carried out within its callback: the worker has ended, and
    /// destroying the consumer would wait for an answer without end.
    pub(crate) fn set_closing(&self) {
        self.closing.store(true, Relaxed);
    }

    /// Whether a callback has run since the last call.
    pub(crate) fn take_served(&self) -> bool {
        self.served.swap(false, Relaxed)
    }

    /// Forgets what went wrong: it works now.
    pub(crate) fn clear_faults(&self) {
        *lock(&self.faults) = Faults::default();
    }

    /// An error about credentials or certificates, if there was one.
    pub(crate) fn decisive_fault(&self, operation: &'static str) -> Option<Error> {
        let faults = lock(&self.faults);
        let (code, reason) = faults.decisive.as_ref()?;
        Some(error::from_code(operation, *code, Some(reason)))
    }

    /// What went wrong last, and why.
    pub(crate) fn latest_fault(&self) -> Option<(Code, String)> {
        let faults = lock(&self.faults);
        faults.decisive.clone().or_else(|| faults.latest.clone())
    }

    /// Carries out an assignment or a revocation, in the way that the group's protocol wants: with
    /// cooperative rebalancing the list is a difference, otherwise it is everything.
    ///
    /// # Errors
    /// librdkafka's own.
    pub(crate) fn apply(consumer: &BaseConsumer<Self>, rebalance: &Rebalance) -> KafkaResult<()> {
        let incremental = matches!(
            consumer.rebalance_protocol(),
            RebalanceProtocol::Cooperative
        );
        match (rebalance, incremental) {
            (Rebalance::Assign(list), true) => consumer.incremental_assign(list),
            (Rebalance::Assign(list), false) => consumer.assign(list),
            (Rebalance::Revoke(list), true) => consumer.incremental_unassign(list),
            (Rebalance::Revoke(_), false) => consumer.unassign(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ConsumerContext for Context {
    /// Only takes note: the worker drains before it lets librdkafka go on, and must not block in
    /// here, where nothing is polled. librdkafka waits until it is told, and keeps up the heartbeat
    /// meanwhile.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.served.store(true, Relaxed);
        let list = list.clone();
        let rebalance = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(list),
            _ => Rebalance::Revoke(list),
        };
        if self.closing.load(Relaxed) {
            if let Err(error) = Self::apply(consumer, &rebalance) {
                tracing::debug!(%error, "rebalance while closing");
            }
        } else {
            lock(&self.rebalances).push_back(rebalance);
        }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    /// To `tracing`. Warnings and worse pass the [`Gate`], by facility.
    fn log(&self, level: Level, facility: &str, message: &str) {
        self.served.store(true, Relaxed);
        match level {
            Level::Debug => tracing::debug!(facility, "librdkafka: {message}"),
            Level::Info | Level::Notice => tracing::info!(facility, "librdkafka: {message}"),
            Level::Warning | Level::Error | Level::Critical | Level::Alert | Level::Emerg => {
                if let Some(suppressed) = lock(&self.gate).pass(facility) {
                    tracing::warn!(facility, suppressed, "librdkafka: {message}");
                }
            }
        }
    }

    /// Of all that librdkafka counts, only whether any connection stands is of interest, and that
    /// is said by two words: reading the whole would cost more with each partition.
    fn stats_raw(&self, statistics: &[u8]) {
        const UP: &[u8] = br#""state":"UP""#;
        self.served.store(true, Relaxed);
        let up = statistics.windows(UP.len()).any(|part| part == UP);
        self.monitor.set_connected(up);
    }

    /// Keeps the reason, which is not there where the error itself is returned.
    fn error(&self, error: KafkaError, reason: &str) {
        self.served.store(true, Relaxed);
        let Some(code) = error::code_of(&error) else {
            return;
        };
        let mut faults = lock(&self.faults);
        match code {
            // Says how many, not why.
            Code::AllBrokersDown if faults.latest.is_some() => {}
            Code::Authentication
            | Code::SSL
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState => {
                faults.decisive = Some((code, reason.to_owned()));
            }
            _ => faults.latest = Some((code, reason.to_owned())),
        }
    }

    /// Asks the provider, on the consumer's thread. Its error is shown to people as it is.
    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.served.store(true, Relaxed);
        let Some(SharedProvider(provider)) = &self.tokens else {
            return Err("no token provider is configured".into());
        };
        let token = provider.token().map_err(|error| {
            let reason = error.to_string().replace('\0', " ");
            lock(&self.faults).decisive = Some((Code::Authentication, reason.clone()));
            reason
        })?;
        let expires = token.expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(OAuthToken {
            token: token.value.expose_secret().to_owned(),
            principal_name: token.principal,
            lifetime_ms: i64::try_from(expires.as_millis()).unwrap_or(i64::MAX),
        })
    }
}

/// Lets one line of each facility through in a while: a broker that turns us away makes librdkafka
/// log twenty lines a second.
#[derive(Debug, Default)]
struct Gate(HashMap<Cow<'static, str>, (Option<Instant>, u64)>);

impl Gate {
    const REST: Duration = Duration::from_secs(10);

    /// How many were suppressed before this one, unless this one is.
    fn pass(&mut self, facility: &str) -> Option<u64> {
        let now = Instant::now();
        let (last, suppressed) = self.0.entry(Cow::Owned(facility.to_owned())).or_default();
        if last.is_some_and(|last| now < last + Self::REST) {
            *suppressed += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(suppressed))
    }
}

/// An error of the kind `Unexpected` about librdkafka itself.
pub(crate) fn unexpected(operation: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::Unexpected, operation, message)
}
