//! A queue's messages, their leases and groups. Time is an argument: what has run out by `now` is
//! seen to at the beginning of each call, so nothing has to run in the background.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Record,
    faults::{fenced, unsupported},
    later,
};
use crate::{
    Event, Result,
    source::{Action, Delivery, Demand, Partition, Receipt, Settlement},
};

/// Names a source of the queue; never used twice. Its deliveries bear it as their epoch.
pub(super) type HolderId = u32;

/// The one partition of a queue.
pub(super) const PARTITION: Partition = Partition(0);

/// A queue's messages and who has them on lease. A message is in exactly one state: ready, leased,
/// delayed, or behind another message of its group.
#[derive(Debug, Default)]
pub(super) struct Leases {
    messages: HashMap<u64, Message>,
    ready: BTreeSet<u64>,
    leased: HashMap<u64, Lease>,
    expiries: BTreeSet<(Instant, u64)>,
    delayed: BTreeSet<(Instant, u64)>,
    /// The messages of each group in order; all but the first wait for it. `None` if the queue has
    /// no groups.
    groups: Option<HashMap<Bytes, VecDeque<u64>>>,
    next_message: u64,
    /// Rises with each delivery, and so do the receipts.
    next_seq: u64,
}

/// Stays until it is done, leased or not. `attempts` counts deliveries.
#[derive(Debug)]
struct Message {
    record: Record,
    size: usize,
    attempts: u32,
}

/// Found by the delivery's `seq`, so a receipt of an earlier lease finds nothing.
#[derive(Debug)]
struct Lease {
    message: u64,
    holder: HolderId,
    until: Instant,
}

impl Leases {
    /// From now on messages with equal keys form a group.
    pub(super) fn with_groups(&mut self) {
        self.groups.get_or_insert_default();
    }

    pub(super) fn send(&mut self, record: Record) -> u64 {
        let id = self.next_message;
        self.next_message += 1;
        let first = match (&mut self.groups, &record.key) {
            (Some(groups), Some(key)) => {
                let group = groups.entry(key.clone()).or_default();
                group.push_back(id);
                group.len() == 1
            }
            _ => true,
        };
        if first {
            self.ready.insert(id);
        }
        let size = record.event.size();
        self.messages.insert(
            id,
            Message {
                record,
                size,
                attempts: 0,
            },
        );
        id
    }

    /// Those not done yet.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn events(&self) -> Vec<Event> {
        let mut ids: Vec<_> = self.messages.keys().collect();
        ids.sort_unstable();
        ids.iter()
            .filter_map(|id| Some(self.messages.get(id)?.record.event.clone()))
            .collect()
    }

    /// Those that somebody has on lease.
    pub(super) fn leased(&mut self, now: Instant) -> usize {
        self.expire(now);
        self.leased.len()
    }

    /// Leases what is ready, within the demand.
    pub(super) fn receive(
        &mut self,
        holder: HolderId,
        demand: Demand,
        now: Instant,
        lease: Duration,
    ) -> Vec<Delivery> {
        self.expire(now);
        let mut deliveries = Vec::with_capacity(demand.records.min(self.ready.len()));
        let mut bytes = 0_usize;
        while deliveries.len() < demand.records
            && let Some(&id) = self.ready.first()
            && let Some(message) = self.messages.get_mut(&id)
        {
            bytes = bytes.saturating_add(message.size);
            if bytes > demand.bytes && !deliveries.is_empty() {
                break;
            }
            self.ready.pop_first();
            let seq = self.next_seq;
            self.next_seq += 1;
            let until = later(now, lease);
            self.leased.insert(
                seq,
                Lease {
                    message: id,
                    holder,
                    until,
                },
            );
            self.expiries.insert((until, seq));
            message.attempts += 1;
            deliveries.push(Delivery {
                receipt: Receipt {
                    partition: PARTITION,
                    epoch: holder,
                    seq,
                },
                key: message.record.key.clone(),
                event: message.record.event.clone(),
                attempt: message.attempts,
                lease: Some(until),
                invalid: message.record.invalid.clone(),
            });
        }
        deliveries
    }

    /// When something becomes ready by itself.
    pub(super) fn next_change(&self) -> Option<Instant> {
        let at = |set: &BTreeSet<(Instant, u64)>| set.first().map(|(at, _)| *at);
        [at(&self.expiries), at(&self.delayed)]
            .into_iter()
            .flatten()
            .min()
    }

    /// # Errors
    /// `Unsupported` for a position; `Fenced` if the lease is over or another source's.
    pub(super) fn settle(
        &mut self,
        holder: HolderId,
        settlement: Settlement,
        now: Instant,
    ) -> Result<()> {
        let Settlement { receipt, action } = settlement;
        if let Action::DoneBelow { .. } = action {
            return Err(unsupported(receipt, "a queue is settled one by one only"));
        }
        self.expire(now);
        let named = receipt.partition == PARTITION && receipt.epoch == holder;
        let lease = self.leased.get_mut(&receipt.seq);
        let Some(lease) = lease.filter(|lease| named && lease.holder == holder) else {
            return Err(fenced(receipt, "this lease is over"));
        };
        if let Action::Extend { by } = action {
            self.expiries.remove(&(lease.until, receipt.seq));
            lease.until = later(now, by);
            self.expiries.insert((lease.until, receipt.seq));
            return Ok(());
        }
        let Some(message) = self.end_lease(receipt.seq) else {
            return Ok(());
        };
        match action {
            Action::GiveBack => {
                self.ready.insert(message);
            }
            Action::Release { after } if after.is_zero() => {
                self.ready.insert(message);
            }
            Action::Release { after } => {
                self.delayed.insert((later(now, after), message));
            }
            Action::Done | Action::DoneBelow { .. } | Action::Extend { .. } => self.done(message),
        }
        Ok(())
    }

    /// Gives back at once what this holder has on lease.
    pub(super) fn release_all(&mut self, holder: HolderId) {
        let held = self
            .leased
            .iter()
            .filter(|(_, lease)| lease.holder == holder);
        for seq in held.map(|(seq, _)| *seq).collect::<Vec<_>>() {
            let message = self.end_lease(seq);
            self.ready.extend(message);
        }
    }

    /// Leases that are over and delays that have passed make their messages ready.
    fn expire(&mut self, now: Instant) {
        while let Some(&(until, seq)) = self.expiries.first()
            && until <= now
        {
            let message = self.end_lease(seq);
            self.ready.extend(message);
        }
        while let Some(&(until, message)) = self.delayed.first()
            && until <= now
        {
            self.delayed.pop_first();
            self.ready.insert(message);
        }
    }

    fn end_lease(&mut self, seq: u64) -> Option<u64> {
        let lease = self.leased.remove(&seq)?;
        self.expiries.remove(&(lease.until, seq));
        Some(lease.message)
    }

    /// The message is gone, and the next of its group may come.
    fn done(&mut self, id: u64) {
        let Some(message) = self.messages.remove(&id) else {
            return;
        };
        let (Some(groups), Some(key)) = (&mut self.groups, message.record.key) else {
            return;
        };
        let Some(group) = groups.get_mut(&key) else {
            return;
        };
        group.pop_front();
        match group.front() {
            Some(&next) => {
                self.ready.insert(next);
            }
            None => {
                groups.remove(&key);
            }
        }
    }
}
