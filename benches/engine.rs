//! What the engine itself costs per event: a source that has everything at hand, a sink that takes
//! everything.
//!
//! `cargo bench --bench engine`. The time shown is the time per event; the target is 500 ns with
//! key order.
#![allow(clippy::disallowed_types, reason = "a bench measures real time")]

use std::{
    borrow::Cow,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use eventlane::{
    BatchPolicy, Capability, Event, Ordering, Pipeline, Result, Source,
    event::Data,
    sink::{Batch, Outcome, Sink, Verdict},
    source::{
        Assignment, Delivery, Demand, Partition, Receipt, Settle, Settled, Settlement, Signal,
    },
};

const PARTITIONS: u32 = 4;
const KEYS: usize = 1000;
/// Deliveries that are made ready in advance for one run of a pipeline.
const RUN: u64 = 200_000;

fn engine(c: &mut Criterion) {
    let keys: [(&str, Ordering, Keys); 4] = [
        ("none", Ordering::None, Keys::Uniform),
        ("partition", Ordering::Partition, Keys::Uniform),
        ("key/uniform", Ordering::Key, Keys::Uniform),
        ("key/zipf", Ordering::Key, Keys::Zipf),
    ];
    let feed = [Keys::Uniform, Keys::Zipf].map(Feed::new);
    for (answers, at_once) in [("at once", true), ("later", false)] {
        for batch in [1, 100] {
            let mut group = c.benchmark_group(format!("engine/answers {answers}/batch {batch}"));
            group
                .throughput(Throughput::Elements(1))
                .sampling_mode(SamplingMode::Flat)
                .sample_size(10)
                .warm_up_time(Duration::from_millis(500))
                .measurement_time(Duration::from_secs(3));
            for (name, ordering, keys) in keys {
                group.bench_function(name, |bench| {
                    bench.iter_custom(|events| {
                        time(&feed[keys as usize], ordering, batch, at_once, events)
                    });
                });
            }
        }
    }
}

/// How long it takes to carry so many events.
fn time(feed: &Feed, ordering: Ordering, batch: usize, at_once: bool, events: u64) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut took = Duration::ZERO;
    let mut left = events;
    while left > 0 {
        let count = left.min(RUN);
        left -= count;
        let pipeline = Pipeline::new(feed.source(count), Taker { at_once })
            .with_ordering(ordering)
            .with_batch(BatchPolicy::new(batch, Duration::ZERO));
        let start = Instant::now();
        let report = runtime.block_on(pipeline.run()).expect("runs through");
        took += start.elapsed();
        assert_eq!((report.delivered, report.unsettled), (count, 0));
    }
    took
}

#[derive(Clone, Copy)]
enum Keys {
    Uniform,
    Zipf,
}

/// One event for each key, and the keys in the order of delivery.
struct Feed {
    events: Vec<Event>,
    order: Vec<usize>,
}

impl Feed {
    fn new(keys: Keys) -> Self {
        let mut random = fastrand::Rng::with_seed(1);
        let data = Data::json(format!(r#"{{"text":"{}"}}"#, "x".repeat(208))).expect("JSON");
        let event = |key: usize| {
            Event::builder()
                .id(format!(
                    "partition:{}/offset:{key}",
                    key as u32 % PARTITIONS
                ))
                .source("/apis/v1/namespaces/default/kafkasources/bench#events")
                .ty("dev.knative.kafka.event")
                .subject(format!("partition:{}#{key}", key as u32 % PARTITIONS))
                .extension("partitionkey", format!("viewer-{key}"))
                .data(data.clone())
                .build()
                .expect("a valid event")
        };
        // Zipf with exponent 1: the k-th key comes in proportion to 1/k.
        let mut sum = 0.0;
        let shares: Vec<f64> = (1..=KEYS)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        let pick = |random: &mut fastrand::Rng| match keys {
            Keys::Uniform => random.usize(..KEYS),
            Keys::Zipf => {
                let at = random.f64() * sum;
                shares.partition_point(|&share| share < at).min(KEYS - 1)
            }
        };
        Self {
            events: (0..KEYS).map(event).collect(),
            order: (0..RUN).map(|_| pick(&mut random)).collect(),
        }
    }

    fn source(&self, count: u64) -> Ready {
        let mut next = [0; PARTITIONS as usize];
        let deliveries: Vec<Delivery> = self
            .order
            .iter()
            .take(count as usize)
            .map(|&key| {
                let at = key % PARTITIONS as usize;
                let receipt = Receipt {
                    partition: Partition(at as u32),
                    epoch: 1,
                    seq: next[at],
                };
                next[at] += 1;
                let event = self.events[key].clone();
                // A key of its own, as a consumer that copies it out of a record has.
                Delivery::new(receipt, event).with_key(format!("viewer-{key}"))
            })
            .collect();
        Ready {
            assigned: false,
            deliveries: deliveries.into_iter(),
        }
    }
}

/// A source that has everything at hand.
struct Ready {
    assigned: bool,
    deliveries: std::vec::IntoIter<Delivery>,
}

#[async_trait]
impl Source for Ready {
    fn capability(&self) -> Capability {
        Capability::log()
    }

    fn settler(&self) -> Arc<dyn Settle> {
        Arc::new(Taker { at_once: true })
    }

    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        if !self.assigned {
            self.assigned = true;
            let assignments = (0..PARTITIONS).map(|partition| Assignment {
                partition: Partition(partition),
                epoch: 1,
                name: format!("events/{partition}").into(),
            });
            return Ok(Signal::Assigned(assignments.collect()));
        }
        if self.deliveries.as_slice().is_empty() {
            return Ok(Signal::End);
        }
        if demand.is_none() {
            return std::future::pending().await;
        }
        // A Kafka consumer hands out some hundreds at a time.
        let count = demand.records.min(500);
        Ok(Signal::Deliveries(
            self.deliveries.by_ref().take(count).collect(),
        ))
    }

    fn pause(&mut self, _: &[Partition]) -> Result<()> {
        Ok(())
    }

    fn resume(&mut self, _: &[Partition]) -> Result<()> {
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Takes everything, events and settlements.
struct Taker {
    /// Otherwise when it is asked a second time, as a sink that waits for a response.
    at_once: bool,
}

#[async_trait]
impl Sink for Taker {
    async fn send(&self, batch: Batch) -> Outcome {
        black_box(&batch);
        if !self.at_once {
            tokio::task::yield_now().await;
        }
        Outcome::All(Verdict::Delivered)
    }

    fn destination(&self) -> Cow<'_, str> {
        "nowhere".into()
    }
}

#[async_trait]
impl Settle for Taker {
    async fn settle(&self, _: Vec<Settlement>) -> Result<Settled> {
        Ok(Settled::default())
    }
}

criterion_group!(benches, engine);
criterion_main!(benches);
