//! What can be seen of a queue's consumer.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use metrics::{Counter, Gauge, counter, gauge};

use crate::{Error, ErrorKind, event::Timestamp, metrics as names};

/// A view of a running [`Poller`](super::Poller): [`Poller::monitor`](super::Poller::monitor).
/// Cheap to clone; outlives it.
#[derive(Clone)]
pub struct QueueMonitor(Arc<Inner>);

struct Inner {
    queue: String,
    trouble: Mutex<Option<(ErrorKind, String)>>,
    depth: AtomicU64,
    counts: [AtomicU64; COUNTED],
    counters: [Counter; COUNTED],
    healthy: Gauge,
    depth_gauge: Gauge,
    held: Gauge,
    age: Gauge,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Receives,
    Empty,
    Hasty,
    Extended,
    Expired,
    DeleteFailed,
}

const COUNTED: usize = 6;
const UNKNOWN: u64 = u64::MAX;

impl QueueMonitor {
    pub(super) fn new(queue: &str) -> Self {
        let gauge = |name| gauge!(name, "queue" => queue.to_owned());
        Self(Arc::new(Inner {
            queue: queue.to_owned(),
            trouble: Mutex::default(),
            depth: AtomicU64::new(UNKNOWN),
            counts: Default::default(),
            counters: [
                names::QUEUE_RECEIVES,
                names::QUEUE_EMPTY,
                names::QUEUE_HASTY,
                names::QUEUE_EXTENDED,
                names::QUEUE_EXPIRED,
                names::QUEUE_DELETE_FAILED,
            ]
            .map(|name| counter!(name, "queue" => queue.to_owned())),
            healthy: gauge(names::QUEUE_HEALTHY),
            depth_gauge: gauge(names::QUEUE_DEPTH),
            held: gauge(names::QUEUE_HELD),
            age: gauge(names::QUEUE_MESSAGE_AGE),
        }))
    }

    /// Whether the last receive was answered. While it is not, receives are tried on at growing
    /// intervals.
    pub fn is_healthy(&self) -> bool {
        self.trouble().is_none()
    }

    /// Why the last receive failed, if it did.
    pub fn last_error(&self) -> Option<(ErrorKind, String)> {
        self.trouble().clone()
    }

    /// About how many messages waited in the queue when it was last asked, half a minute ago at
    /// most. `None` if the broker can't say.
    pub fn depth(&self) -> Option<u64> {
        Some(self.0.depth.load(Relaxed)).filter(|&depth| depth != UNKNOWN)
    }

    /// Receives that were answered so far.
    pub fn receives(&self) -> u64 {
        self.count(Count::Receives)
    }

    /// Those that brought nothing.
    pub fn empty(&self) -> u64 {
        self.count(Count::Empty)
    }

    /// Those that brought nothing long before their wait was over.
    pub fn hasty(&self) -> u64 {
        self.count(Count::Hasty)
    }

    /// Leases extended so far.
    pub fn extended(&self) -> u64 {
        self.count(Count::Extended)
    }

    /// Leases that ran out, or that the broker did not know any more, before their message was
    /// done.
    pub fn expired(&self) -> u64 {
        self.count(Count::Expired)
    }

    /// Deletes that failed, by message; those that may succeed later are tried again.
    pub fn delete_failed(&self) -> u64 {
        self.count(Count::DeleteFailed)
    }

    fn count(&self, count: Count) -> u64 {
        self.0.counts[count as usize].load(Relaxed)
    }

    pub(super) fn add(&self, count: Count, number: usize) {
        if number > 0 {
            self.0.counts[count as usize].fetch_add(number as u64, Relaxed);
            self.0.counters[count as usize].increment(number as u64);
        }
    }

    pub(super) fn answered(&self) {
        if self.trouble().take().is_some() {
            tracing::info!(queue = %self.0.queue, "the queue answers again");
        }
        self.0.healthy.set(1.0);
    }

    pub(super) fn failed(&self, error: &Error) {
        counter!(names::QUEUE_ERRORS, "queue" => self.0.queue.clone(), "kind" => error.kind().as_str())
            .increment(1);
        *self.trouble() = Some((error.kind(), error.to_string()));
        self.0.healthy.set(0.0);
    }

    pub(super) fn set_depth(&self, depth: u64) {
        self.0.depth.store(depth, Relaxed);
        self.0.depth_gauge.set(depth as f64);
    }

    pub(super) fn set_held(&self, held: usize) {
        self.0.held.set(held as f64);
    }

    /// The oldest message that was just received was sent at this time.
    pub(super) fn set_oldest(&self, sent: &Timestamp) {
        let age = Timestamp::now().unix_millis() - sent.unix_millis();
        self.0.age.set(age.max(0) as f64 / 1000.0);
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<(ErrorKind, String)>> {
        self.0
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for QueueMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueMonitor")
            .field("queue", &self.0.queue)
            .field("last_error", &self.last_error())
            .field("depth", &self.depth())
            .field("counts", &self.0.counts)
            .finish_non_exhaustive()
    }
}
