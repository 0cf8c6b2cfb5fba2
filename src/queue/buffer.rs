//! What was received and not handed out yet, and its leases.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{QueueBackend, monitor::Count, shared::Shared};
use crate::{
    ErrorKind, Event,
    source::{Delivery, Demand, Receipt},
};

/// A message that waits to be handed out.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) number: u64,
    pub(super) event: Event,
    pub(super) key: Option<Bytes>,
    pub(super) attempt: u32,
    pub(super) invalid: Option<Box<str>>,
}

impl<B: QueueBackend> Shared<B> {
    /// What the demand allows of what is there.
    pub(super) fn hand_out(&self, demand: Demand) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        if demand.is_none() {
            return deliveries;
        }
        let mut bytes = demand.bytes;
        let mut state = self.state();
        while deliveries.len() < demand.records
            && let Some(waiting) = state.buffer.front()
        {
            let size = waiting.event.size();
            if size > bytes && !deliveries.is_empty() {
                break;
            }
            // An extension under way would end after the engine has begun to keep the lease.
            let number = waiting.number;
            let lease = match state.held.get(number) {
                Some(entry) if entry.busy => break,
                entry => entry.map(|entry| entry.until),
            };
            let Some(waiting) = state.buffer.pop_front() else {
                break;
            };
            let Some(lease) = lease else { continue };
            bytes = bytes.saturating_sub(size);
            let mut delivery = Delivery::new(receipt(number), waiting.event);
            delivery.key = waiting.key;
            delivery.attempt = waiting.attempt;
            delivery.invalid = waiting.invalid;
            delivery.lease = Some(lease);
            deliveries.push(delivery);
        }
        state.room = state.room.saturating_sub(deliveries.len());
        deliveries
    }

    /// Keeps the leases of what waits here; the engine asks for those of what it has in hand.
    pub(super) async fn keep_buffer(self: Arc<Self>) {
        let lease = self.limits.lease;
        let pace = (lease / 4).max(Duration::from_millis(100));
        loop {
            tokio::select! {
                () = sleep(pace) => {}
                () = self.closing.cancelled() => return,
            }
            self.expire();
            let due: Vec<_> = {
                let (mut state, soon) = (self.state(), Instant::now() + lease / 2);
                let state = &mut *state;
                let numbers = state.buffer.iter().map(|waiting| waiting.number);
                let due = numbers.filter_map(|number| {
                    let entry = state.held.get(number)?;
                    let due = entry.until <= soon && !entry.busy;
                    due.then(|| {
                        entry.busy = true;
                        (number, entry.handle.clone())
                    })
                });
                due.collect()
            };
            for chunk in due.chunks(self.limits.batch.max(1)) {
                self.extend_waiting(chunk, lease).await;
            }
        }
    }

    async fn extend_waiting(&self, due: &[(u64, B::Handle)], lease: Duration) {
        let asked = Instant::now();
        let by = self.clamp(lease);
        let changes: Vec<_> = due.iter().map(|(_, handle)| (handle.clone(), by)).collect();
        let answer = self.backend.change_visibility(&changes).await;
        let mut results = match answer {
            Ok(results) => results,
            Err(error) => {
                warn!(queue = %self.backend.name(), %error, "leases could not be extended");
                Vec::new()
            }
        }
        .into_iter();
        {
            let mut state = self.state();
            for &(number, _) in due {
                let result = results.next();
                let Some(entry) = state.held.get(number) else {
                    continue;
                };
                entry.busy = false;
                match result {
                    Some(Ok(handle)) => {
                        (entry.handle, entry.until) = (handle, asked + by);
                        self.monitor.add(Count::Extended, 1);
                    }
                    Some(Err(error)) if error.kind() == ErrorKind::Fenced => {
                        state.held.end(number, asked);
                    }
                    // It runs out, unless the next try comes through.
                    _ => {}
                }
            }
        }
        self.changed.notify_waiters();
    }
}

/// Leased queues have one partition, assigned once.
pub(super) fn receipt(number: u64) -> Receipt {
    Receipt {
        partition: super::poller::PARTITION,
        epoch: super::poller::EPOCH,
        seq: number,
    }
}
