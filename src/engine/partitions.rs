//! The partitions that are ours.
//!
//!
//! One state for each assigned partition, found by index. It begins with
//! [`assign`](Partitions::assign) and ends with [`remove`](Partitions::remove), never by itself;
//! everything that comes back later is checked against the epoch ([`of`](Partitions::of)), so that
//! what belongs to an earlier assignment changes nothing in this one.
//!
//! For a log it also knows what the source has been told: `changed` → [`settlements`] → confirmed
//! or [`failed`](Partitions::failed), which begins anew with the newest position. For a queue only
//! `out`, `leaving` and the epoch matter.
//!
//! [`settlements`]: Partitions::settlements

use std::sync::Arc;

use super::watermark::Watermark;
use crate::{
    Error, ErrorKind, Result,
    source::{Action, Assignment, Partition, Receipt, Settlement},
};

/// More would be a defect of the source, and must not make us allocate without end.
const MOST: u32 = 1 << 20;

/// Ranges beyond the watermark that are told to the source: a hint, so the lowest are enough.
const BEYOND: usize = 4096;

/// An assignment. `done` and `confirmed` are for the report; the truth about positions is the watermark.
#[derive(Debug)]
pub(crate) struct PartitionState {
    pub(crate) epoch: u32,
    pub(crate) name: Arc<str>,
    pub(crate) watermark: Watermark,
    /// Events in flight or on their way to the dead letters.
    pub(crate) out: usize,
    pub(crate) paused: bool,
    /// About to be given up: nothing of it is sent any more.
    pub(crate) leaving: bool,
    /// Whether something is done that the source has not been told.
    pub(crate) changed: bool,
    done: u64,
    confirmed: Covered,
    told: Option<Told>,
}

/// What the last settlement said.
#[derive(Clone, Copy, Debug)]
struct Told {
    position: u64,
    beyond: bool,
    covers: Covered,
}

/// How many deliveries lie below a position, and how many events are done with what is beyond it.
#[derive(Clone, Copy, Debug, Default)]
struct Covered {
    low: u64,
    done: u64,
}

/// Indexed by [`Partition`]: small numbers by contract, hence the bound `MOST`.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    states: Vec<Option<PartitionState>>,
    /// Of assignments that are over: events done that no confirmed settlement covered.
    gone_unconfirmed: u64,
}

impl Partitions {
    /// Begins an assignment. One that was there under the same number is forgotten.
    ///
    /// # Errors
    /// `Unexpected` if the number is beyond all reason.
    pub(crate) fn assign(&mut self, assignment: Assignment) -> Result<()> {
        let Assignment {
            partition,
            epoch,
            name,
        } = assignment;
        if partition.0 >= MOST {
            let message = format!(
                "the source names partition {}, more than {MOST}",
                partition.0
            );
            return Err(Error::new(ErrorKind::Unexpected, "assign", message));
        }
        let at = partition.0 as usize;
        if self.states.len() <= at {
            self.states.resize_with(at + 1, || None);
        }
        self.remove(partition);
        self.states[at] = Some(PartitionState {
            epoch,
            name,
            watermark: Watermark::default(),
            out: 0,
            paused: false,
            leaving: false,
            changed: false,
            done: 0,
            confirmed: Covered::default(),
            told: None,
        });
        Ok(())
    }

    /// Ends an assignment. What is done and not settled is delivered again elsewhere.
    pub(crate) fn remove(&mut self, partition: Partition) {
        if let Some(state) = self.states.get_mut(partition.0 as usize) {
            let unconfirmed = state.take().map_or(0, |state| state.unconfirmed());
            self.gone_unconfirmed += unconfirmed;
        }
    }

    /// The state, whatever the epoch.
    pub(crate) fn get(&mut self, partition: Partition) -> Option<&mut PartitionState> {
        self.states.get_mut(partition.0 as usize)?.as_mut()
    }

    /// The partition of a delivery, unless it has been assigned anew since.
    pub(crate) fn of(&mut self, receipt: Receipt) -> Option<&mut PartitionState> {
        self.get(receipt.partition)
            .filter(|state| state.epoch == receipt.epoch)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Partition, &mut PartitionState)> {
        let all = self.states.iter_mut().enumerate();
        all.filter_map(|(at, state)| Some((Partition(at as u32), state.as_mut()?)))
    }

    /// What a log has to be told. Nothing of it is told again unless it [fails](Self::failed).
    pub(crate) fn settlements(&mut self) -> Vec<Settlement> {
        self.iter_mut()
            .filter_map(|(partition, state)| state.settlement(partition))
            .collect()
    }

    /// Whether the open span of any partition is used up.
    pub(crate) fn any_paused(&self) -> bool {
        self.states.iter().flatten().any(|state| state.paused)
    }

    /// Whether a log has to be told anything.
    pub(crate) fn changed(&self) -> bool {
        self.states.iter().flatten().any(|state| state.changed)
    }

    /// A position was confirmed.
    pub(crate) fn confirmed(&mut self, receipt: Receipt) {
        if let Some(state) = self.of(receipt)
            && let Some(told) = state.told
            && told.position == receipt.seq
        {
            state.confirmed = told.covers;
        }
    }

    /// A position was not taken: it is told again.
    pub(crate) fn failed(&mut self, receipt: Receipt) {
        if let Some(state) = self.of(receipt) {
            state.told = None;
            state.changed = true;
        }
    }

    /// How many events are done that no confirmed settlement covers.
    pub(crate) fn unconfirmed(&self) -> u64 {
        let states = self.states.iter().flatten();
        self.gone_unconfirmed + states.map(PartitionState::unconfirmed).sum::<u64>()
    }
}

impl PartitionState {
    /// What was beyond the position counts as long as there is the gap: when it is closed and that
    /// was not confirmed, a log that forgets what is beyond its position hands it all out again.
    fn unconfirmed(&self) -> u64 {
        let Covered { low, done } = self.confirmed;
        let confirmed = match self.watermark.low() > low {
            true => low,
            false => done,
        };
        self.done - confirmed.min(self.done)
    }

    /// An event is done. Once for each delivery: `done` counts.
    pub(crate) fn complete(&mut self, ordinal: u64) {
        self.watermark.complete(ordinal);
        self.done += 1;
        self.changed = true;
    }

    /// What there is to tell, and from here on it counts as told. `None` if nothing changed that a
    /// log could keep: the same position again is news only with something beyond it, or when what
    /// was beyond it is gone.
    fn settlement(&mut self, partition: Partition) -> Option<Settlement> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let position = self.watermark.position()?;
        let beyond = self.watermark.beyond(BEYOND);
        let news = self
            .told
            .is_none_or(|told| told.position != position || told.beyond || !beyond.is_empty());
        self.told = Some(Told {
            position,
            beyond: !beyond.is_empty(),
            covers: Covered {
                low: self.watermark.low(),
                done: match beyond.len() < BEYOND {
                    true => self.done,
                    false => self.watermark.low(),
                },
            },
        });
        news.then_some(Settlement {
            receipt: Receipt {
                partition,
                epoch: self.epoch,
                seq: position,
            },
            action: Action::DoneBelow { beyond },
        })
    }
}
