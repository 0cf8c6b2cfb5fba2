//! A consumer without eventlane: it receives, waits a little, and acknowledges. Whatever it gets out of
//! order was handed out so.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use eventlane_rocketmq::{
    RocketMqConfig,
    client::{Consumer, LARGEST_BATCH, ReceivedMessage},
};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::line::LEASE;
use crate::stage::{LIMIT, QUIET};

const WAIT: Duration = Duration::from_secs(1);
const WORK: Duration = Duration::from_millis(3);

/// So much of a lease is left to the answer of the last acknowledgement.
const MARGIN: Duration = Duration::from_secs(1);

/// What was handed out.
#[derive(Debug, Default)]
pub(super) struct Book {
    keys: BTreeMap<String, BTreeMap<u64, Entry>>,
    /// Messages that were handed out before.
    pub(super) again: u64,
    /// Messages that were handed out while an earlier one of their key was owed: it had never been
    /// handed out, or had not been acknowledged in its lease.
    pub(super) gaps: u64,
    /// The first few in words.
    pub(super) defects: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    until: Instant,
    done: bool,
}

impl Book {
    fn take(&mut self, key: &str, seq: u64, until: Instant) {
        let (now, known) = (Instant::now(), self.keys.entry(key.to_owned()).or_default());
        let is_owed = |entry: Option<&Entry>| entry.is_none_or(|it| !it.done && it.until <= now);
        if let Some(owed) = (0..seq).find(|seq| is_owed(known.get(seq))) {
            self.gaps += 1;
            if self.defects.len() < 20 {
                self.defects
                    .push(format!("{key}: {seq}, and {owed} is owed"));
            }
        }
        match known.get_mut(&seq) {
            Some(entry) => {
                self.again += 1;
                entry.until = until;
            }
            None => drop(known.insert(seq, Entry { until, done: false })),
        }
    }

    fn acknowledged(&mut self, key: &str, seq: u64) {
        if let Some(entry) = self.keys.get_mut(key).and_then(|key| key.get_mut(&seq)) {
            entry.done = true;
        }
    }

    /// Different messages that were handed out.
    pub(super) fn handed_out(&self) -> u64 {
        self.keys.values().map(|key| key.len() as u64).sum()
    }

    /// Different messages that were acknowledged.
    pub(super) fn done(&self) -> u64 {
        let all = self.keys.values().flat_map(BTreeMap::values);
        all.filter(|entry| entry.done).count() as u64
    }
}

#[derive(Debug)]
pub(super) struct Bare {
    consumer: Consumer,
    book: Mutex<Book>,
}

impl Bare {
    /// Of the group that has the name of the topic.
    pub(super) async fn connect(endpoint: &str, name: &str) -> Arc<Self> {
        let config = RocketMqConfig::new(endpoint, name)
            .with_topic(name)
            .with_lease(LEASE)
            .with_wait(WAIT);
        let consumer = Consumer::connect(&config).await;
        Arc::new(Self {
            consumer: consumer.unwrap_or_else(|error| panic!("a consumer: {error}")),
            book: Mutex::default(),
        })
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many different messages were acknowledged, or nothing comes any more.
    pub(super) fn wait_for(&self, events: u64) {
        let (began, mut last, mut since) = (Instant::now(), 0, Instant::now());
        while last < events && since.elapsed() < QUIET && began.elapsed() < LIMIT {
            thread::sleep(Duration::from_millis(10));
            let now = self.book().done();
            if now > last {
                (last, since) = (now, Instant::now());
            }
        }
    }

    /// Receives until so many different messages were acknowledged.
    pub(super) async fn receive(self: Arc<Self>, events: u64) {
        while self.book().done() < events {
            match self.consumer.receive(LARGEST_BATCH, WAIT).await {
                Ok(messages) => self.work(messages).await,
                Err(_) => sleep(WAIT / 5).await,
            }
        }
    }

    /// Keys side by side, each in its order.
    async fn work(&self, messages: Vec<ReceivedMessage>) {
        let until = Instant::now() + LEASE;
        let mut keys: BTreeMap<String, Vec<(u64, ReceivedMessage)>> = BTreeMap::new();
        for message in messages {
            let body: serde_json::Value = serde_json::from_slice(&message.body).expect("JSON");
            let (key, seq) = (body["key"].as_str(), body["seq"].as_u64());
            let (key, seq) = (key.expect("a key"), seq.expect("a number"));
            self.book().take(key, seq, until);
            let lane = keys.entry(key.to_owned()).or_default();
            lane.push((seq, message));
        }
        let lanes = keys.into_iter().map(async |(key, messages)| {
            for (seq, message) in messages {
                sleep(WORK).await;
                if !self.acknowledge(&message, until).await {
                    // It comes again, and so does what is behind it.
                    return;
                }
                self.book().acknowledged(&key, seq);
            }
        });
        join_all(lanes).await;
    }

    /// Whether that was done in time.
    async fn acknowledge(&self, message: &ReceivedMessage, until: Instant) -> bool {
        while Instant::now() + MARGIN < until {
            let outcome = self
                .consumer
                .ack(std::slice::from_ref(&message.handle))
                .await;
            match outcome.map(|mut outcomes| outcomes.pop()) {
                Ok(Some(Ok(()))) => return true,
                Ok(Some(Err(error))) if error.kind().is_transient() => sleep(WAIT / 10).await,
                _ => return false,
            }
        }
        false
    }
}
