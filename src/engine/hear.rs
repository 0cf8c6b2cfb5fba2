//! What the source says.
//!
//!
//! Everything a poll brings comes through here, in its order, and is taken in at once: nothing
//! waits, so a poll is never held up by what the sink does. A delivery becomes an
//! [`Item`](super::lanes::Item) in a lane, unless its partition is not ours any more or the
//! pipeline is stopping; then it is left to the broker.
//!
//! Rules of the [contract](crate::source) are checked where breaking them would lose events: a
//! log's `seq` that does not rise ends the pipeline as `Unexpected`.

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    Keyless, Ordering,
    lanes::{Item, LaneKey},
    run::Engine,
};
use crate::{
    Error, ErrorKind, Result,
    source::{Delivery, Signal},
};

impl Engine<'_> {
    /// Takes in what a poll returned.
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
                self.last_news = Some(now);
                for assignment in assignments {
                    info!(pipeline = %self.options.name, partition = %assignment.name, "assigned");
                    // By contract its end came before. If it did not, what is in hand is of the old
                    // epoch.
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

    /// Takes in deliveries, however many: the demand bounded them.
    fn receive(&mut self, deliveries: Vec<Delivery>, now: Instant) {
        if !deliveries.is_empty() {
            self.last_news = Some(now);
        }
        for delivery in deliveries {
            self.take_in(delivery, now);
        }
        self.meter.now.buffered_events = self.buffered_events as u64;
        self.meter.now.buffered_bytes = self.buffered_bytes as u64;
    }

    /// One delivery. Counts it against the budgets, follows its lease, numbers it in the watermark,
    /// pauses its partition when the open span is used up, and puts it into its lane.
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
            deliveries: attempt,
            trouble: None,
            invalid,
        };
        if stopping {
            return self.abandon(&item);
        }
        let (key, own) = match (self.options.ordering, key) {
            (Ordering::None, _) => (None, true),
            (Ordering::Partition, _) => (None, false),
            (Ordering::Key, None) => {
                let unordered = !self.ordered || self.options.keyless == Keyless::Unordered;
                (None, unordered)
            }
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
}
