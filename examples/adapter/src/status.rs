//! How the pipelines are.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use eventlane::{Progress, queue::QueueMonitor};
use eventlane_kafka::KafkaMonitor;
use serde::Serialize;
use tokio::time::Instant;

/// A destination that has taken nothing for so long, while something waits for it, holds every
/// lane.
const HELD_AFTER: Duration = Duration::from_secs(10);

/// What can be seen of a source while a pipeline has it.
#[derive(Clone, Debug)]
pub enum Monitor {
    /// Of Kafka.
    Kafka(KafkaMonitor),
    /// Of a queue.
    Queue(QueueMonitor),
}

impl Monitor {
    /// Why the source can't be worked with, if it can't.
    fn trouble(&self) -> Option<String> {
        match self {
            Self::Kafka(monitor) => (monitor.is_connected() == Some(false))
                .then(|| "the source is unhealthy: no connection to any Kafka broker".to_owned()),
            Self::Queue(monitor) => monitor
                .last_error()
                .map(|(_, error)| format!("the source is unhealthy: {error}")),
        }
    }
}

/// A pipeline's part of [`Statuses`].
#[derive(Debug)]
pub struct Status {
    name: Arc<str>,
    phase: Mutex<Phase>,
}

#[derive(Debug)]
enum Phase {
    Connecting(Option<String>),
    Running {
        progress: Arc<Progress>,
        monitor: Monitor,
        finished: u64,
        waits: Option<Waits>,
    },
    Stopped,
    Failed(String),
}

/// What is told of a pipeline.
#[derive(Debug, Serialize)]
pub struct Told {
    /// Its name.
    pub pipeline: String,
    /// `connecting`, `running`, `stopped` or `failed`.
    pub phase: &'static str,
    /// Whether it carries messages, as far as can be told.
    pub ready: bool,
    /// Why it doesn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Status {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source can't be reached yet.
    pub fn unreachable(&self, error: &eventlane::Error) {
        *self.phase() = Phase::Connecting(Some(error.to_string()));
    }

    /// It connects anew.
    pub fn connects(&self) {
        *self.phase() = Phase::Connecting(None);
    }

    /// Whether it has ended, one way or the other.
    pub fn is_over(&self) -> bool {
        matches!(*self.phase(), Phase::Stopped | Phase::Failed(_))
    }

    /// It runs.
    pub fn runs(&self, progress: Arc<Progress>, monitor: Monitor) {
        *self.phase() = Phase::Running {
            progress,
            monitor,
            finished: 0,
            waits: None,
        };
    }

    /// It has ended: as asked, or with an error.
    pub fn ended(&self, error: Option<String>) {
        *self.phase() = match error {
            Some(error) => Phase::Failed(error),
            None => Phase::Stopped,
        };
    }

    /// How it is now.
    pub fn told(&self) -> Told {
        let mut phase = self.phase();
        let (phase, reason) = match &mut *phase {
            Phase::Connecting(None) => ("connecting", Some("connecting".to_owned())),
            Phase::Connecting(Some(error)) => ("connecting", Some(error.clone())),
            Phase::Failed(error) => ("failed", Some(error.clone())),
            Phase::Stopped => ("stopped", Some("stopped".to_owned())),
            Phase::Running {
                progress,
                monitor,
                finished,
                waits,
            } => {
                let trouble = held(progress, finished, waits);
                ("running", monitor.trouble().or(trouble))
            }
        };
        Told {
            pipeline: self.name.to_string(),
            phase,
            ready: reason.is_none(),
            reason,
        }
    }
}

/// Since when something was seen to wait, and why the last time.
#[derive(Debug)]
struct Waits {
    since: Instant,
    reason: String,
}

/// Whether the destination takes nothing: something waits for it and nothing has been finished since.
/// What it has rejected does not wait for it. `finished` and `waits` are what was seen the last time.
fn held(progress: &Progress, finished: &mut u64, waits: &mut Option<Waits>) -> Option<String> {
    if progress.destination_held() == 1 {
        return Some("the destination refuses every event (401, 403, 407)".to_owned());
    }
    let done =
        progress.delivered() + progress.dead_lettered() + progress.dropped() + progress.released();
    let lanes = progress.held();
    let waiting = lanes.iter().find(|lane| !lane.rejected);
    let rejected = !lanes.is_empty() && waiting.is_none();
    // An attempt may be the next one of what waited before: of one that hangs nothing else is seen.
    let attempts = progress.in_flight() > 0;
    let nothing_waits = !attempts && (rejected || progress.held_lanes() == 0);
    if done != *finished || nothing_waits {
        (*finished, *waits) = (done, None);
    }
    let now = Instant::now();
    if let Some(lane) = waiting {
        let since = waits.as_ref().map_or(now, |waits| waits.since);
        let reason = lane.reason.clone();
        *waits = Some(Waits { since, reason });
    }
    let waits = waits.as_ref()?;
    (now.saturating_duration_since(waits.since) >= HELD_AFTER).then(|| {
        let reason = &waits.reason;
        format!("the destination takes nothing, every lane is held: {reason}")
    })
}

/// How all pipelines are.
#[derive(Clone, Debug, Default)]
pub struct Statuses(Arc<Mutex<Vec<Arc<Status>>>>);

impl Statuses {
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Status>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of one more pipeline, which is connecting.
    pub fn add(&self, name: Arc<str>) -> Arc<Status> {
        let status = Arc::new(Status {
            name,
            phase: Mutex::new(Phase::Connecting(None)),
        });
        self.all().push(Arc::clone(&status));
        status
    }

    /// How they are now.
    pub fn told(&self) -> Vec<Told> {
        self.all().iter().map(|status| status.told()).collect()
    }
}
