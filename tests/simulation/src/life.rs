//! What the ledger keeps of an event, and of one incarnation of a consumer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use eventlane::source::Receipt;
use tokio::time::Instant;

use crate::lanes::Lane;

/// Names an incarnation of a consumer.
pub(crate) type LifeId = usize;

/// One event, and everything that became of it.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) accepted: u32,
    pub(crate) letters: u32,
    /// Of these, without an answer that reached the engine in time.
    pub(crate) unanswered: u32,
    /// How often an engine got it.
    pub(crate) handed: u32,
    /// An engine that drops what is given up may have dropped it.
    pub(crate) judged: bool,
    /// The life to which the last good answer went.
    pub(crate) answered_to: Option<(LifeId, Instant)>,
}

/// A delivery that an engine has in hand.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) event: usize,
    pub(crate) size: usize,
    pub(crate) lane: Option<Lane>,
    pub(crate) lease: Option<Instant>,
    /// The engine may have given it up, dropped or released it by now.
    pub(crate) maybe_gone: bool,
    pub(crate) flying: Option<u64>,
}

impl Entry {
    /// Whether the engine may have let go of it without a word.
    pub(crate) fn is_doubtful(&self, now: Instant) -> bool {
        self.maybe_gone || self.lease.is_some_and(|until| until <= now)
    }
}

/// A request of the sink, from its beginning to its end as the engine sees it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) receipts: Vec<(Receipt, usize)>,
    pub(crate) began: Instant,
    /// Accepted and not answered yet.
    pub(crate) accepted: Vec<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct PartitionView {
    pub(crate) epoch: u32,
    pub(crate) leaving: Option<Instant>,
    pub(crate) handed: Vec<u64>,
    /// Good answers under this assignment.
    pub(crate) answered: Vec<usize>,
}

/// An incarnation.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) name: Arc<str>,
    pub(crate) alive: bool,
    pub(crate) stopped: Option<Instant>,
    pub(crate) hand: BTreeMap<Receipt, Entry>,
    pub(crate) partitions: HashMap<u32, PartitionView>,
    pub(crate) calls: BTreeMap<u64, Call>,
    pub(crate) fails: HashMap<usize, (u32, Instant)>,
    pub(crate) delivered: u64,
    pub(crate) letters: u64,
    pub(crate) settle_fault: Option<Instant>,
    /// Its pipeline has come to its end.
    pub(crate) ended: bool,
    /// The destination asked to be left alone: since when, and until when.
    pub(crate) rest: Option<(Instant, Instant)>,
    /// Something was taken away from it.
    pub(crate) robbed: bool,
    /// Revocations so far.
    pub(crate) revoking: Vec<(u32, u32)>,
    /// Done and not settled when it closed.
    pub(crate) unsettled: usize,
}
