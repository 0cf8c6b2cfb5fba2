//! Random worlds against an oracle that knows nothing of the engine: sinks that delay, fail,
//! refuse, take and then fail to answer; partitions that are revoked and lost; commits that fail;
//! crashes and restarts.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    BatchPolicy, Budgets, Error, ErrorKind, Ordering, Pipeline, Retry, Sink,
    memory::MemoryLog,
    sink::{Batch, DeadLetter, DeadLetterSink, Outcome, Verdict, Verdicts},
};
use tokio::time::sleep;

use crate::support::{hold, id, record, reject, retry, too_large};

const SEEDS: u64 = 400;
const KEYS: u64 = 6;
const PARTITIONS: u32 = 3;

/// What the world has taken, for good, in order.
#[derive(Default)]
struct Oracle {
    taken: HashMap<String, BTreeSet<u64>>,
    duplicates: u64,
    violations: Vec<String>,
    ordered: bool,
}

impl Oracle {
    fn take(&mut self, event: &eventlane::Event) {
        let (key, seq) = id(event);
        let taken = self.taken.entry(key.clone()).or_default();
        if self.ordered && !(0..seq).all(|before| taken.contains(&before)) {
            self.violations
                .push(format!("{key}-{seq} before all of {taken:?}"));
        }
        self.duplicates += u64::from(!taken.insert(seq));
    }
}

struct World {
    oracle: Arc<Mutex<Oracle>>,
    random: Mutex<fastrand::Rng>,
    /// Of a thousand answers.
    trouble: u32,
    per_event: bool,
    /// The last run: everything is taken.
    calm: bool,
}

impl World {
    fn verdict(&self, batch: &Batch) -> (Duration, bool, Verdict) {
        let mut random = self.random.lock().unwrap();
        let after = Duration::from_millis(random.u64(0..30));
        if self.calm || random.u32(0..1000) >= self.trouble {
            return (after, true, Verdict::Delivered);
        }
        match random.u32(0..8) {
            0 => (after, false, hold()),
            1 => (
                after,
                false,
                retry(Duration::from_millis(random.u64(0..500))),
            ),
            2 if batch.events.len() > 1 => (after, false, too_large()),
            // Found out only when alone, or everybody in the batch would be dead-lettered.
            3 if batch.events.len() == 1 => (after, false, reject()),
            // Taken, but the answer is lost on its way.
            4 => (after, true, retry(None)),
            5 => (Duration::from_secs(60), random.bool(), retry(None)),
            _ => (after, false, retry(None)),
        }
    }
}

#[async_trait]
impl Sink for World {
    async fn send(&self, batch: Batch) -> Outcome {
        if self.per_event && !self.calm {
            let mut verdicts = Vec::new();
            for event in &batch.events {
                let alone = Batch {
                    events: [event.clone()].into_iter().collect(),
                    attempt: 1,
                };
                let (after, takes, verdict) = self.verdict(&alone);
                sleep(after / 8).await;
                if takes {
                    self.oracle.lock().unwrap().take(event);
                }
                verdicts.push(verdict);
            }
            return Outcome::Each(verdicts);
        }
        let (after, takes, verdict) = self.verdict(&batch);
        if takes {
            let mut oracle = self.oracle.lock().unwrap();
            batch.events.iter().for_each(|event| oracle.take(event));
        }
        sleep(after).await;
        Outcome::All(verdict)
    }

    fn verdicts(&self) -> Verdicts {
        if self.per_event {
            Verdicts::PerEvent
        } else {
            Verdicts::Whole
        }
    }

    fn destination(&self) -> Cow<'_, str> {
        "world".into()
    }
}

/// A dead letter is an end as good as any for the oracle.
struct Letters(Arc<Mutex<Oracle>>, Mutex<fastrand::Rng>);

#[async_trait]
impl DeadLetterSink for Letters {
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<eventlane::Result<()>> {
        sleep(Duration::from_millis(5)).await;
        letters
            .iter()
            .map(|letter| {
                if self.1.lock().unwrap().u32(0..3) == 0 {
                    return Err(Error::new(ErrorKind::Unavailable, "keep", "by chance"));
                }
                self.0.lock().unwrap().take(&letter.event);
                Ok(())
            })
            .collect()
    }

    fn destination(&self) -> Cow<'_, str> {
        "letters".into()
    }
}

async fn world(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let ordering = random
        .choice([Ordering::Key, Ordering::Key, Ordering::None])
        .unwrap();
    let oracle = Arc::new(Mutex::new(Oracle {
        ordered: ordering == Ordering::Key,
        ..Oracle::default()
    }));
    let log = MemoryLog::new(PARTITIONS).with_manual_assignment();
    let each = random.u64(1..40);
    for seq in 0..each {
        for key in 0..KEYS {
            let partition = (key % u64::from(PARTITIONS)) as u32;
            log.append_all(partition, [record(&format!("k{key}"), seq)]);
            if random.u32(0..20) == 0 {
                log.skip(partition, random.u64(1..100));
            }
        }
    }
    let trouble = random.choice([0, 50, 300]).unwrap();
    let per_event = random.bool();
    let batch = BatchPolicy::new(
        random.usize(1..20),
        Duration::from_millis(random.u64(0..20)),
    )
    .with_bytes(random.usize(200..20_000));
    let budgets = Budgets::default()
        .with_requests(random.usize(1..20))
        .with_events(random.usize(1..200))
        .with_span(random.u64(1..100));
    let retry = Retry::default()
        .with_attempts(random.u32(1..6))
        .with_timeout(Duration::from_secs(1));
    let pipeline = |calm: bool, seed: u64| {
        let sink = World {
            oracle: Arc::clone(&oracle),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            trouble,
            per_event,
            calm,
        };
        let letters = Letters(
            Arc::clone(&oracle),
            Mutex::new(fastrand::Rng::with_seed(seed)),
        );
        let source = log.source("g");
        let member = source.member();
        let pipeline = Pipeline::new(source, sink)
            .with_ordering(ordering)
            .with_batch(batch)
            .with_budgets(budgets)
            .with_retry(retry.clone())
            .with_dead_letter(letters)
            .with_commit_interval(Duration::from_millis(seed % 500))
            .with_grace(Duration::from_secs(3))
            .with_seed(seed);
        (member, pipeline)
    };
    let all: Vec<u32> = (0..PARTITIONS).collect();
    for _ in 0..random.u32(0..4) {
        let (member, pipeline) = pipeline(false, random.u64(..));
        member.assign(&all).unwrap();
        let stop = Duration::from_millis(random.u64(0..3000));
        let run = tokio::spawn(pipeline.run_until(sleep(stop)));
        for _ in 0..random.u32(0..4) {
            sleep(Duration::from_millis(random.u64(0..500))).await;
            let partition = random.u32(0..PARTITIONS);
            match random.u32(0..4) {
                0 => member.revoke(&[partition], Duration::from_millis(random.u64(0..1500))),
                1 => member.lose(&[partition]),
                2 => log.faults().fail_settles([Error::new(
                    ErrorKind::Unavailable,
                    "commit",
                    "by chance",
                )]),
                _ => drop(member.assign(&[partition])),
            }
        }
        if random.bool() {
            run.abort();
            drop(run.await);
        } else {
            let bytes = run.await.unwrap().unwrap();
            assert!(
                bytes.elapsed <= stop + Duration::from_secs(3),
                "{:?}",
                bytes.elapsed
            );
        }
    }
    let (member, pipeline) = pipeline(true, random.u64(..));
    member.assign(&all).unwrap();
    log.finish();
    let progress = pipeline.progress();
    let run = tokio::time::timeout(Duration::from_secs(3600), pipeline.run());
    let report = match run.await {
        Ok(report) => report.unwrap(),
        Err(_) => panic!("does not end: {progress:?}"),
    };
    assert_eq!((report.unsettled, report.unconfirmed), (0, 0));
    let oracle = oracle.lock().unwrap();
    assert!(oracle.violations.is_empty(), "{:?}", oracle.violations);
    for key in 0..KEYS {
        assert_eq!(
            oracle.taken[&format!("k{key}")].len() as u64,
            each,
            "of k{key}"
        );
    }
    for partition in 0..PARTITIONS {
        assert_eq!(log.committed("g", partition), log.end(partition));
    }
}

#[test]
fn nothing_is_lost_and_order_holds_in_random_worlds() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let seeds = match number("EVENTLANE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("EVENTLANE_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.unwrap().block_on(world(seed));
        }));
        assert!(ended.is_ok(), "repeat with EVENTLANE_SEED={seed}");
    }
}
