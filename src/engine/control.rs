//! What can be changed of a pipeline while it runs.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

use super::{BatchPolicy, Budgets, OnExhausted, Options, Pipeline, Retry};
use crate::{Error, ErrorKind, Result};

/// Settings that can be changed while a pipeline runs.
///
/// What is under way goes on as it was begun: an attempt keeps its timeout, an event that waits for
/// a retry its delay. Nothing is lost by a change, sent twice or put out of order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LiveSettings {
    /// How much may be in hand at once. With less than is in hand already, reading stops until
    /// there is room.
    pub budgets: Budgets,
    /// How events are put together.
    pub batch: BatchPolicy,
    /// When a failed event is tried again, and how long an attempt may take.
    pub retry: Retry,
    /// What becomes of an event that is given up from now on.
    pub on_exhausted: OnExhausted,
}

/// Changes the settings of a pipeline while it runs: [`Pipeline::control`].
///
/// ```
/// use eventlane::{Event, Pipeline, Retry, memory::MemoryLog, sink::FunctionSink};
///
/// # fn sink() -> impl eventlane::Sink { FunctionSink::new(|_: Event| async {}) }
/// let pipeline = Pipeline::new(MemoryLog::new(1).source("orders"), sink());
/// let control = pipeline.control();
/// // … while it runs:
/// let mut settings = control.settings();
/// settings.retry = Retry::default().with_attempts(3);
/// control.set(settings)?;
/// # Ok::<(), eventlane::Error>(())
/// ```
#[derive(Clone)]
pub struct Control {
    settings: Arc<watch::Sender<LiveSettings>>,
    dead_letter: bool,
    release: bool,
}

impl Control {
    pub(super) fn of(pipeline: &Pipeline) -> Self {
        Self {
            settings: Arc::clone(&pipeline.live),
            dead_letter: pipeline.dead_letter.is_some(),
            release: pipeline.can_release(),
        }
    }

    /// The settings in effect, or about to be.
    pub fn settings(&self) -> LiveSettings {
        self.settings.borrow().clone()
    }

    /// Changes them. They are in effect before the next event is sent. Of a pipeline that has ended,
    /// nothing happens.
    ///
    /// # Errors
    /// `Config` if they can't work; then nothing is changed.
    pub fn set(&self, settings: LiveSettings) -> Result<()> {
        check(&settings, self.dead_letter, self.release)?;
        self.settings.send_replace(settings);
        Ok(())
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("settings", &*self.settings.borrow())
            .finish_non_exhaustive()
    }
}

/// Whether settings can work for a pipeline with a dead-letter sink, or whose source takes messages
/// back.
pub(super) fn check(settings: &LiveSettings, dead_letter: bool, release: bool) -> Result<()> {
    let config = |message: &str| Err(Error::new(ErrorKind::Config, "start", message));
    let budgets = &settings.budgets;
    if budgets.requests == 0 || budgets.events == 0 || budgets.bytes == 0 || budgets.span == 0 {
        return config("a budget of 0 lets nothing through: set it to at least 1");
    }
    if settings.batch.events == 0 {
        return config("a batch needs room for at least 1 event");
    }
    if settings.retry.attempts == Some(0) {
        return config("at least 1 attempt is needed to deliver anything");
    }
    if settings.retry.timeout.is_zero() {
        return config("an attempt needs a timeout above 0");
    }
    match settings.on_exhausted {
        OnExhausted::DeadLetter if !dead_letter => {
            config("on_exhausted is dead-letter, but there is no dead-letter sink: set one")
        }
        OnExhausted::Release { .. } if !release => {
            config("on_exhausted is release, but this source can't take messages back")
        }
        _ => Ok(()),
    }
}

impl Options {
    pub(super) fn live(&self) -> LiveSettings {
        LiveSettings {
            budgets: self.budgets,
            batch: self.batch,
            retry: self.retry.clone(),
            on_exhausted: self.on_exhausted,
        }
    }

    /// Takes over what has changed.
    pub(super) fn adopt(&mut self, settings: LiveSettings) {
        let LiveSettings {
            budgets,
            batch,
            retry,
            on_exhausted,
        } = settings;
        (self.budgets, self.batch, self.retry) = (budgets, batch, retry);
        self.on_exhausted = on_exhausted;
        self.bound();
    }
}
