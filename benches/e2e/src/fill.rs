//! Fills topics.

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use eventlane_testkit::Kafka;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode::QueueFull},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};
use serde::Serialize;

use crate::check;

pub(crate) const KEYS: usize = 1000;
const PARTITIONS: u16 = 4;

/// How often each key comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Keys {
    /// All alike.
    Uniform,
    /// The k-th in proportion to 1/k: the first has an eighth of all.
    Zipf,
}

/// Draws keys, and numbers the records of each.
pub(crate) struct Records {
    random: fastrand::Rng,
    // The distribution function, for Zipf.
    sums: Vec<f64>,
    next: Vec<u64>,
    size: usize,
    text: String,
}

impl Records {
    pub(crate) fn new(keys: Keys, size: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=KEYS).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self {
            random: fastrand::Rng::with_seed(1),
            sums: match keys {
                Keys::Uniform => Vec::new(),
                Keys::Zipf => sums.collect(),
            },
            next: vec![0; KEYS],
            size,
            text: String::new(),
        }
    }

    /// The key and the payload of the next record.
    fn next(&mut self, at: u64) -> (String, &str) {
        let key = match self.sums.last() {
            None => self.random.usize(..KEYS),
            Some(sum) => {
                let drawn = self.random.f64() * sum;
                self.sums.partition_point(|sum| *sum < drawn).min(KEYS - 1)
            }
        };
        let seq = self.next[key];
        self.next[key] += 1;
        check::payload(key, seq, at, self.size, &mut self.text);
        (format!("viewer-{key}"), &self.text)
    }
}

/// A producer for a topic of its own.
pub(crate) struct Filler {
    producer: ThreadedProducer<DefaultProducerContext>,
    pub(crate) topic: String,
    records: Records,
}

impl Filler {
    /// For a new topic. With `linger`, records wait a little for company.
    pub(crate) fn new(kafka: &Kafka, records: Records, linger: bool) -> Self {
        let producer = kafka
            .client()
            .set("linger.ms", if linger { "5" } else { "0" })
            .set("enable.idempotence", "true")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "131072")
            .create()
            .expect("a producer can be made");
        Self {
            producer,
            topic: kafka.topic(PARTITIONS),
            records,
        }
    }

    /// Sends one record that was to be sent at `at`.
    fn send(&mut self, at: u64) {
        let (key, payload) = self.records.next(at);
        let mut record = BaseRecord::to(&self.topic).key(&key).payload(payload);
        while let Err((error, refused)) = self.producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(QueueFull));
            record = refused;
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends so many records, as fast as they go, whose age is of no interest.
    pub(crate) fn fill(&mut self, count: u64) {
        (0..count).for_each(|_| self.send(0));
        self.flush();
    }

    /// Sends `count` records at `rate` a second. A record's time is when it was to be sent, not
    /// when that came about.
    pub(crate) fn stream(&mut self, count: u64, rate: u64) {
        let (start, began) = (Instant::now(), check::now());
        let mut sent = 0;
        while sent < count {
            let due = (start.elapsed().as_micros() as u64 * rate / 1_000_000).min(count);
            while sent < due {
                self.send(began + sent * 1_000_000 / rate);
                sent += 1;
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.flush();
    }

    fn flush(&self) {
        let flushed = self.producer.flush(Duration::from_secs(60));
        flushed.expect("the broker takes everything within a minute");
    }
}
