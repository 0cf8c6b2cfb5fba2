//! Leases of what is in hand: extended at half life, and known to be over when they are.
//!
//!
//! An extension is asked for when half of the lease is over, again and again until the event is
//! done with; that leaves the other half for answers that are late. A lease that could not be
//! extended ends at its time, and the event is then not sent any more: somebody else may have it.
//!
//! Times are this process's. An extension counts from when it was *asked* for, not from when the
//! answer came, so that what we believe of it never outlasts what the broker does.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use crate::source::{Action, Receipt, Settlement};

/// One deadline-ordered structure for all leases, in hand or in flight.
///
/// `due` may hold receipts that have ended; they are passed over when their time comes.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// How long an extension lasts; `None` if the source can't extend.
    extension: Option<Duration>,
    until: HashMap<Receipt, Instant>,
    due: BinaryHeap<Reverse<(Instant, Receipt)>>,
}

impl Leases {
    pub(crate) fn new(extension: Option<Duration>) -> Self {
        Self {
            extension,
            ..Self::default()
        }
    }

    /// A lease begins, or lasts until another moment.
    pub(crate) fn keep(&mut self, receipt: Receipt, until: Instant, now: Instant) {
        self.until.insert(receipt, until);
        // What is done with is only looked at in its time: it must not pile up behind long leases.
        if self.due.len() > 2 * self.until.len() + 64 {
            let until = &self.until;
            let mut live: Vec<_> = self.due.drain().collect();
            live.retain(|Reverse((_, receipt))| until.contains_key(receipt));
            self.due = live.into();
        }
        if self.extension.is_some() {
            self.due.push(Reverse((
                now + until.saturating_duration_since(now) / 2,
                receipt,
            )));
        }
    }

    /// The event is done with, or given back.
    pub(crate) fn end(&mut self, receipt: Receipt) {
        self.until.remove(&receipt);
    }

    /// Whether somebody else may have the message by now.
    pub(crate) fn is_over(&self, receipt: Receipt, now: Instant) -> bool {
        self.until.get(&receipt).is_some_and(|&until| until <= now)
    }

    /// The extensions to ask for now, and when to come back.
    pub(crate) fn due(&mut self, now: Instant) -> (Vec<Settlement>, Option<Instant>) {
        let mut extensions = Vec::new();
        let Some(by) = self.extension else {
            return (extensions, None);
        };
        while let Some(&Reverse((at, receipt))) = self.due.peek() {
            if at > now {
                return (extensions, Some(at));
            }
            self.due.pop();
            if self.until.get(&receipt).is_some_and(|&until| until > now) {
                extensions.push(Settlement {
                    receipt,
                    action: Action::Extend { by },
                });
            }
        }
        (extensions, None)
    }

    /// An extension that was asked for at `asked` holds.
    pub(crate) fn extended(&mut self, receipt: Receipt, asked: Instant, now: Instant) {
        if let Some(by) = self.extension
            && self.until.contains_key(&receipt)
        {
            self.keep(receipt, asked + by, now);
        }
    }

    /// The broker says that the message is not ours any more.
    pub(crate) fn lost(&mut self, receipt: Receipt, now: Instant) {
        if let Some(until) = self.until.get_mut(&receipt) {
            *until = now;
        }
    }
}
