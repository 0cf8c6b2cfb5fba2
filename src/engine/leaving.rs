//! Partitions that go to somebody else.
//!
//!
//! The time of a revocation has two parts: until `cut` (three quarters of it) what is in flight may
//! finish; the rest is for settling what did. The [`Revocation`] is dropped, which lets the source
//! give the partitions up, as soon as nothing is in flight and everything done is confirmed, or at
//! the deadline. What was read and not sent is left to the broker at once: sending it would only
//! make the other consumer wait.
//!
//! A loss has no time at all. It also ends a revocation of the same partitions that is under way.

use std::mem;

use tokio::time::Instant;
use tracing::{debug, info};

use super::run::Engine;
use crate::source::{Partition, Revocation};

/// Partitions on their way to somebody else. At `cut`, what is under way is cut off, so that the
/// rest can be settled.
pub(super) struct Leaving {
    pub(super) cut: Instant,
    pub(super) revocation: Revocation,
}

impl Engine<'_> {
    /// Nothing more is sent of these partitions; what is in flight gets its time.
    pub(super) fn revoke(&mut self, revocation: Revocation, now: Instant) {
        let partitions = &revocation.partitions;
        info!(pipeline = %self.options.name, ?partitions, "partitions are being revoked");
        for &partition in partitions {
            if let Some(state) = self.partitions.get(partition) {
                state.leaving = true;
            }
        }
        self.drop_lanes(partitions, now);
        // The last part of the time is for the settlement.
        let left = revocation.deadline.saturating_duration_since(now);
        let cut = now + left - left / 4;
        self.leaving.push(Leaving { cut, revocation });
    }

    /// These partitions are somebody else's already: nothing of them is settled, and what is in
    /// flight is cut off.
    pub(super) fn forsake(&mut self, partitions: &[Partition]) {
        let mut known = Vec::new();
        for &partition in partitions {
            if let Some(state) = self.partitions.get(partition) {
                state.leaving = true;
                known.push(partition);
            }
        }
        if known.is_empty() {
            return;
        }
        // A revocation under way is over for them: letting go later would hit the next assignment.
        self.leaving.retain_mut(|leaving| {
            let partitions = &mut leaving.revocation.partitions;
            partitions.retain(|partition| !known.contains(partition));
            !partitions.is_empty()
        });
        self.drop_lanes(&known, Instant::now());
        self.cut_off(|partition| known.contains(&partition));
        for partition in known {
            self.partitions.remove(partition);
        }
    }

    /// Leaves to the broker what waits in lanes, or for a dead letter that is not being written
    /// yet.
    fn drop_lanes(&mut self, partitions: &[Partition], now: Instant) {
        for item in self
            .lanes
            .remove(|partition| partitions.contains(&partition))
        {
            self.abandon(&item);
        }
        let waiting = self
            .letters
            .remove(|(_, item)| partitions.contains(&item.receipt.partition));
        for (lane, item) in waiting {
            if let Some(state) = self.partitions.of(item.receipt) {
                state.out -= 1;
            }
            self.give_back(lane, item, None, now);
        }
    }

    /// Lets partitions go whose time is up, or of which nothing is under way any more.
    /// Called on every step. Returns when to come back if nothing happens before.
    pub(super) fn let_go(&mut self, now: Instant) -> Option<Instant> {
        let mut wake = None;
        for at in (0..self.leaving.len()).rev() {
            let Leaving { cut, revocation } = &self.leaving[at];
            let (cut, deadline) = (*cut, revocation.deadline);
            let partitions = revocation.partitions.clone();
            let mut busy = partitions.iter().any(|&partition| self.is_out(partition));
            if busy && now >= cut {
                self.cut_off(|partition| partitions.contains(&partition));
                busy = false;
            }
            if (!busy && self.is_told(&partitions)) || now >= deadline {
                for &partition in &partitions {
                    self.partitions.remove(partition);
                }
                debug!(pipeline = %self.options.name, ?partitions, "let go");
                drop(self.leaving.swap_remove(at));
            } else {
                let next = if busy && now < cut { cut } else { deadline };
                wake = Some(wake.map_or(next, |wake: Instant| wake.min(next)));
            }
        }
        wake
    }

    /// Whether the source has confirmed all that is done of these partitions.
    fn is_told(&mut self, partitions: &[Partition]) -> bool {
        let changed = |partition: &Partition| {
            self.partitions
                .get(*partition)
                .is_some_and(|state| state.changed)
        };
        !partitions.iter().any(changed) && !self.settling.is_busy()
    }

    /// Whether anything of it is in flight or on its way to the dead letters.
    fn is_out(&mut self, partition: Partition) -> bool {
        self.partitions
            .get(partition)
            .is_some_and(|state| state.out > 0)
    }

    /// Drops the requests and letters under way of these partitions. They end as cancelled.
    pub(super) fn cut_off(&mut self, which: impl Fn(Partition) -> bool) {
        let now = Instant::now();
        for attempt in mem::take(&mut self.in_flight) {
            let mut items = attempt.items.iter();
            if items.any(|(_, item)| which(item.receipt.partition)) {
                self.judge(attempt.cancel(), now);
            } else {
                self.in_flight.push(attempt);
            }
        }
        self.meter.now.in_flight = self.in_flight.len() as u64;
        let mut gone = self
            .letters
            .remove(|(_, item)| which(item.receipt.partition));
        // A write is one call for many partitions and can't be cut in two: it is dropped as a
        // whole, and what belongs to others is written again.
        let concerned = self
            .letters
            .writes(|(_, item)| which(item.receipt.partition));
        let writing = match concerned {
            true => self.letters.cancel(),
            false => Vec::new(),
        };
        let (ours, others): (Vec<_>, Vec<_>) = writing
            .into_iter()
            .partition(|(_, item)| which(item.receipt.partition));
        gone.extend(ours);
        for item in others.into_iter().rev() {
            self.letters.push(item);
        }
        for (lane, item) in gone {
            if let Some(state) = self.partitions.of(item.receipt) {
                state.out -= 1;
            }
            self.give_back(lane, item, None, now);
        }
    }
}
