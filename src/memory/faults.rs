//! Failures by script.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time};

use crate::{Error, ErrorKind, Result, source::Receipt};

/// Makes the sources of one log or queue fail, as scripted:
/// [`MemoryLog::faults`](super::MemoryLog::faults),
/// [`MemoryQueue::faults`](super::MemoryQueue::faults).
///
/// A script holds for all sources of the log or queue together, present and future: each scripted
/// fault happens once, to whichever source comes first. Scripting more adds to what is left.
#[derive(Clone, Debug)]
pub struct Faults {
    script: Arc<Mutex<Script>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Script {
    polls: VecDeque<Error>,
    settles: VecDeque<Error>,
    settlements: VecDeque<Error>,
    settle_delay: Duration,
    lost_answers: usize,
}

impl Faults {
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        Self {
            script: Arc::default(),
            changed,
        }
    }

    /// Each of the next polls fails with one of these errors. A poll that waits already fails at
    /// once.
    pub fn fail_polls(&self, errors: impl IntoIterator<Item = Error>) {
        self.script().polls.extend(errors);
        self.changed.notify_waiters();
    }

    /// Each of the next calls of `settle` fails as a whole with one of these errors, and changes
    /// nothing.
    pub fn fail_settles(&self, errors: impl IntoIterator<Item = Error>) {
        self.script().settles.extend(errors);
    }

    /// Each of the next settlements, counted over all calls, fails by itself with one of these
    /// errors, and changes nothing.
    pub fn fail_settlements(&self, errors: impl IntoIterator<Item = Error>) {
        self.script().settlements.extend(errors);
    }

    /// From now on every call of `settle` takes so long *before* it has an effect; zero ends that.
    /// What is fenced is decided at the end, and a call whose future is dropped meanwhile has no
    /// effect.
    pub fn delay_settles(&self, by: Duration) {
        self.script().settle_delay = by;
    }

    /// The next `calls` of `settle` have their effect, but fail as
    /// [`Unavailable`](ErrorKind::Unavailable), as if the broker's answer had got lost.
    pub fn lose_settle_answers(&self, calls: usize) {
        self.script().lost_answers += calls;
    }

    pub(super) fn poll(&self) -> Result<()> {
        self.script().polls.pop_front().map_or(Ok(()), Err)
    }

    pub(super) async fn before_settle(&self) -> Result<()> {
        let delay = self.script().settle_delay;
        if !delay.is_zero() {
            time::sleep(delay).await;
        }
        self.script().settles.pop_front().map_or(Ok(()), Err)
    }

    pub(super) fn settlement(&self) -> Result<()> {
        self.script().settlements.pop_front().map_or(Ok(()), Err)
    }

    pub(super) fn after_settle(&self) -> Result<()> {
        let mut script = self.script();
        if script.lost_answers == 0 {
            return Ok(());
        }
        script.lost_answers -= 1;
        Err(Error::new(
            ErrorKind::Unavailable,
            SETTLE,
            "no answer came in time",
        ))
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SETTLE: &str = "settle";

pub(super) fn fenced(receipt: Receipt, message: &'static str) -> Error {
    Error::new(ErrorKind::Fenced, SETTLE, message).with_context("receipt", receipt)
}

pub(super) fn rejected(receipt: Receipt, message: &'static str) -> Error {
    Error::new(ErrorKind::Rejected, SETTLE, message).with_context("receipt", receipt)
}

pub(super) fn unsupported(receipt: Receipt, message: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, SETTLE, message).with_context("receipt", receipt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> Error {
        Error::new(ErrorKind::Throttled, "test", message)
    }

    #[tokio::test(start_paused = true)]
    async fn each_fault_happens_once_in_the_order_of_the_script() {
        let faults = Faults::new(Arc::default());
        faults.fail_polls([error("a"), error("b")]);
        faults.fail_settles([error("c")]);
        faults.fail_settlements([error("d")]);
        faults.lose_settle_answers(1);
        assert!(
            faults
                .poll()
                .is_err_and(|error| error.to_string().ends_with('a'))
        );
        assert!(
            faults
                .poll()
                .is_err_and(|error| error.to_string().ends_with('b'))
        );
        assert!(faults.poll().is_ok());
        assert!(faults.before_settle().await.is_err());
        assert!(faults.before_settle().await.is_ok());
        assert!(faults.settlement().is_err());
        assert!(faults.settlement().is_ok());
        assert!(
            faults
                .after_settle()
                .is_err_and(|error| error.kind() == ErrorKind::Unavailable)
        );
        assert!(faults.after_settle().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_lasts_until_it_is_ended() {
        let faults = Faults::new(Arc::default());
        let start = time::Instant::now();
        faults.delay_settles(Duration::from_secs(3));
        faults.before_settle().await.unwrap();
        faults.before_settle().await.unwrap();
        assert_eq!(time::Instant::now() - start, Duration::from_secs(6));
        faults.delay_settles(Duration::ZERO);
        faults.before_settle().await.unwrap();
        assert_eq!(time::Instant::now() - start, Duration::from_secs(6));
    }
}
