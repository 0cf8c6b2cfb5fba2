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

/// How often to look since when that is so, whether anybody asks or not.
pub const LOOK: Duration = Duration::from_secs(1);

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
        since: Instant,
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
            since: Instant::now(),
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
                since,
            } => {
                let trouble = held(progress, finished, since);
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

/// Whether the destination takes nothing. `finished` and `since` are what was seen the last time
/// that something moved, or nothing waited for it. What it has rejected doesn't wait for it.
fn held(progress: &Progress, finished: &mut u64, since: &mut Instant) -> Option<String> {
    if progress.destination_held() == 1 {
        return Some("the destination refuses every event (401, 403, 407)".to_owned());
    }
    let now = Instant::now();
    let done =
        progress.delivered() + progress.dead_lettered() + progress.dropped() + progress.released();
    let lanes = match progress.held_lanes() {
        0 => Vec::new(),
        _ => progress.held(),
    };
    let waits = lanes.iter().find(|lane| !lane.rejected);
    if done != *finished || waits.is_none() {
        (*finished, *since) = (done, now);
    }
    let lane = waits.filter(|_| now.saturating_duration_since(*since) >= HELD_AFTER)?;
    let reason = &lane.reason;
    Some(format!(
        "the destination takes nothing, every lane is held: {reason}"
    ))
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
