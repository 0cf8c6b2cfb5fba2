//! What was received and not handed out yet, and its leases.
//!
//! It is what was asked for because a poll had room for it, and waits until that poll, or the next
//! one, takes it. Its leases are ours to keep; from the hand-out on, the engine asks for that.
//!
//! Every message in the buffer is also in [`Held`](super::held::Held), unless its lease has just
//! run out.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{
    QueueBackend,
    monitor::Count,
    shared::{Shared, State},
};
use crate::{
    ErrorKind, Event,
    source::{Delivery, Demand, Receipt},
};

/// A message that waits to be handed out.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its place in `Held` until it is handed out.
    pub(super) number: u64,
    pub(super) event: Event,
    pub(super) key: Option<Bytes>,
    pub(super) attempt: u32,
    pub(super) invalid: Option<Box<str>>,
}

impl<B: QueueBackend> Shared<B> {
    /// What the demand allows of what is there, in order. The first one may be larger than the
    /// demand has bytes; see [`Demand`].
    ///
    /// The rest of a group waits as long as the engine has an earlier part of it in hand: if that
    /// goes back, so must the rest, and nobody could catch it any more. A message whose lease is
    /// just being extended waits for that, since its handle changes.
    pub(super) fn hand_out(&self, demand: Demand) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        if demand.is_none() {
            return deliveries;
        }
        let mut bytes = demand.bytes;
        let (mut begun, mut waits) = (HashSet::new(), HashSet::new());
        let mut state = self.state();
        let State {
            held, buffer, room, ..
        } = &mut *state;
        let mut rest = VecDeque::with_capacity(buffer.len());
        while let Some(waiting) = buffer.pop_front() {
            let Some(entry) = held.get(waiting.number) else {
                continue;
            };
            let (busy, lease, group) = (entry.busy, entry.until, entry.binding.clone());
            let size = waiting.event.size();
            let fits =
                deliveries.is_empty() || (deliveries.len() < demand.records && size <= bytes);
            let held_up = busy
                || group.as_ref().is_some_and(|group| {
                    waits.contains(group) || (held.is_out(group) && !begun.contains(group))
                });
            if held_up {
                waits.extend(group);
                rest.push_back(waiting);
                continue;
            }
            if !fits {
                rest.push_back(waiting);
                break;
            }
            bytes = bytes.saturating_sub(size);
            room.bytes = room.bytes.saturating_sub(size);
            begun.extend(group);
            let Some(number) = held.hand_out(waiting.number) else {
                continue;
            };
            let mut delivery = Delivery::new(receipt(number), waiting.event);
            delivery.key = waiting.key;
            delivery.attempt = waiting.attempt;
            delivery.invalid = waiting.invalid;
            delivery.lease = Some(lease);
            deliveries.push(delivery);
        }
        rest.append(buffer);
        *buffer = rest;
        room.records = room.records.saturating_sub(deliveries.len());
        deliveries
    }

    /// Keeps the leases of what waits here; the engine asks for those of what it has in hand. Looks
    /// four times in a lease (at most ten times a second), and extends what has less than half of
    /// it left. Also what makes leases run out that nobody polls for. Ends with the poller.
    pub(super) async fn keep_buffer(self: Arc<Self>) {
        let lease = self.limits.lease;
        let pace = (lease / 4).max(Duration::from_millis(100));
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return,
                () = sleep(pace) => {}
            }
            self.expire();
            let due = self.mark_due(lease);
            for chunk in due.chunks(self.limits.batch.max(1)) {
                self.extend_waiting(chunk, lease).await;
            }
        }
    }

    /// What has less than half of its lease left, marked as busy.
    fn mark_due(&self, lease: Duration) -> Vec<Due<B::Handle>> {
        let (mut state, soon) = (self.state(), Instant::now() + lease / 2);
        let State { held, buffer, .. } = &mut *state;
        let numbers = buffer.iter().map(|waiting| waiting.number);
        let due = numbers.filter_map(|number| {
            let entry = held.get(number)?;
            let due = entry.until <= soon && !entry.busy;
            due.then(|| {
                entry.busy = true;
                (number, entry.renewals, entry.handle.clone())
            })
        });
        due.collect()
    }

    /// One request about messages that are marked as busy, which they are not any more when it
    /// ends. A lease that the broker says is over ends here, too; after any other error it is tried
    /// again at the next look. With the poller closing there is none: they are given back.
    async fn extend_waiting(self: &Arc<Self>, due: &[Due<B::Handle>], lease: Duration) {
        let asked = Instant::now();
        let by = self.clamp(lease);
        let changes = due.iter().map(|(_, _, handle)| (handle.clone(), by));
        let results = match self.closing.is_cancelled() {
            true => Vec::new(),
            false => self.change(changes.collect()).await,
        };
        let mut results = results.into_iter();
        let mut back = Vec::new();
        {
            let mut state = self.state();
            for &(number, renewals, _) in due {
                let result = results.next();
                let Some(entry) = state.held.get(number) else {
                    continue;
                };
                entry.busy = false;
                match result {
                    // A newer handle than this answer's is there already.
                    _ if entry.renewals != renewals => {}
                    Some(Ok(handle)) => {
                        (entry.handle, entry.until) = (handle, asked + by);
                        self.monitor.add(Count::Extended, 1);
                    }
                    Some(Err(error)) if error.kind() == ErrorKind::Fenced => {
                        state.held.end(number, asked);
                    }
                    Some(Err(error)) => {
                        warn!(queue = %self.backend.name(), %error, "a lease could not be extended");
                    }
                    None => {}
                }
                if state.held.get(number).is_some_and(|entry| entry.goes_back) {
                    back.extend(state.held.remove(number).map(|entry| entry.handle));
                }
            }
        }
        self.give_back_later(back);
        self.changed.notify_waiters();
    }
}

/// A message whose lease is to be extended: number, renewals, handle.
type Due<H> = (u64, u32, H);

/// Leased queues have one partition, assigned once.
pub(super) fn receipt(number: u64) -> Receipt {
    Receipt {
        partition: super::poller::PARTITION,
        epoch: super::poller::EPOCH,
        seq: number,
    }
}
