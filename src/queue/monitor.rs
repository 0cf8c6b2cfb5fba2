//! What can be seen of a queue's consumer.
//!
//! Numbers are kept twice by the same calls: here, for programs and tests, and under the names in
//! [`crate::metrics`] for whatever recorder is installed.

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
///
/// Get it before the pipeline takes the poller. It says what was last seen and asks for nothing;
/// after the poller's end it stays as it was. Counts begin at 0 with each poller.
///
/// ```
/// use eventlane::queue::QueueMonitor;
///
/// /// For a readiness probe: a queue that can't be worked with is not ready.
/// fn ready(monitor: &QueueMonitor) -> Result<(), String> {
///     match monitor.last_error() {
///         None => Ok(()),
///         Some((kind, error)) => Err(format!("{}: {error}", kind.as_str())),
///     }
/// }
/// ```
#[derive(Clone)]
pub struct QueueMonitor(Arc<Inner>);

struct Inner {
    queue: String,
    /// Of receives, and of settlements: why the last failed. As text, since an error can't be
    /// cloned.
    troubles: Mutex<[Option<(ErrorKind, String)>; 2]>,
    /// [`UNKNOWN`] until the broker has said it.
    depth: AtomicU64,
    counts: [AtomicU64; COUNTED],
    counters: [Counter; COUNTED],
    healthy: Gauge,
    depth_gauge: Gauge,
    held: Gauge,
    age: Gauge,
}

/// What is counted; the index into `counts` and `counters`.
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
const RECEIVES: usize = 0;
const SETTLEMENTS: usize = 1;
const UNKNOWN: u64 = u64::MAX;

impl QueueMonitor {
    pub(super) fn new(queue: &str) -> Self {
        let gauge = |name| gauge!(name, "queue" => queue.to_owned());
        Self(Arc::new(Inner {
            queue: queue.to_owned(),
            troubles: Mutex::default(),
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

    /// Whether the queue can be worked with: the last receive was answered, or none has ended yet,
    /// and no delete or change of visibility was refused for good (`Unauthorized`, `Config`) since
    /// the last one that was carried out.
    ///
    /// While receives fail they are tried on: every few seconds while nobody answers, at growing
    /// intervals up to a minute if the broker wants fewer, and about once a minute if somebody has
    /// to mend something.
    pub fn is_healthy(&self) -> bool {
        self.troubles().iter().all(Option::is_none)
    }

    /// What keeps it from being [healthy](Self::is_healthy), if anything does.
    pub fn last_error(&self) -> Option<(ErrorKind, String)> {
        self.troubles().iter().flatten().next().cloned()
    }

    /// About how many messages waited in the queue when it last said so: half a minute ago, or
    /// longer if it has not answered since. `None` if it can't say, or has not yet.
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

    /// Those that brought nothing long before their wait was over (nine tenths of it), or that had
    /// none. Each was followed by a pause of up to 20 s: if there are many, the broker sees too
    /// many polls.
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

    /// A receive was answered.
    pub(super) fn answered(&self) {
        self.ends(RECEIVES, "the queue answers again");
    }

    /// A receive failed.
    pub(super) fn failed(&self, error: &Error) {
        counter!(names::QUEUE_ERRORS, "queue" => self.0.queue.clone(), "kind" => error.kind().as_str())
            .increment(1);
        self.begins(RECEIVES, error);
    }

    /// A settlement was carried out.
    pub(super) fn settled(&self) {
        self.ends(SETTLEMENTS, "messages of the queue can be settled again");
    }

    /// Settlements are refused for good.
    pub(super) fn settling_failed(&self, error: &Error) {
        self.begins(SETTLEMENTS, error);
    }

    fn begins(&self, which: usize, error: &Error) {
        self.troubles()[which] = Some((error.kind(), error.to_string()));
        self.0.healthy.set(0.0);
    }

    fn ends(&self, which: usize, news: &str) {
        let mut troubles = self.troubles();
        if troubles[which].take().is_some() {
            tracing::info!(queue = %self.0.queue, "{news}");
        }
        if troubles.iter().all(Option::is_none) {
            self.0.healthy.set(1.0);
        }
    }

    pub(super) fn set_depth(&self, depth: u64) {
        self.0.depth.store(depth, Relaxed);
        self.0.depth_gauge.set(depth as f64);
    }

    pub(super) fn set_held(&self, held: usize) {
        self.0.held.set(held as f64);
    }

    /// The oldest message that was just received was sent at this time. The clocks of two machines
    /// are compared; a time in the future counts as now.
    pub(super) fn set_oldest(&self, sent: &Timestamp) {
        let age = Timestamp::now().unix_millis() - sent.unix_millis();
        self.0.age.set(age.max(0) as f64 / 1000.0);
    }

    /// No message waits, hence none is old.
    pub(super) fn nothing_waits(&self) {
        self.0.age.set(0.0);
    }

    fn troubles(&self) -> std::sync::MutexGuard<'_, [Option<(ErrorKind, String)>; 2]> {
        self.0
            .troubles
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
