//! What an endpoint is made to do.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// What `Retry-After` says when an endpoint throttles.
pub const REST: Duration = Duration::from_secs(2);
/// No answer is delayed longer: a pipeline gives up on an attempt after 30 s.
const SLOWEST: Duration = Duration::from_secs(5);

/// How an endpoint behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub enum Behaviour {
    /// Takes everything at once.
    #[default]
    Normal,
    /// Takes everything, each event after a while.
    Slow { ms: u64 },
    /// Takes a quota; beyond it, answers 429 with `Retry-After: 2`.
    Throttled,
    /// Answers 503 to one viewer's events and takes all others.
    Failing { viewer: String },
}

/// Why an event is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 429, with [`REST`].
    Throttled,
    /// 503.
    Failing,
}

/// How an endpoint behaves at present.
#[derive(Debug)]
pub struct Faults(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    behaviour: Behaviour,
    quota: Quota,
}

impl Faults {
    /// Takes `quota` events a second when it throttles.
    pub fn new(quota: f64) -> Self {
        Self(Mutex::new(Inner {
            behaviour: Behaviour::default(),
            quota: Quota::new(quota),
        }))
    }

    /// Behaves like that from the next request on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.lock().behaviour = behaviour;
    }

    pub fn behaviour(&self) -> Behaviour {
        self.lock().behaviour.clone()
    }

    /// What a viewer's event meets: waits if it is to wait.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn meet(&self, viewer: &str) -> Result<(), Refusal> {
        self.admit(viewer)?;
        self.delay().await;
        Ok(())
    }

    /// Whether a viewer's event is taken.
    ///
    /// # Errors
    /// If it is refused.
    pub fn admit(&self, viewer: &str) -> Result<(), Refusal> {
        let mut inner = self.lock();
        match &inner.behaviour {
            Behaviour::Normal | Behaviour::Slow { .. } => Ok(()),
            Behaviour::Throttled => match inner.quota.admits(Instant::now()) {
                true => Ok(()),
                false => Err(Refusal::Throttled),
            },
            Behaviour::Failing { viewer: one } if one == viewer => Err(Refusal::Failing),
            Behaviour::Failing { .. } => Ok(()),
        }
    }

    /// Lets an event that is taken wait, if it has to.
    pub async fn delay(&self) {
        if let Behaviour::Slow { ms } = self.behaviour() {
            tokio::time::sleep(Duration::from_millis(ms).min(SLOWEST)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes so much in a span, then nothing until the next one.
#[derive(Debug)]
struct Quota {
    size: f64,
    left: f64,
    until: Option<Instant>,
}

impl Quota {
    fn new(per_second: f64) -> Self {
        let size = (per_second * REST.as_secs_f64()).max(1.0);
        Self {
            size,
            left: 0.0,
            until: None,
        }
    }

    fn admits(&mut self, now: Instant) -> bool {
        if self.until.is_none_or(|until| now >= until) {
            self.left = self.size;
            self.until = Some(now + REST);
        }
        let admitted = self.left >= 1.0;
        if admitted {
            self.left -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviours_are_told_apart_by_their_mode() {
        let read = |json| serde_json::from_str::<Behaviour>(json);
        assert_eq!(read(r#"{"mode":"normal"}"#).unwrap(), Behaviour::Normal);
        assert_eq!(
            read(r#"{"mode":"slow","ms":7}"#).unwrap(),
            Behaviour::Slow { ms: 7 }
        );
        assert!(read(r#"{"mode":"angry"}"#).is_err());
    }
}
