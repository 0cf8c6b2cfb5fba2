//! Which positions wait to be committed, which are on their way, and who waits for them.
//!
//!
//! Pure bookkeeping, on the consumer's thread; no clock, no broker. The cycle is
//! [`settle`](Ledger::settle) → [`begin`](Ledger::begin) → [`answered`](Ledger::answered) →
//! [`reply`](Ledger::reply). Invariants:
//!
//! * At most one commit is on its way, and of each partition at most one position waits.
//! * Every settlement that was taken in gets one answer, unless the consumer ends before.
//! * A call is answered when its last settlement is, so a slow partition holds up the others of the
//!   same call (and of no other).

use std::{collections::BTreeMap, ops::Range};

use eventlane::{
    Error, ErrorKind,
    source::{Action, Partition, Receipt, Settled, Settlement},
};
use tokio::sync::oneshot;

/// One commit is on its way at most: librdkafka repeats one that the broker does not answer without
/// end, and of two, the older could arrive last. What comes meanwhile is coalesced, the newest
/// position of each partition.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    waiting: BTreeMap<Partition, Commit>,
    sent: Option<BTreeMap<Partition, Commit>>,
    calls: BTreeMap<u64, Call>,
    next_call: u64,
    replies: Vec<(oneshot::Sender<Settled>, Settled)>,
}

/// A position to be committed.
///
/// `position` is what Kafka calls the committed offset: the next one to be read, not the last that
/// was done. `waiters` are the calls that asked for it or for a lower one.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) epoch: u32,
    pub(crate) position: u64,
    pub(crate) beyond: Vec<Range<u64>>,
    waiters: Vec<(u64, Receipt)>,
}

/// A call of `settle` that has not been answered. `open` counts its settlements without an answer.
#[derive(Debug)]
struct Call {
    open: usize,
    failed: Vec<(Receipt, Error)>,
    reply: oneshot::Sender<Settled>,
}

impl Ledger {
    /// Takes settlements in; once all of them have been answered, [`reply`](Self::reply) tells so.
    /// `check` says what speaks against one.
    pub(crate) fn settle(
        &mut self,
        batch: Vec<Settlement>,
        reply: oneshot::Sender<Settled>,
        check: impl Fn(Receipt) -> Result<(), Error>,
    ) {
        let id = self.next_call;
        self.next_call += 1;
        let mut call = Call {
            open: 0,
            failed: Vec::new(),
            reply,
        };
        for Settlement { receipt, action } in batch {
            let Action::DoneBelow { beyond } = action else {
                let message = "Kafka is settled by position only";
                let error = Error::new(ErrorKind::Unsupported, "settle", message);
                call.failed.push((receipt, error));
                continue;
            };
            if let Err(error) = check(receipt) {
                call.failed.push((receipt, error));
                continue;
            }
            call.open += 1;
            let Receipt {
                partition,
                epoch,
                seq: position,
            } = receipt;
            let mut commit = Commit {
                epoch,
                position,
                beyond,
                waiters: vec![(id, receipt)],
            };
            // What is on its way already is not undone by a lower position that comes late.
            if let Some(sent) = self.sent.as_ref().and_then(|sent| sent.get(&partition))
                && sent.epoch == epoch
                && sent.position > position
            {
                (commit.position, commit.beyond) = (sent.position, sent.beyond.clone());
            }
            match self.waiting.get_mut(&partition) {
                Some(waiting) => waiting.merge(commit),
                None => drop(self.waiting.insert(partition, commit)),
            }
        }
        self.calls.insert(id, call);
        self.close(id);
    }

    /// What is to be sent now; then [`answered`](Self::answered) must follow. `None` if there is
    /// nothing, or if a commit is on its way.
    pub(crate) fn begin(&mut self) -> Option<&BTreeMap<Partition, Commit>> {
        if self.sent.is_some() || self.waiting.is_empty() {
            return None;
        }
        Some(self.sent.insert(std::mem::take(&mut self.waiting)))
    }

    /// The commit on its way was answered: `outcome` says what became of each position.
    ///
    /// [`Outcome::Again`] goes back to what waits, unless something newer is there already: then
    /// its waiters join that, or are fenced if the newer one is of another assignment.
    pub(crate) fn answered(&mut self, mut outcome: impl FnMut(Partition, &Commit) -> Outcome) {
        for (partition, commit) in self.sent.take().unwrap_or_default() {
            match outcome(partition, &commit) {
                Outcome::Done => self.tell(commit.waiters, None),
                Outcome::Failed(fault) => self.tell(commit.waiters, Some(&fault)),
                Outcome::Again => match self.waiting.get_mut(&partition) {
                    Some(newer) if newer.epoch == commit.epoch => {
                        newer.waiters.extend(commit.waiters);
                    }
                    Some(_) => self.tell(commit.waiters, Some(&fenced)),
                    None => drop(self.waiting.insert(partition, commit)),
                },
            }
        }
    }

    /// The assignment of a partition is over: what waits of it fails. What is on its way may still
    /// succeed.
    pub(crate) fn end(&mut self, partition: Partition) {
        if let Some(commit) = self.waiting.remove(&partition) {
            self.tell(commit.waiters, Some(&fenced));
        }
    }

    /// Whether anything of the partition waits or is on its way.
    pub(crate) fn concerns(&self, partition: Partition) -> bool {
        self.waiting.contains_key(&partition)
            || self
                .sent
                .as_ref()
                .is_some_and(|sent| sent.contains_key(&partition))
    }

    /// Whether nothing waits and nothing is on its way: the consumer may close.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_none()
    }

    /// Whether a commit is on its way. An answer that comes when none is belongs to nobody.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// One answer for each who waits; `fault` makes an error for each, none means success.
    fn tell(&mut self, waiters: Vec<(u64, Receipt)>, fault: Option<&Fault>) {
        for (id, receipt) in waiters {
            if let Some(call) = self.calls.get_mut(&id) {
                call.open -= 1;
                call.failed.extend(fault.map(|fault| (receipt, fault())));
            }
            self.close(id);
        }
    }

    /// Tells those whose settlements have all been answered. Apart, so that what a commit has
    /// changed can be seen before.
    pub(crate) fn reply(&mut self) {
        for (reply, settled) in self.replies.drain(..) {
            // Nobody waits any more if the call has timed out.
            drop(reply.send(settled));
        }
    }

    /// Has the call answered if nothing of it is open. An empty batch is answered at once this way.
    fn close(&mut self, id: u64) {
        if self.calls.get(&id).is_some_and(|call| call.open == 0)
            && let Some(Call { failed, reply, .. }) = self.calls.remove(&id)
        {
            self.replies.push((reply, Settled { failed }));
        }
    }
}

/// What became of a position.
pub(crate) enum Outcome {
    Done,
    /// Makes the error for each who waits.
    Failed(Box<Fault>),
    /// To be sent again.
    Again,
}

/// Makes an error; errors can't be cloned.
pub(crate) type Fault = dyn Fn() -> Error;

/// Belongs to somebody else by now.
pub(crate) fn fenced() -> Error {
    Error::new(
        ErrorKind::Fenced,
        "commit",
        "the partition is not assigned to this consumer any more",
    )
}

impl Commit {
    /// Coalesces: the higher position wins, and all who waited wait for it. A lower one that comes
    /// late (calls may overlap) never undoes a higher one; its callers are told when that is
    /// committed.
    fn merge(&mut self, mut newer: Self) {
        self.waiters.append(&mut newer.waiters);
        // The same position again may come with more beyond it.
        if (newer.epoch, newer.position) >= (self.epoch, self.position) {
            newer.waiters = std::mem::take(&mut self.waiters);
            *self = newer;
        }
    }
}

#[cfg(test)]
mod tests;
