//! What the tests have in common.

use std::{
    io::Write,
    ops::Range,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use eventlane::{
    Error, ErrorKind, Source,
    source::{
        Action, Assignment, Delivery, Demand, Partition, Position, Receipt, Revocation, Settle,
        Settlement, Signal,
    },
};
use eventlane_kafka::{KafkaConfig, KafkaSource};
use eventlane_testkit::{Kafka, kafka::Options};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use tokio::time::{Instant, timeout_at};

/// How long what must come may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const PLENTY: Demand = Demand {
    records: 10_000,
    bytes: 64 << 20,
};

/// A configuration under which the group notices soon what happens to its members.
pub(crate) fn config(kafka: &Kafka, group: &str, topic: &str) -> KafkaConfig {
    KafkaConfig::new(kafka.bootstrap(), group, [topic]).with_session_timeout(Duration::from_secs(6))
}

/// A broker with SASL, TLS, eager compaction, little room for commit metadata, and no consumer
/// protocol.
pub(crate) fn special() -> Option<&'static Kafka> {
    static SPECIAL: OnceLock<Option<Kafka>> = OnceLock::new();
    let special = SPECIAL.get_or_init(|| {
        let set = [
            "offset.metadata.max.bytes=100",
            "log.cleaner.backoff.ms=100",
            "group.coordinator.rebalance.protocols=classic",
        ];
        Kafka::start_or_skip(Options {
            sasl: true,
            tls: true,
            set: set.map(str::to_owned).to_vec(),
            ..Options::default()
        })
    });
    special.as_ref()
}

/// Sends records to a partition, each with its number as the payload.
pub(crate) fn produce(kafka: &Kafka, topic: &str, partition: i32, numbers: Range<u32>) {
    let producer: ThreadedProducer<DefaultProducerContext> =
        kafka.client().create().expect("a producer");
    for number in numbers {
        let payload = number.to_string();
        let record = BaseRecord::<str, str>::to(topic)
            .partition(partition)
            .payload(&payload);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("there is room");
    }
    producer.flush(PATIENCE).expect("everything is sent");
}

/// A source, and what is known of it.
pub(crate) struct Reader {
    pub(crate) source: Box<KafkaSource>,
    pub(crate) settler: Arc<dyn Settle>,
    pub(crate) assigned: Vec<Assignment>,
    pub(crate) advanced: Vec<Position>,
}

impl Reader {
    pub(crate) async fn open(config: KafkaConfig) -> Self {
        let source = KafkaSource::connect(config).await.expect("connects");
        let settler = source.settler();
        Self {
            source: Box::new(source),
            settler,
            assigned: Vec::new(),
            advanced: Vec::new(),
        }
    }

    /// The next signal, within a time.
    pub(crate) async fn signal(&mut self, demand: Demand, within: Duration) -> Option<Signal> {
        let poll = timeout_at(Instant::now() + within, self.source.poll(demand));
        let signal = poll.await.ok()?.expect("no error");
        match &signal {
            Signal::Assigned(assignments) => self.assigned.extend(assignments.iter().cloned()),
            Signal::Advanced(positions) => self.advanced.extend(positions),
            Signal::Revoking(Revocation { partitions, .. }) | Signal::Lost(partitions) => {
                self.assigned
                    .retain(|assignment| !partitions.contains(&assignment.partition));
            }
            _ => {}
        }
        Some(signal)
    }

    /// So many deliveries.
    pub(crate) async fn read(&mut self, count: usize) -> Vec<Delivery> {
        let mut read = Vec::new();
        while read.len() < count {
            let demand = Demand {
                records: count - read.len(),
                ..PLENTY
            };
            match self.signal(demand, PATIENCE).await {
                Some(Signal::Deliveries(deliveries)) => read.extend(deliveries),
                Some(_) => {}
                None => panic!("only {} of {count} came: {read:?}", read.len()),
            }
        }
        read
    }

    /// What comes until nothing has come for a while.
    pub(crate) async fn read_all(&mut self) -> Vec<Delivery> {
        let mut read = Vec::new();
        while let Some(signal) = self.signal(PLENTY, Duration::from_millis(1500)).await {
            if let Signal::Deliveries(deliveries) = signal {
                read.extend(deliveries);
            }
        }
        read
    }

    /// Waits for a signal of which `pick` makes something.
    pub(crate) async fn wait<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(Signal) -> Option<T>,
    ) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.signal(Demand::NONE, left).await {
                Some(signal) => {
                    if let Some(picked) = pick(signal) {
                        return picked;
                    }
                }
                None => panic!("{what} did not come"),
            }
        }
    }

    pub(crate) async fn wait_assigned(&mut self, partitions: usize) {
        while self.assigned.len() < partitions {
            self.wait("an assignment", |signal| {
                matches!(signal, Signal::Assigned(_)).then_some(())
            })
            .await;
        }
    }

    pub(crate) async fn wait_revoking(&mut self) -> Revocation {
        self.wait("a revocation", |signal| match signal {
            Signal::Revoking(revocation) => Some(revocation),
            _ => None,
        })
        .await
    }

    /// The assignment of the partition with this number.
    pub(crate) fn partition(&self, number: i32) -> (Partition, u32) {
        let end = format!("/{number}");
        let assignment = self.assigned.iter().find(|one| one.name.ends_with(&end));
        let assignment = assignment.expect("it is assigned");
        (assignment.partition, assignment.epoch)
    }

    /// Settles everything below an offset of a partition, and returns the error, if any.
    pub(crate) async fn settle(
        &self,
        receipt: Receipt,
        beyond: &[Range<u64>],
    ) -> Result<(), Error> {
        let action = Action::DoneBelow {
            beyond: beyond.to_vec(),
        };
        let settled = self
            .settler
            .settle(vec![Settlement { receipt, action }])
            .await?;
        match settled.failed.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    pub(crate) async fn close(self) {
        self.source.close().await.expect("closes in time");
    }
}

pub(crate) fn offsets(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries
        .iter()
        .map(|delivery| delivery.receipt.seq)
        .collect()
}

/// The error of a connection that can't work, which must be one line and come in time.
pub(crate) async fn refused(config: KafkaConfig) -> (ErrorKind, String) {
    let start = Instant::now();
    let limit = config.connect_timeout + Duration::from_secs(3);
    let error = KafkaSource::connect(config)
        .await
        .expect_err("this can't work");
    assert!(
        start.elapsed() < limit,
        "after {:?}: {error}",
        start.elapsed()
    );
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    println!("{text}");
    (error.kind(), text)
}

/// What this process has logged so far.
pub(crate) fn log() -> String {
    String::from_utf8_lossy(&LOG.lock().expect("not poisoned")).into_owned()
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Keeps what is logged from now on.
pub(crate) fn keep_log() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(|| Tee)
            .init();
    });
}

struct Tee;

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
