//! Who of a consumer group holds which partition, and what the group has committed.
//!
//! All of it under the log's one lock, so each method sees and leaves a consistent state. News for
//! a member stand in its queue until it polls, before any delivery.

use std::{cmp::Reverse, collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{
    faults::{fenced, rejected, unsupported},
    later,
    records::{Cursor, Records},
};
use crate::{
    Error, ErrorKind, Result,
    source::{
        Action, Assignment, Delivery, Demand, Partition, Position, Receipt, Revocation, Settlement,
        Signal,
    },
};

const ASSIGN: &str = "assign partitions";

/// Names a source within its group; never used twice.
pub(super) type MemberId = u64;

/// A consumer group: what it has committed, and which of its members holds which partition.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    slots: Vec<Slot>,
    members: Vec<Membership>,
    manual: bool,
}

/// One partition as the group sees it.
#[derive(Debug)]
struct Slot {
    partition: Partition,
    name: Arc<str>,
    committed: u64,
    beyond: Vec<Range<u64>>,
    commits: u64,
    epoch: u32,
    holding: Option<Holding>,
    /// Who had to give it up last: the next holder is somebody else, or a revocation would come to
    /// nothing.
    given_up_by: Option<MemberId>,
}

/// A partition in a member's hands. `revoked`: nothing more is handed out, settling still works.
#[derive(Debug)]
struct Holding {
    member: MemberId,
    cursor: Cursor,
    revoked: bool,
    paused: bool,
}

#[derive(Debug)]
struct Membership {
    id: MemberId,
    news: VecDeque<Signal>,
    /// The partition that the next poll begins with.
    turn: usize,
}

/// A revocation that waits for the member to let go.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) deadline: Instant,
    pub(super) let_go: oneshot::Receiver<()>,
    /// With the epochs, since a partition may have gone and come again meanwhile.
    assignments: Vec<(Partition, u32)>,
}

impl Group {
    pub(super) fn new(name: &str, log: &str, partitions: u32, manual: bool) -> Self {
        let slot = |number| Slot {
            partition: Partition(number),
            name: format!("{log}/{number}").into(),
            committed: 0,
            beyond: Vec::new(),
            commits: 0,
            epoch: 0,
            holding: None,
            given_up_by: None,
        };
        Self {
            name: name.to_owned(),
            slots: (0..partitions).map(slot).collect(),
            members: Vec::new(),
            manual,
        }
    }

    // Who holds what.

    pub(super) fn join(&mut self, id: MemberId, records: &[Records]) {
        self.members.push(Membership {
            id,
            news: VecDeque::new(),
            turn: 0,
        });
        self.distribute(records);
    }

    pub(super) fn leave(&mut self, id: MemberId, records: &[Records]) {
        self.members.retain(|member| member.id != id);
        for slot in &mut self.slots {
            slot.holding.take_if(|holding| holding.member == id);
        }
        self.distribute(records);
    }

    pub(super) fn held_by(&self, id: MemberId) -> Vec<u32> {
        self.slots
            .iter()
            .filter(|slot| slot.is_held_by(id))
            .map(|slot| slot.partition.0)
            .collect()
    }

    pub(super) fn assign(
        &mut self,
        id: MemberId,
        partitions: &[u32],
        records: &[Records],
    ) -> Result<()> {
        let refuse = |message: &'static str, partition: u32| {
            let error = Error::new(ErrorKind::Rejected, ASSIGN, message);
            Err(error.with_context("partition", partition))
        };
        if !self.members.iter().any(|member| member.id == id) {
            let closed = "the source is closed";
            return Err(Error::new(ErrorKind::Rejected, ASSIGN, closed));
        }
        for &partition in partitions {
            match self.slots.get(partition as usize) {
                None => return refuse("there is no such partition", partition),
                Some(slot) if slot.holding.is_some() => {
                    return refuse("a source holds it already", partition);
                }
                Some(_) => {}
            }
        }
        self.hand_over(id, partitions, records);
        Ok(())
    }

    /// Takes partitions away at once. Those that the member doesn't hold are left alone.
    pub(super) fn lose(&mut self, id: MemberId, partitions: &[u32], records: &[Records]) {
        let mut lost = Vec::new();
        for slot in self.held_among(id, partitions) {
            slot.holding = None;
            slot.given_up_by = Some(id);
            lost.push(slot.partition);
        }
        if !lost.is_empty() {
            self.tell(id, Signal::Lost(lost));
        }
        self.distribute(records);
    }

    /// Begins to take partitions away. Those that the member doesn't hold, or has to let go of
    /// already, are left alone.
    pub(super) fn revoke(
        &mut self,
        id: MemberId,
        partitions: &[u32],
        deadline: Instant,
    ) -> Option<Pending> {
        let mut assignments = Vec::new();
        for slot in self.held_among(id, partitions) {
            if let Some(held) = slot.holding.as_mut().filter(|held| !held.revoked) {
                held.revoked = true;
                assignments.push((slot.partition, slot.epoch));
            }
        }
        if assignments.is_empty() {
            return None;
        }
        let revoked = assignments
            .iter()
            .map(|(partition, _)| *partition)
            .collect();
        let (revocation, let_go) = Revocation::new(revoked, deadline);
        self.tell(id, Signal::Revoking(revocation));
        Some(Pending {
            deadline,
            let_go,
            assignments,
        })
    }

    /// Ends what `revoke` began, unless it has ended otherwise.
    pub(super) fn let_go(&mut self, pending: &Pending, records: &[Records]) {
        for slot in &mut self.slots {
            if pending.assignments.contains(&(slot.partition, slot.epoch)) {
                slot.given_up_by = slot.holding.take().map(|held| held.member);
            }
        }
        self.distribute(records);
    }

    /// Begins to take away from each member what it holds above an even share.
    pub(super) fn rebalance(&mut self, within: Duration) -> Vec<Pending> {
        let mut shares: Vec<_> = self
            .members
            .iter()
            .map(|member| (member.id, self.held_by(member.id)))
            .collect();
        shares.sort_by_key(|(_, held)| Reverse(held.len()));
        let (even, rest) = match shares.len() {
            0 => return Vec::new(),
            members => (self.slots.len() / members, self.slots.len() % members),
        };
        let deadline = later(Instant::now(), within);
        let pending = shares.iter().enumerate().filter_map(|(at, (id, held))| {
            let share = even + usize::from(at < rest);
            self.revoke(*id, held.get(share..)?, deadline)
        });
        pending.collect()
    }

    fn held_among(&mut self, id: MemberId, partitions: &[u32]) -> impl Iterator<Item = &mut Slot> {
        let wanted =
            move |slot: &&mut Slot| slot.is_held_by(id) && partitions.contains(&slot.partition.0);
        self.slots.iter_mut().filter(wanted)
    }

    /// Gives what nobody holds to the members that hold least.
    fn distribute(&mut self, records: &[Records]) {
        if self.manual {
            return;
        }
        let mut counts: Vec<_> = self
            .members
            .iter()
            .map(|member| (member.id, self.held_by(member.id).len(), Vec::new()))
            .collect();
        for slot in self.slots.iter().filter(|slot| slot.holding.is_none()) {
            let candidates = counts
                .iter_mut()
                .filter(|(id, ..)| Some(*id) != slot.given_up_by);
            if let Some((_, held, new)) = candidates.min_by_key(|(_, held, _)| *held) {
                *held += 1;
                new.push(slot.partition.0);
            }
        }
        for (id, _, new) in counts {
            self.hand_over(id, &new, records);
        }
    }

    fn hand_over(&mut self, id: MemberId, partitions: &[u32], records: &[Records]) {
        let mut assigned = Vec::new();
        for &partition in partitions {
            let at = partition as usize;
            let (Some(slot), Some(records)) = (self.slots.get_mut(at), records.get(at)) else {
                continue;
            };
            slot.epoch += 1;
            slot.given_up_by = None;
            slot.holding = Some(Holding {
                member: id,
                cursor: Cursor::new(records, slot.committed, &slot.beyond),
                revoked: false,
                paused: false,
            });
            assigned.push(Assignment {
                partition: slot.partition,
                epoch: slot.epoch,
                name: Arc::clone(&slot.name),
            });
        }
        if !assigned.is_empty() {
            self.tell(id, Signal::Assigned(assigned));
        }
    }

    fn tell(&mut self, id: MemberId, news: Signal) {
        if let Some(member) = self.members.iter_mut().find(|member| member.id == id) {
            member.news.push_back(news);
        }
    }

    // What a member reads.

    /// What a poll of this member returns, if there is anything now: news before deliveries, so
    /// that they stay in order.
    pub(super) fn poll(
        &mut self,
        id: MemberId,
        records: &[Records],
        demand: Demand,
        finished: bool,
    ) -> Option<Signal> {
        let member = self.members.iter_mut().find(|member| member.id == id)?;
        if let Some(news) = member.news.pop_front() {
            return Some(news);
        }
        if !demand.is_none() {
            let first = member.turn;
            member.turn = (first + 1).checked_rem(self.slots.len()).unwrap_or(0);
            let deliveries = self.deliver(id, records, demand, first);
            if !deliveries.is_empty() {
                return Some(Signal::Deliveries(deliveries));
            }
        }
        let advanced = self.advance(id, records);
        if !advanced.is_empty() {
            return Some(Signal::Advanced(advanced));
        }
        (finished && self.is_handed_out(records)).then_some(Signal::End)
    }

    fn deliver(
        &mut self,
        id: MemberId,
        records: &[Records],
        demand: Demand,
        first: usize,
    ) -> Vec<Delivery> {
        let left = self
            .slots
            .iter()
            .zip(records)
            .map(|(slot, records)| match &slot.holding {
                Some(held) if held.delivers_to(id) => held.cursor.left(records),
                _ => 0,
            });
        let mut deliveries = Vec::with_capacity(demand.records.min(left.sum()));
        let mut bytes = 0_usize;
        // Each poll begins with another partition, so that a small demand doesn't starve the later
        // ones.
        for at in (first..self.slots.len()).chain(0..first) {
            let (Some(slot), Some(records)) = (self.slots.get_mut(at), records.get(at)) else {
                continue;
            };
            let Some(held) = slot.holding.as_mut().filter(|held| held.delivers_to(id)) else {
                continue;
            };
            while let Some(stored) = held.cursor.peek(records) {
                let fits =
                    deliveries.is_empty() || bytes.saturating_add(stored.size) <= demand.bytes;
                if !fits || deliveries.len() == demand.records {
                    return deliveries;
                }
                bytes = bytes.saturating_add(stored.size);
                held.cursor.pass(stored);
                deliveries.push(Delivery {
                    receipt: Receipt {
                        partition: slot.partition,
                        epoch: slot.epoch,
                        seq: stored.offset,
                    },
                    key: stored.record.key.clone(),
                    event: stored.record.event.clone(),
                    attempt: 1,
                    lease: None,
                    invalid: stored.record.invalid.clone(),
                });
            }
        }
        deliveries
    }

    fn advance(&mut self, id: MemberId, records: &[Records]) -> Vec<Position> {
        let mut advanced = Vec::new();
        for (slot, records) in self.slots.iter_mut().zip(records) {
            let Some(held) = slot.holding.as_mut().filter(|held| held.delivers_to(id)) else {
                continue;
            };
            if held.cursor.pass_skipped(records) {
                advanced.push(Position {
                    partition: slot.partition,
                    epoch: slot.epoch,
                    next: held.cursor.next(),
                });
            }
        }
        advanced
    }

    /// Whether all members together have been handed out everything. A member that has nothing
    /// itself must wait for that: it may yet inherit a partition.
    fn is_handed_out(&mut self, records: &[Records]) -> bool {
        self.slots
            .iter_mut()
            .zip(records)
            .all(|(slot, records)| match &mut slot.holding {
                Some(held) => held.cursor.next() == records.end(),
                None => Cursor::new(records, slot.committed, &slot.beyond)
                    .peek(records)
                    .is_none(),
            })
    }

    pub(super) fn pause(&mut self, id: MemberId, partitions: &[Partition], paused: bool) {
        for partition in partitions {
            let slot = self.slots.get_mut(partition.0 as usize);
            if let Some(held) = slot.and_then(|slot| slot.holding.as_mut())
                && held.member == id
            {
                held.paused = paused;
            }
        }
    }

    // What is committed.

    pub(super) fn settle(&mut self, id: MemberId, settlement: Settlement) -> Result<()> {
        let Settlement { receipt, action } = settlement;
        let Action::DoneBelow { beyond } = action else {
            return Err(unsupported(receipt, "a log is settled by position only"));
        };
        let held = self
            .slots
            .get_mut(receipt.partition.0 as usize)
            .filter(|slot| slot.epoch == receipt.epoch)
            .and_then(|slot| Some((slot.holding.as_ref()?.reach(id)?, slot)));
        let Some((reach, slot)) = held else {
            return Err(fenced(receipt, "this assignment of the partition is over"));
        };
        if receipt.seq > reach {
            return Err(rejected(receipt, "this position has not been handed out"));
        }
        // What is done above has a gap below it, or the position would be higher.
        let mut from = receipt.seq.saturating_add(1);
        for done in &beyond {
            if done.start < from || done.is_empty() || done.end > reach {
                return Err(rejected(
                    receipt,
                    "`beyond` must be rising, disjoint and handed out",
                ));
            }
            from = done.end;
        }
        slot.commits += 1;
        // A call that was overtaken by a later one does not undo it.
        if receipt.seq >= slot.committed {
            slot.committed = receipt.seq;
            slot.beyond = beyond;
        }
        Ok(())
    }

    pub(super) fn committed(&self, partition: u32) -> u64 {
        self.slots
            .get(partition as usize)
            .map_or(0, |slot| slot.committed)
    }

    pub(super) fn beyond(&self, partition: u32) -> Vec<Range<u64>> {
        self.slots
            .get(partition as usize)
            .map_or_else(Vec::new, |slot| slot.beyond.clone())
    }

    pub(super) fn commits(&self) -> u64 {
        self.slots.iter().map(|slot| slot.commits).sum()
    }

    pub(super) fn set_committed(&mut self, partition: u32, position: u64) {
        if let Some(slot) = self.slots.get_mut(partition as usize) {
            slot.committed = position;
            slot.beyond.clear();
        }
    }
}

impl Slot {
    fn is_held_by(&self, id: MemberId) -> bool {
        self.holding.as_ref().is_some_and(|held| held.member == id)
    }
}

impl Holding {
    fn delivers_to(&self, id: MemberId) -> bool {
        self.member == id && !self.revoked && !self.paused
    }

    /// Up to where this member may settle.
    fn reach(&self, id: MemberId) -> Option<u64> {
        (self.member == id).then(|| self.cursor.next())
    }
}
