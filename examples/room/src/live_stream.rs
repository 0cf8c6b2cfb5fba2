//! The simulated live stream: puts what the crowd does into a Kafka topic, in calm times and in
//! surges.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use eventlane::Progress;
use rdkafka::{
    ClientConfig, ClientContext,
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::crowd::{Audience, Crowd};

/// The embedded Kafka keeps 5 MiB of a partition and forgets what is older, read or not. A real one
/// keeps days; here the stream has to wait when so many events, of about 100 bytes each, are
/// unread.
const MOST_UNREAD: u64 = 30_000;

/// How often events are put into the topic.
const TICK: Duration = Duration::from_millis(10);

/// The stream, seen from outside while it runs.
#[derive(Debug)]
pub struct LiveStream {
    pub audience: Audience,
    surging: AtomicBool,
    asked_to_surge: AtomicBool,
    waiting: AtomicBool,
    failed: AtomicU64,
}

/// How it runs.
#[derive(Clone, Debug)]
pub struct Script {
    pub brokers: String,
    pub topic: String,
    /// Events per second when it is calm.
    pub rate: f64,
    pub seed: u64,
}

impl LiveStream {
    pub fn new(viewers: usize) -> Arc<Self> {
        Arc::new(Self {
            audience: Audience::new(viewers),
            surging: AtomicBool::new(false),
            asked_to_surge: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            failed: AtomicU64::new(0),
        })
    }

    /// Whether more comes than usual.
    pub fn is_surging(&self) -> bool {
        self.surging.load(Relaxed)
    }

    /// Lets a surge begin now.
    pub fn surge(&self) {
        self.asked_to_surge.store(true, Relaxed);
    }

    /// Whether it waits because Kafka holds as much unread as it can.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Relaxed)
    }

    /// Produces until `stop`, then until Kafka has everything. `progress` tells how much has been
    /// read from the topic.
    ///
    /// # Errors
    /// If Kafka does not take an event.
    pub async fn run(
        self: Arc<Self>,
        script: Script,
        progress: Arc<Progress>,
        stop: CancellationToken,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let producer: ThreadedProducer<Receipts> = ClientConfig::new()
            .set("bootstrap.servers", &script.brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create_with_context(Receipts(Arc::clone(&self)))?;
        let mut random = fastrand::Rng::with_seed(script.seed);
        let mut crowd = Crowd::new(&self.audience, random.u64(..));
        let mut tide = Tide::new(random);
        let headers = OwnedHeaders::new().insert(Header {
            key: "content-type",
            value: Some("application/json"),
        });

        let start = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut due, mut last) = (0.0, start);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let now = Instant::now();
            // After a pause of the machine the stream goes on; it does not catch up.
            let passed = (now - last).min(10 * TICK).as_secs_f64();
            last = now;
            let at = (now - start).as_secs_f64();
            if self.asked_to_surge.swap(false, Relaxed) {
                tide.surge_at(at);
            }
            due += passed * script.rate * tide.height(at);
            self.surging.store(tide.is_high(), Relaxed);
            let waits = self.audience.sent().saturating_sub(progress.received()) > MOST_UNREAD;
            self.waiting.store(waits, Relaxed);
            if waits {
                due = 0.0;
            }
            while due >= 1.0
                && let Some(act) = crowd.act(&self.audience)
            {
                due -= 1.0;
                let value = serde_json::to_vec(&act)?;
                let record = BaseRecord::to(&script.topic)
                    .key(&act.viewer)
                    .payload(&value)
                    .headers(headers.clone());
                // The producer's queue, of 100,000 by default, has room for all that may be unread.
                producer.send(record).map_err(|(error, _)| error)?;
            }
        }
        self.surging.store(false, Relaxed);
        self.waiting.store(false, Relaxed);
        // Dropping a producer waits for its thread: neither belongs on a worker of the runtime.
        tokio::task::spawn_blocking(move || producer.flush(Duration::from_secs(10))).await??;
        match self.failed.load(Relaxed) {
            0 => Ok(()),
            lost => Err(format!("Kafka refused {lost} events").into()),
        }
    }
}

/// Learns what became of each record.
struct Receipts(Arc<LiveStream>);

impl ClientContext for Receipts {}

impl ProducerContext for Receipts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.failed.fetch_add(1, Relaxed);
        }
    }
}

/// How the interest in a stream goes up and down: a slow swell, and now and then a surge.
#[derive(Debug)]
struct Tide {
    random: fastrand::Rng,
    surge: (f64, f64),
    high: bool,
}

impl Tide {
    /// A surge brings so many times the usual rate.
    const SURGE: f64 = 3.0;
    /// It takes so many seconds to build up, and to go.
    const SLOPE: f64 = 0.7;

    fn new(random: fastrand::Rng) -> Self {
        let mut tide = Self {
            random,
            surge: (0.0, 0.0),
            high: false,
        };
        tide.surge = tide.next_surge(0.0);
        tide
    }

    fn next_surge(&mut self, after: f64) -> (f64, f64) {
        let from = after + 8.0 + 8.0 * self.random.f64();
        (from, from + 4.0 + 3.0 * self.random.f64())
    }

    /// Begins a surge, unless there is one.
    fn surge_at(&mut self, at: f64) {
        if !self.high {
            self.surge = (at, at + 4.0 + 3.0 * self.random.f64());
        }
    }

    /// The rate at a time, in seconds from the start, as a multiple of the usual one. Time must not
    /// go back.
    fn height(&mut self, at: f64) -> f64 {
        if at > self.surge.1 {
            self.surge = self.next_surge(at);
        }
        let (from, until) = self.surge;
        self.high = at >= from;
        let swell = 1.0 + 0.2 * (at * std::f64::consts::TAU / 20.0).sin();
        let slope = ((at - from).min(until - at) / Self::SLOPE).clamp(0.0, 1.0);
        swell * (1.0 + (Self::SURGE - 1.0) * slope)
    }

    fn is_high(&self) -> bool {
        self.high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surges_come_and_go() {
        let mut tide = Tide::new(fastrand::Rng::with_seed(1));
        let heights: Vec<_> = (0..600)
            .map(|tenth| {
                let height = tide.height(f64::from(tenth) / 10.0);
                (height, tide.is_high())
            })
            .collect();
        assert!(heights.iter().all(|(h, _)| (0.8..=3.6).contains(h)));
        assert!(
            heights.iter().all(|(h, high)| *high || *h <= 1.2),
            "only surges are high"
        );
        let begins = heights.windows(2).filter(|w| !w[0].1 && w[1].1).count();
        assert!((2..=5).contains(&begins), "{begins} surges in a minute");
        let highest = heights.iter().map(|(h, _)| *h).fold(0.0, f64::max);
        assert!(highest > 2.4, "{highest}");
    }

    #[test]
    fn a_surge_can_be_had() {
        let mut tide = Tide::new(fastrand::Rng::with_seed(1));
        assert!(tide.height(1.0) < 1.3);
        tide.surge_at(1.0);
        tide.height(2.0);
        tide.surge_at(2.0);
        assert!(tide.height(3.0) > 2.4);
        assert!(tide.height(9.0) < 1.3, "and it ends");
    }
}
