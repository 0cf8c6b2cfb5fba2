//! A sink that does as it is told and remembers, and events to send to it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Error, ErrorKind, Event, Result, Sink,
    event::Data,
    memory::{MemoryLog, Record},
    sink::{Batch, DeadLetter, DeadLetterSink, Failure, Outcome, Verdict, Verdicts},
};
use tokio::time::{Instant, sleep};

/// An event of a key: `subject` is the key, the id `KEY-SEQ`.
pub(crate) fn event(key: &str, seq: u64) -> Event {
    sized(key, seq, 0)
}

pub(crate) fn sized(key: &str, seq: u64, bytes: usize) -> Event {
    Event::builder()
        .id(format!("{key}-{seq}"))
        .source("/test")
        .ty("test")
        .subject(key)
        .data(Data::bytes(vec![b'x'; bytes]))
        .build()
        .unwrap()
}

pub(crate) fn record(key: &str, seq: u64) -> Record {
    Record::new(event(key, seq)).with_key(key.to_owned())
}

/// `keys` keys with `each` events, in turn, on one partition.
pub(crate) fn fill(log: &MemoryLog, keys: u64, each: u64) {
    for seq in 0..each {
        for key in 0..keys {
            log.append_all(0, [record(&format!("k{key}"), seq)]);
        }
    }
}

pub(crate) fn id(event: &Event) -> (String, u64) {
    let (key, seq) = event.id().rsplit_once('-').unwrap();
    (key.to_owned(), seq.parse().unwrap())
}

pub(crate) fn retry(after: impl Into<Option<Duration>>) -> Verdict {
    let mut failure = Failure::new("status_503", "503 from the test");
    failure.status = Some(503);
    failure.retry_after = after.into();
    Verdict::Retry(Box::new(failure))
}

pub(crate) fn hold() -> Verdict {
    Verdict::Hold(Box::new(Failure::new("status_401", "401 from the test")))
}

pub(crate) fn reject() -> Verdict {
    Verdict::Reject(Box::new(Failure::new("status_400", "400 from the test")))
}

pub(crate) fn too_large() -> Verdict {
    Verdict::TooLarge(Box::new(Failure::new("status_413", "413 from the test")))
}

/// One call of the sink.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) ids: Vec<String>,
    pub(crate) delivered: bool,
}

type Rule = dyn Fn(&Batch, u32) -> (Duration, Outcome) + Send + Sync;

/// What the sink has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) calls: Mutex<Vec<Call>>,
    tries: Mutex<HashMap<String, u32>>,
    busy: Mutex<HashMap<String, usize>>,
    in_flight: AtomicUsize,
    pub(crate) most_in_flight: AtomicUsize,
}

/// Asks its rule about every batch, with the number of times that its first event has been seen
/// (from 1).
#[derive(Clone)]
pub(crate) struct ScriptedSink {
    rule: Arc<Rule>,
    verdicts: Verdicts,
    /// Whether two events of one key at a time are a failure.
    exclusive: bool,
    pub(crate) seen: Arc<Seen>,
}

impl ScriptedSink {
    pub(crate) fn new(
        rule: impl Fn(&Batch, u32) -> (Duration, Outcome) + Send + Sync + 'static,
    ) -> Self {
        Self {
            rule: Arc::new(rule),
            verdicts: Verdicts::Whole,
            exclusive: true,
            seen: Arc::default(),
        }
    }

    /// Takes everything after a while.
    pub(crate) fn taking(after: Duration) -> Self {
        Self::new(move |_, _| (after, Outcome::All(Verdict::Delivered)))
    }

    /// Asks a rule about the first event, and takes a millisecond.
    pub(crate) fn verdict(rule: impl Fn(&Event, u32) -> Verdict + Send + Sync + 'static) -> Self {
        Self::new(move |batch, tries| {
            (
                Duration::from_millis(1),
                Outcome::All(rule(&batch.events[0], tries)),
            )
        })
    }

    pub(crate) fn per_event(mut self) -> Self {
        self.verdicts = Verdicts::PerEvent;
        self
    }

    pub(crate) fn unordered(mut self) -> Self {
        self.exclusive = false;
        self
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.seen.calls.lock().unwrap().clone()
    }

    /// All ids in the order in which they were taken.
    pub(crate) fn delivered(&self) -> Vec<String> {
        self.calls()
            .into_iter()
            .filter(|call| call.delivered)
            .flat_map(|call| call.ids)
            .collect()
    }

    /// Fails unless each key was taken as 0, 1, 2 … exactly once.
    pub(crate) fn assert_in_order(&self) -> BTreeMap<String, u64> {
        let mut next = BTreeMap::new();
        for id in self.delivered() {
            let (key, seq) = id.rsplit_once('-').unwrap();
            let expected = next.entry(key.to_owned()).or_insert(0);
            assert_eq!(seq.parse::<u64>().unwrap(), *expected, "of key {key}");
            *expected += 1;
        }
        next
    }
}

struct Flying<'a>(&'a Seen, Vec<String>);

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
        let mut busy = self.0.busy.lock().unwrap();
        for key in &self.1 {
            *busy.get_mut(key).unwrap() -= 1;
        }
    }
}

#[async_trait]
impl Sink for ScriptedSink {
    async fn send(&self, batch: Batch) -> Outcome {
        let ids: Vec<_> = batch
            .events
            .iter()
            .map(|event| event.id().to_owned())
            .collect();
        let mut keys: Vec<_> = batch.events.iter().map(|event| id(event).0).collect();
        keys.dedup();
        let flying = {
            let mut busy = self.seen.busy.lock().unwrap();
            for key in &keys {
                let now = busy.entry(key.clone()).or_insert(0);
                *now += 1;
                assert!(
                    *now == 1 || !self.exclusive,
                    "two requests of {key} at a time"
                );
            }
            let now = self.seen.in_flight.fetch_add(1, SeqCst) + 1;
            self.seen.most_in_flight.fetch_max(now, SeqCst);
            Flying(&self.seen, keys)
        };
        let tries = {
            let mut tries = self.seen.tries.lock().unwrap();
            let tries = tries.entry(ids[0].clone()).or_insert(0);
            *tries += 1;
            *tries
        };
        let (after, outcome) = (self.rule)(&batch, tries);
        let at = Instant::now();
        if !after.is_zero() {
            sleep(after).await;
        }
        drop(flying);
        let mut calls = self.seen.calls.lock().unwrap();
        match &outcome {
            Outcome::All(verdict) => {
                let delivered = matches!(verdict, Verdict::Delivered);
                calls.push(Call { at, ids, delivered });
            }
            Outcome::Each(verdicts) => {
                for (verdict, id) in verdicts.iter().zip(ids) {
                    let delivered = matches!(verdict, Verdict::Delivered);
                    calls.push(Call {
                        at,
                        ids: vec![id],
                        delivered,
                    });
                }
            }
        }
        outcome
    }

    fn verdicts(&self) -> Verdicts {
        self.verdicts
    }

    fn destination(&self) -> Cow<'_, str> {
        "script:".into()
    }
}

/// Keeps letters in memory, after failing so many times.
#[derive(Clone, Default)]
pub(crate) struct LetterBox {
    pub(crate) letters: Arc<Mutex<Vec<DeadLetter>>>,
    pub(crate) failures: Arc<AtomicUsize>,
    takes: Duration,
}

impl LetterBox {
    pub(crate) fn failing(times: usize) -> Self {
        let this = Self::default();
        this.failures.store(times, SeqCst);
        this
    }

    pub(crate) fn taking(takes: Duration) -> Self {
        Self {
            takes,
            ..Self::default()
        }
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.letters
            .lock()
            .unwrap()
            .iter()
            .map(|letter| letter.event.id().to_owned())
            .collect()
    }
}

#[async_trait]
impl DeadLetterSink for LetterBox {
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>> {
        let fails = self
            .failures
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
            .is_ok();
        sleep(self.takes).await;
        letters
            .iter()
            .map(|letter| {
                if fails {
                    return Err(Error::new(ErrorKind::Unavailable, "keep", "full"));
                }
                self.letters.lock().unwrap().push(letter.clone());
                Ok(())
            })
            .collect()
    }

    fn destination(&self) -> Cow<'_, str> {
        "memory:".into()
    }
}
