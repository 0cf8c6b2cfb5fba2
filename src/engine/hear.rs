//! What the source says.

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    Keyless, Ordering,
    lanes::{Item, LaneKey},
    run::{Engine, Leaving},
};
use crate::{
    Error, ErrorKind, Result,
    source::{Delivery, Partition, Revocation, Signal},
};

impl Engine<'_> {
    pub(super) fn hear(&mut self, signal: Result<Signal>) {
        let now = Instant::now();
        let signal = match signal {
            Ok(signal) => signal,
            Err(error) => return self.poll_failed(error, now),
        };
        self.poll_succeeded();
        match signal {
            Signal::Deliveries(deliveries) => self.receive(deliveries, now),
            Signal::Assigned(assignments) => {
                for assignment in assignments {
                    info!(pipeline = %self.options.name, partition = %assignment.name, "assigned");
                    self.forsake(&[assignment.partition]);
                    if let Err(error) = self.partitions.assign(assignment) {
                        self.fail(error);
                    }
                }
            }
            Signal::Advanced(positions) => {
                for position in positions {
                    if let Some(state) = self.partitions.get(position.partition)
                        && state.epoch == position.epoch
                    {
                        state.watermark.advance(position.next);
                        state.changed = true;
                    }
                }
            }
            Signal::Revoking(revocation) => self.revoke(revocation, now),
            Signal::Lost(partitions) => {
                warn!(pipeline = %self.options.name, ?partitions, "partitions lost");
                self.forsake(&partitions);
            }
            Signal::End => self.source_ended(),
        }
    }

    fn receive(&mut self, deliveries: Vec<Delivery>, now: Instant) {
        if !deliveries.is_empty() {
            self.last_delivery = now;
        }
        for delivery in deliveries {
            self.take_in(delivery, now);
        }
        self.meter.now.buffered_events = self.buffered_events as u64;
        self.meter.now.buffered_bytes = self.buffered_bytes as u64;
    }

    fn take_in(&mut self, delivery: Delivery, now: Instant) {
        let Delivery {
            receipt,
            key,
            event,
            attempt,
            lease,
            invalid,
        } = delivery;
        let cumulative = self.settling.is_cumulative();
        let stopping = self.is_stopping();
        self.meter.now.received += 1;
        self.meter.now.redelivered += u64::from(attempt > 1);
        let Some(partition) = self.partitions.of(receipt).filter(|state| !state.leaving) else {
            debug!(pipeline = %self.options.name, %receipt, "delivery of a partition that is not ours");
            self.meter.now.fenced += 1;
            return;
        };
        let mut ordinal = 0;
        if cumulative {
            let Some(number) = partition.watermark.deliver(receipt.seq) else {
                let message = format!("{} came out of order", partition.name);
                let error = Error::new(ErrorKind::Unexpected, "receive", message);
                return self.fail(error.with_context("offset", receipt.seq));
            };
            ordinal = number;
            if !partition.paused && partition.watermark.open() >= self.options.budgets.span {
                partition.paused = true;
                self.pauses.push(receipt.partition);
            }
        }
        if let Some(until) = lease {
            self.leases.keep(receipt, until, now);
        }
        let bytes = event.size();
        self.buffered_events += 1;
        self.buffered_bytes += bytes;
        let item = Item {
            event,
            receipt,
            ordinal,
            bytes,
            received: now,
            leased: lease.is_some(),
            cap: usize::MAX,
            attempts: 0,
            trouble: None,
            invalid,
        };
        if stopping {
            return self.abandon(&item);
        }
        let (key, own) = match (self.options.ordering, key) {
            (Ordering::None, _) => (None, true),
            (Ordering::Partition, _) => (None, false),
            (Ordering::Key, None) => (None, self.options.keyless == Keyless::Unordered),
            (Ordering::Key, key) => (key, false),
        };
        self.lanes.push(
            LaneKey {
                partition: receipt.partition,
                key,
            },
            own,
            item,
        );
    }

    /// Nothing more is sent of these partitions; what is in flight gets its time.
    fn revoke(&mut self, revocation: Revocation, now: Instant) {
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

    /// These partitions are somebody else's already: nothing of them is settled, and what is in flight is cut off.
    fn forsake(&mut self, partitions: &[Partition]) {
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
        self.drop_lanes(&known, Instant::now());
        self.cut_off(|partition| known.contains(&partition));
        for partition in known {
            self.partitions.remove(partition);
        }
    }

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
}
