//! What the consumer's thread and the engine's side have in common.
//!
//!
//! One mutex for both sides. The engine's poll holds it while it takes records and converts them
//! (at most 256 deliveries a poll, see the outlet); the consumer's thread takes it for moments, and
//! never while it waits for the broker. After each change of what a poll would return, that thread
//! calls `news.notify_one()`; the permit that `Notify` stores keeps a poll that is about to wait
//! from missing it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eventlane::{
    Result,
    source::{Demand, Partition, Signal},
};
use tokio::sync::Notify;

use crate::{context::Context, intake::Intake, lag::KafkaMonitor, native::Records, outlet::Outlet};

/// Records are fetched by librdkafka's threads, and made into events where the engine polls: what
/// one thread allocates and another frees costs more than all else that is done to an event. The
/// consumer's thread sees to everything else.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Wakes the engine's side.
    pub(crate) news: Arc<Notify>,
    pub(crate) monitor: KafkaMonitor,
}

/// Behind the mutex: what is handed out, what is made of records, and where they come from.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) outlet: Outlet,
    pub(crate) intake: Intake,
    /// There while the consumer lives; the consumer's thread puts it in and takes it out.
    pub(crate) records: Option<Records<Context>>,
}

impl Shared {
    pub(crate) fn new(intake: Intake) -> Self {
        let state = State {
            outlet: Outlet::default(),
            intake,
            records: None,
        };
        Self {
            state: Mutex::new(state),
            news: Arc::default(),
            monitor: KafkaMonitor::default(),
        }
    }

    /// Held for as long as a poll makes events, and else briefly.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is, or waits for it. Cancel-safe: what is taken out is returned at once.
    pub(crate) async fn take(&self, demand: Demand) -> Result<Signal> {
        loop {
            let news = self.news.notified();
            if let Some(signal) = self.state().next(demand) {
                return signal;
            }
            news.await;
        }
    }

    /// Ends the source.
    /// Only the first error is told; the engine ends at it.
    pub(crate) fn fail(&self, error: eventlane::Error) {
        self.state().outlet.fail(error);
        self.news.notify_one();
    }

    /// The engine pauses partitions. Those that are not assigned are passed over: their pause would
    /// be in force when the next assignment begins, which begins resumed.
    pub(crate) fn pause(&self, partitions: &[Partition]) {
        let mut state = self.state();
        for &partition in partitions {
            // One that is about to go is passed over as well: nobody would resume it.
            let live = state.intake.partitions.live_mut(partition);
            if live.is_some_and(|live| !live.leaving) {
                state.outlet.pause(partition);
            }
        }
    }

    /// The engine resumes partitions. What was set aside is handed out next, in its order.
    pub(crate) fn resume(&self, partitions: &[Partition]) {
        let mut state = self.state();
        for &partition in partitions {
            state.outlet.resume(partition);
        }
    }
}

impl State {
    /// What a poll returns, if there is anything. Records are popped one by one, as far as the
    /// demand goes: what stays in librdkafka's queue counts against its memory limit, and not
    /// against ours.
    fn next(&mut self, demand: Demand) -> Option<Result<Signal>> {
        let Self {
            outlet,
            intake,
            records,
        } = self;
        intake.begin();
        outlet.next(demand, || {
            let records = records.as_ref()?;
            let record = records.pop()?;
            Some(intake.take(&record, |slot| records.watermarks(&slot.topic, slot.number)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::EventConfig, convert::Converter};

    /// The engine may ask for a pause that crosses the revocation: by then the partition is leaving.
    /// Paused, its next assignment would deliver nothing, since the engine believes it resumed.
    #[test]
    fn a_pause_of_a_partition_that_leaves_does_not_outlive_it() {
        let converter = Converter::new(&EventConfig::default());
        let shared = Shared::new(Intake::new("g", Converter::new(&EventConfig::default())));
        let assign = || {
            let partitions = &mut shared.state().intake.partitions;
            partitions
                .assign("t", 0, None, Vec::new(), &converter)
                .partition
        };
        let partition = assign();
        shared.pause(&[partition]);
        assert!(shared.state().outlet.is_paused(partition));
        shared.resume(&[partition]);

        {
            let mut state = shared.state();
            let live = state.intake.partitions.live_mut(partition);
            live.unwrap().leaving = true;
        }
        shared.pause(&[partition]);
        assert_eq!(assign(), partition);
        assert!(!shared.state().outlet.is_paused(partition));
    }
}
