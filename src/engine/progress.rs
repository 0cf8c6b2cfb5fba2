//! What a pipeline has done so far, and what it did in the end.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use serde::Serialize;

use crate::{Error, metrics as names};

/// Numbers of a running pipeline. A consistent view is not promised: they are written one after the
/// other.
#[derive(Debug, Default)]
pub struct Progress {
    counts: [AtomicU64; COUNTS],
    held: Mutex<Vec<HeldLane>>,
}

/// A lane that waits for a retry.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct HeldLane {
    /// Its ordering key as text, if it has one.
    pub key: Option<String>,
    /// How often its first event has been tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub reason: String,
    /// Whether the event was judged: it is not taken, however well the destination is.
    pub rejected: bool,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident = $at:expr;)*) => {
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Counts { $(pub(crate) $name: u64,)* }

        const COUNTS: usize = [$($at,)*].len();

        impl Counts {
            fn all(&self) -> [u64; COUNTS] { [$(self.$name,)*] }
        }

        impl Progress {
            $($(#[$doc])* pub fn $name(&self) -> u64 { self.counts[$at].load(Relaxed) })*
        }
    };
}

counts! {
    /// Events received from the source.
    received = 0;
    /// Events received that the broker had handed out before.
    redelivered = 1;
    /// Events that the sink took.
    delivered = 2;
    /// Failed attempts, by event; the last one, after which it is given up, too.
    retried = 3;
    /// Events durably dead-lettered.
    dead_lettered = 4;
    /// Events dropped, as configured.
    dropped = 5;
    /// Events given back to the broker.
    released = 6;
    /// Events abandoned because their partition or lease went to somebody else.
    fenced = 7;
    /// Requests in flight now.
    in_flight = 8;
    /// Events in hand now.
    buffered_events = 9;
    /// Their bytes.
    buffered_bytes = 10;
    /// Lanes that wait for a retry now.
    held_lanes = 11;
    /// 1 while the destination refuses everything, else 0.
    destination_held = 12;
    /// Requests made so far.
    requests = 13;
    /// 1 while the destination rests because it asked to (`Retry-After`), else 0.
    destination_resting = 14;
}

impl Progress {
    /// Lanes that wait for a retry, at most 100 of them, as of about a second ago.
    pub fn held(&self) -> Vec<HeldLane> {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_held(&self, held: Vec<HeldLane>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
}

/// The metrics of one pipeline, and the counts they are fed from.
///
/// The engine counts in plain integers (`now`); once for each round of the loop
/// [`publish`](Self::publish) tells what has changed (against `told`), so that an event costs no
/// atomic and no look-up by name.
pub(crate) struct Meter {
    name: String,
    pub(crate) now: Counts,
    told: Counts,
    counters: [Counter; 5],
    gauges: [Gauge; 5],
    pub(crate) oldest: Gauge,
    pub(crate) send_seconds: Histogram,
    pub(crate) batch_events: Histogram,
    pub(crate) settle_seconds: Histogram,
    by_reason: HashMap<(&'static str, String), Counter>,
}

impl Meter {
    pub(crate) fn new(name: &str) -> Self {
        let label = || name.to_owned();
        let meter = Self {
            name: label(),
            now: Counts::default(),
            told: Counts::default(),
            counters: [
                names::RECEIVED,
                names::REDELIVERED,
                names::DELIVERED,
                names::RELEASED,
                names::REQUESTS,
            ]
            .map(|metric| counter!(metric, "pipeline" => label())),
            gauges: [
                names::IN_FLIGHT,
                names::BUFFERED_EVENTS,
                names::BUFFERED_BYTES,
                names::HELD_LANES,
                names::DESTINATION_HELD,
            ]
            .map(|metric| gauge!(metric, "pipeline" => label())),
            oldest: gauge!(names::OLDEST_UNSETTLED, "pipeline" => label()),
            send_seconds: histogram!(names::SEND_SECONDS, "pipeline" => label()),
            batch_events: histogram!(names::BATCH_EVENTS, "pipeline" => label()),
            settle_seconds: histogram!(names::SETTLE_SECONDS, "pipeline" => label()),
            by_reason: HashMap::new(),
        };
        // Another pipeline of this name may have ended with something in hand.
        for gauge in meter.gauges.iter().chain([&meter.oldest]) {
            gauge.set(0.0);
        }
        meter
    }

    /// Counts something that has a reason: on the paths of trouble, not of every event.
    pub(crate) fn because(&mut self, metric: &'static str, label: &'static str, reason: &str) {
        const REASONS: usize = 256;
        let reason = if self.by_reason.len() < REASONS {
            reason
        } else {
            "other"
        };
        if let Some(counter) = self.by_reason.get(&(metric, reason.to_owned())) {
            return counter.increment(1);
        }
        let counter = counter!(metric, "pipeline" => self.name.clone(), label => reason.to_owned());
        counter.increment(1);
        self.by_reason.insert((metric, reason.to_owned()), counter);
    }

    /// Tells the world what has changed since the last time.
    pub(crate) fn publish(&mut self, progress: &Progress) {
        let (now, told) = (self.now.all(), self.told.all());
        for (at, cell) in progress.counts.iter().enumerate() {
            if now[at] != told[at] {
                cell.store(now[at], Relaxed);
            }
        }
        let (now, told) = (&self.now, &self.told);
        let counted = [
            now.received - told.received,
            now.redelivered - told.redelivered,
            now.delivered - told.delivered,
            now.released - told.released,
            now.requests - told.requests,
        ];
        for (counter, by) in self.counters.iter().zip(counted) {
            if by > 0 {
                counter.increment(by);
            }
        }
        let gauged = [
            (now.in_flight, told.in_flight),
            (now.buffered_events, told.buffered_events),
            (now.buffered_bytes, told.buffered_bytes),
            (now.held_lanes, told.held_lanes),
            (now.destination_held, told.destination_held),
        ];
        for (gauge, (now, told)) in self.gauges.iter().zip(gauged) {
            if now != told {
                gauge.set(now as f64);
            }
        }
        self.told = self.now;
    }
}

/// What a pipeline did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Events received from the source.
    pub received: u64,
    /// Of these, handed out before by the broker.
    pub redelivered: u64,
    /// Events that the sink took.
    pub delivered: u64,
    /// Requests made.
    pub requests: u64,
    /// Failed attempts, by event; the last one, after which it is given up, too.
    pub retried: u64,
    /// Events durably dead-lettered.
    pub dead_lettered: u64,
    /// Events dropped, as configured.
    pub dropped: u64,
    /// Events given back to the broker.
    pub released: u64,
    /// Events abandoned because their partition or lease went to somebody else; they come again
    /// there.
    pub fenced: u64,
    /// Events received and not finished: they come again at the next start.
    pub unsettled: u64,
    /// Events finished whose settlement was not confirmed: they may come again. Not among them is
    /// what a log was told beyond its position ([`Action::DoneBelow`](crate::source::Action)), and
    /// confirmed: whether that comes again is up to the source.
    pub unconfirmed: u64,
    /// Whether work was cut off at the end of the grace time.
    pub hard_stopped: bool,
    /// From start to end.
    #[serde(serialize_with = "seconds")]
    pub elapsed: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(duration.as_secs_f64())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "received {}, delivered {}, retried {}, dead-lettered {}, dropped {}, unsettled {}",
            self.received,
            self.delivered,
            self.retried,
            self.dead_lettered,
            self.dropped,
            self.unsettled
        )?;
        for (what, count) in [
            ("redelivered", self.redelivered),
            ("released", self.released),
            ("fenced", self.fenced),
            ("unconfirmed", self.unconfirmed),
        ] {
            if count > 0 {
                write!(f, ", {what} {count}")?;
            }
        }
        if self.hard_stopped {
            f.write_str(", cut off at the end of the grace time")?;
        }
        write!(f, " in {:.1} s", self.elapsed.as_secs_f64())
    }
}

/// Why a pipeline ended by itself, and what it had done by then.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct PipelineError {
    /// What made it stop.
    #[source]
    pub error: Error,
    /// What it had done. What was in hand was drained.
    pub report: Report,
}
