//! Records by the hundred thousand, numbered within their key.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::time::Instant;

/// Which keys records get. Keys are `k0`, `k1` and so on.
#[derive(Clone, Debug)]
pub enum Keys {
    /// So many, one after the other.
    InTurn(u64),
    /// So many, drawn from a Zipf distribution of exponent 1: the most frequent first.
    Zipf(u64),
}

/// Sends records whose payload is the JSON object `{"key": "k17", "seq": 4, "pad": "…"}`, where
/// `seq` counts from 0 within the key. Acknowledged by all replicas, in order and without
/// duplicates, whatever happens to the brokers.
pub struct Producer {
    producer: ThreadedProducer<Failures>,
    topic: String,
    keys: Keys,
    sent: Vec<u64>,
    turn: u64,
    // The distribution function of the keys, for Zipf.
    cumulative: Vec<f64>,
    random: fastrand::Rng,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("topic", &self.topic)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Failures(AtomicU64);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Producer {
    pub(super) fn new(mut config: ClientConfig, topic: &str, keys: Keys) -> Self {
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            // By default it stays away for up to 10 s from a broker that is back.
            .set("reconnect.backoff.max.ms", "1000")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "131072");
        let (count, cumulative) = match keys {
            Keys::InTurn(count) => (count, Vec::new()),
            Keys::Zipf(count) => (count, cumulative(count)),
        };
        Self {
            producer: config
                .create_with_context(Failures::default())
                .expect("producer"),
            topic: topic.to_owned(),
            keys,
            sent: vec![0; count as usize],
            turn: 0,
            cumulative,
            random: fastrand::Rng::with_seed(1),
        }
    }

    /// Numbers go on from `seq` with every key, which others have sent.
    pub fn begin_at(&mut self, seq: u64) {
        self.sent.fill(seq);
    }

    /// Sends `count` records of about `size` bytes.
    pub fn send(&mut self, count: u64, size: usize) {
        let mut payload = String::with_capacity(size + 64);
        let padding = "x".repeat(size);
        for _ in 0..count {
            let at = self.next_key();
            let key = format!("k{at}");
            payload.clear();
            write!(
                payload,
                r#"{{"key":"{key}","seq":{},"pad":""#,
                self.sent[at]
            )
            .expect("writing to a string");
            payload.push_str(&padding[..size.saturating_sub(payload.len() + 2)]);
            payload.push_str("\"}");
            self.sent[at] += 1;
            self.enqueue(&key, &payload);
        }
    }

    /// Sends `rate` records a second, evenly, for so long.
    pub fn send_at_rate(&mut self, rate: u64, size: usize, length: Duration) {
        self.send_evenly((rate as f64 * length.as_secs_f64()) as u64, rate, size);
    }

    /// Sends `count` records, `rate` of them a second.
    pub fn send_evenly(&mut self, count: u64, rate: u64, size: usize) {
        let start = Instant::now();
        let mut sent = 0;
        while sent < count {
            let due = ((rate as f64 * start.elapsed().as_secs_f64()) as u64).min(count);
            self.send(due - sent, size);
            sent = due;
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the brokers have everything. Panics if they have not taken something, or not
    /// within two minutes.
    pub fn flush(&self) {
        self.producer
            .flush(Duration::from_secs(120))
            .expect("everything is sent within two minutes");
        assert_eq!(
            self.producer.context().0.load(Ordering::Relaxed),
            0,
            "records that the brokers did not take"
        );
    }

    /// How many records each key was sent: `k0` first.
    pub fn sent(&self) -> &[u64] {
        &self.sent
    }

    /// How many records were sent in all.
    pub fn total(&self) -> u64 {
        self.sent.iter().sum()
    }

    fn next_key(&mut self) -> usize {
        if self.cumulative.is_empty() {
            self.turn += 1;
            return ((self.turn - 1) % self.sent.len() as u64) as usize;
        }
        let drawn = self.random.f64();
        self.cumulative
            .partition_point(|sum| *sum < drawn)
            .min(self.sent.len() - 1)
    }

    fn enqueue(&self, key: &str, payload: &str) {
        let mut record = BaseRecord::to(&self.topic).key(key).payload(payload);
        while let Err((error, refused)) = self.producer.send(record) {
            assert_eq!(
                error,
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull),
                "produce to {}",
                self.topic
            );
            record = refused;
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn cumulative(count: u64) -> Vec<f64> {
    let total: f64 = (1..=count).map(|rank| 1.0 / rank as f64).sum();
    let sum = |sum: &mut f64, rank: u64| {
        *sum += 1.0 / rank as f64 / total;
        Some(*sum)
    };
    (1..=count).scan(0.0, sum).collect()
}
