//! What the consumer's thread hands to the engine: news, and a bounded store of deliveries.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::Thread,
};

use eventlane::{
    Error, ErrorKind, Result,
    source::{Delivery, Demand, Partition, Position, Signal},
};
use tokio::sync::Notify;

/// Consecutive deliveries of one partition, or how far the partition has advanced without any.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) partition: Partition,
    pub(crate) epoch: u32,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    Deliveries {
        deliveries: VecDeque<Delivery>,
        bytes: usize,
    },
    Advanced(u64),
}

/// How much more may be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Room {
    pub(crate) fn is_none(self) -> bool {
        self.events == 0 || self.bytes == 0
    }
}

/// Shared by the two sides.
#[derive(Debug)]
pub(crate) struct Handover {
    store: Mutex<Store>,
    /// Wakes the engine's side.
    news: Notify,
    limit: Room,
}

#[derive(Debug, Default)]
struct Store {
    /// Goes before all deliveries: those of a partition that is taken away are withdrawn first, and those of a new one follow.
    news: VecDeque<Result<Signal>>,
    runs: VecDeque<Run>,
    paused: HashSet<Partition>,
    /// Deliveries of partitions that are not paused, and their bytes.
    events: usize,
    bytes: usize,
    /// The consumer's thread, if it waits for room.
    waiting: Option<Thread>,
    ended: bool,
}

impl Handover {
    pub(crate) fn new(events: usize, bytes: usize) -> Self {
        Self {
            store: Mutex::default(),
            news: Notify::new(),
            limit: Room { events, bytes },
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // Nothing in here panics halfway through a change.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is, or waits for it. Cancel-safe: what is taken out is returned at once.
    pub(crate) async fn take(&self, demand: Demand) -> Result<Signal> {
        loop {
            let news = self.news.notified();
            if let Some(signal) = self.store().take(demand, self.limit) {
                return signal;
            }
            news.await;
        }
    }

    /// How much more may be put in. If there is no room, `thread` is woken when there is.
    pub(crate) fn room(&self, thread: impl FnOnce() -> Thread) -> Room {
        let mut store = self.store();
        let room = Room {
            events: self.limit.events.saturating_sub(store.events),
            bytes: self.limit.bytes.saturating_sub(store.bytes),
        };
        store.waiting = room.is_none().then(thread);
        room
    }

    /// Puts runs in. They are of partitions that have been announced.
    pub(crate) fn put(&self, runs: impl IntoIterator<Item = Run>) {
        let mut store = self.store();
        for run in runs {
            store.put(run);
        }
        drop(store);
        self.news.notify_one();
    }

    /// Announces something.
    pub(crate) fn announce(&self, news: Result<Signal>) {
        self.store().news.push_back(news);
        self.news.notify_one();
    }

    /// Takes back what is there of these partitions, and announces what became of them.
    pub(crate) fn withdraw(&self, partitions: &[Partition], news: Signal) {
        let mut store = self.store();
        store
            .runs
            .retain(|run| !partitions.contains(&run.partition));
        store
            .paused
            .retain(|partition| !partitions.contains(partition));
        store.count();
        store.news.push_back(Ok(news));
        let waiting = store.waiting.take();
        drop(store);
        self.news.notify_one();
        if let Some(thread) = waiting {
            thread.unpark();
        }
    }

    /// Withholds what is there of these partitions, or no longer.
    pub(crate) fn pause(&self, partitions: &[Partition], pause: bool) {
        let mut store = self.store();
        for &partition in partitions {
            if pause {
                store.paused.insert(partition);
            } else {
                store.paused.remove(&partition);
            }
        }
        store.count();
        // A pause makes room.
        let waiting = store.waiting.take();
        drop(store);
        self.news.notify_one();
        if let Some(thread) = waiting {
            thread.unpark();
        }
    }

    /// The consumer's thread has ended.
    pub(crate) fn end(&self) {
        self.store().ended = true;
        self.news.notify_one();
    }
}

impl Store {
    fn take(&mut self, demand: Demand, limit: Room) -> Option<Result<Signal>> {
        if let Some(news) = self.news.pop_front() {
            return Some(news);
        }
        let advanced = self.take_advanced();
        if !advanced.is_empty() {
            return Some(Ok(Signal::Advanced(advanced)));
        }
        if !demand.is_none() {
            let deliveries = self.take_deliveries(demand);
            if !deliveries.is_empty() {
                if self.events <= limit.events / 2
                    && self.bytes <= limit.bytes / 2
                    && let Some(thread) = self.waiting.take()
                {
                    thread.unpark();
                }
                return Some(Ok(Signal::Deliveries(deliveries)));
            }
        }
        self.ended.then(|| {
            let message = "the consumer has ended";
            Err(Error::new(ErrorKind::Unexpected, "poll Kafka", message))
        })
    }

    /// Positions before which nothing of their partition is left here.
    fn take_advanced(&mut self) -> Vec<Position> {
        let (mut positions, mut behind) = (Vec::new(), HashSet::new());
        if !self
            .runs
            .iter()
            .any(|run| matches!(run.content, Content::Advanced(_)))
        {
            return positions;
        }
        self.runs.retain(|run| {
            let Run {
                partition,
                epoch,
                content,
            } = run;
            match content {
                Content::Advanced(next) if !behind.contains(partition) => {
                    positions.push(Position {
                        partition: *partition,
                        epoch: *epoch,
                        next: *next,
                    });
                    false
                }
                _ => {
                    behind.insert(*partition);
                    true
                }
            }
        });
        positions
    }

    fn take_deliveries(&mut self, demand: Demand) -> Vec<Delivery> {
        let Demand {
            records: mut events,
            mut bytes,
        } = demand;
        let mut taken = Vec::new();
        let mut behind: Vec<Partition> = Vec::new();
        let mut at = 0;
        while let Some(run) = self.runs.get_mut(at) {
            if events == 0 {
                break;
            }
            let partition = run.partition;
            let Content::Deliveries {
                deliveries,
                bytes: held,
            } = &mut run.content
            else {
                behind.push(partition);
                at += 1;
                continue;
            };
            if self.paused.contains(&partition) || behind.contains(&partition) {
                at += 1;
                continue;
            }
            if deliveries.len() <= events && *held <= bytes {
                self.events -= deliveries.len();
                self.bytes -= *held;
                events -= deliveries.len();
                bytes -= *held;
                if taken.is_empty() {
                    taken = std::mem::take(deliveries).into();
                } else {
                    taken.extend(deliveries.drain(..));
                }
                self.runs.remove(at);
                continue;
            }
            while events > 0
                && let Some(size) = deliveries.front().map(|delivery| delivery.event.size())
                && (size <= bytes || taken.is_empty())
            {
                taken.extend(deliveries.pop_front());
                events -= 1;
                bytes = bytes.saturating_sub(size);
                *held -= size;
                self.events -= 1;
                self.bytes -= size;
            }
            if deliveries.is_empty() {
                self.runs.remove(at);
            }
            break;
        }
        taken
    }

    fn put(&mut self, run: Run) {
        if let Content::Deliveries { deliveries, bytes } = &run.content
            && !self.paused.contains(&run.partition)
        {
            self.events += deliveries.len();
            self.bytes += bytes;
        }
        self.runs.push_back(run);
    }

    /// Counts anew.
    fn count(&mut self) {
        (self.events, self.bytes) = (0, 0);
        for run in &self.runs {
            if let Content::Deliveries { deliveries, bytes } = &run.content
                && !self.paused.contains(&run.partition)
            {
                self.events += deliveries.len();
                self.bytes += bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests;
