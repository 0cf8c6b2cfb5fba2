//! Lanes: what has to wait for what.
//!
//!
//! A *lane* is what keeps order: its events go out one batch after the other, from the head. It
//! exists as long as it has events, in its queue or out. Only the loop touches it; nothing in here
//! waits, and no call fails.
//!
//! * A lane is *ready* if it has events, none of them is out, and it does not wait for a retry
//!   (`not_before`). Ready lanes stand in a queue in the order in which they became so: no lane can
//!   starve another, and taking the next event costs the same with one lane as with a million.
//! * `out` counts what [`pop`](Lanes::pop) has handed out. Each of these comes to exactly one of
//!   [`done`](Lanes::done) and [`back`](Lanes::back), and then [`settle`](Lanes::settle) is called.
//! * A lane can be [removed](Lanes::remove) (its partition goes) while events are out. They find
//!   nothing under their [`LaneId`], since the generation of a place in the slab differs.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    mem,
};

use bytes::Bytes;
use slab::Slab;
use tokio::time::Instant;

use crate::{
    event::{Event, Timestamp},
    sink::Failure,
    source::{Partition, Receipt},
};

/// An event in hand.
///
/// Owned by exactly one place at a time: a lane's queue, an attempt, or the dead letters. Its bytes
/// count against the budget from `take_in` to `forget`, wherever it is.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) event: Event,
    pub(crate) receipt: Receipt,
    /// Its number within the partition's watermark.
    pub(crate) ordinal: u64,
    pub(crate) bytes: usize,
    pub(crate) received: Instant,
    pub(crate) leased: bool,
    /// At most so many events in its batch: halved whenever its batch is refused, until the culprit
    /// is alone.
    pub(crate) cap: usize,
    pub(crate) attempts: u32,
    /// How often the broker has handed it out.
    pub(crate) deliveries: u32,
    /// Present once an attempt failed.
    pub(crate) trouble: Option<Box<Trouble>>,
    pub(crate) invalid: Option<Box<str>>,
}

/// What an event has been through.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) since: Instant,
    pub(crate) first_failure: Timestamp,
    pub(crate) last: Failure,
    /// That is a judgment of the event, not of the moment.
    pub(crate) rejected: bool,
    /// How often the destination refused everybody while this event asked.
    pub(crate) holds: u32,
    /// It was so the last time: the time of its retries begins anew.
    pub(crate) held: bool,
}

/// Which lane, for as long as it has events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneId {
    index: usize,
    generation: u64,
}

/// What lanes are told apart by. Equal keys in two partitions are two lanes: between partitions a
/// log promises no order. `None` is the lane of the partition itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LaneKey {
    pub(crate) partition: Partition,
    pub(crate) key: Option<Bytes>,
}

/// See the module. `bytes` and the totals of [`Lanes`] are kept, not counted: `dispatch` asks for
/// them before every batch.
#[derive(Debug)]
struct Lane {
    key: LaneKey,
    /// Whether the index knows it: lanes of unordered events are in no index.
    named: bool,
    generation: u64,
    queue: VecDeque<Item>,
    /// Of the queue.
    bytes: usize,
    /// Events of this lane that are in flight or on their way to the dead letters. None of the
    /// queue moves before them.
    out: usize,
    not_before: Option<Instant>,
    ready: bool,
}

/// An event, and the lane that waits for it.
pub(crate) type InHand = (LaneId, Item);

/// All lanes, those that may send in the order in which they became ready.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: Slab<Lane>,
    index: HashMap<LaneKey, usize>,
    ready: VecDeque<(usize, Instant)>,
    generations: u64,
    /// Emptied queues, for reuse: a lane lives as long as its events, often for one only.
    spare: Vec<VecDeque<Item>>,
    ready_events: usize,
    ready_bytes: usize,
    held: usize,
}

// Bounds what a surge of keys leaves behind; beyond it, a queue's memory is given back.
const SPARE_QUEUES: usize = 1024;

impl Lanes {
    /// Appends an event to the lane of `key`, or to one of its own.
    pub(crate) fn push(&mut self, key: LaneKey, own: bool, item: Item) {
        let now = item.received;
        let index = if own {
            self.open(key, false)
        } else {
            match self.index.entry(key) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    self.generations += 1;
                    let key = entry.key().clone();
                    let queue = self.spare.pop().unwrap_or_default();
                    let index = self
                        .lanes
                        .insert(Lane::new(key, true, self.generations, queue));
                    *entry.insert(index)
                }
            }
        };
        let lane = &mut self.lanes[index];
        let (first, bytes) = (lane.queue.is_empty(), item.bytes);
        lane.queue.push_back(item);
        lane.bytes += bytes;
        if lane.ready {
            self.ready_events += 1;
            self.ready_bytes += bytes;
        } else if first {
            self.wake(index, now);
        }
    }

    /// A new lane. One that is not `named` can't be found by its key: nothing joins it.
    fn open(&mut self, key: LaneKey, named: bool) -> usize {
        self.generations += 1;
        let queue = self.spare.pop().unwrap_or_default();
        self.lanes
            .insert(Lane::new(key, named, self.generations, queue))
    }

    /// Lets a lane send if nothing keeps it from it.
    fn wake(&mut self, index: usize, now: Instant) {
        let lane = &mut self.lanes[index];
        if lane.ready || lane.out > 0 || lane.queue.is_empty() || lane.not_before.is_some() {
            return;
        }
        lane.ready = true;
        self.ready_events += lane.queue.len();
        self.ready_bytes += lane.bytes;
        self.ready.push_back((index, now));
    }

    /// The events in lanes that may send, their bytes, and since when the first of these lanes may.
    pub(crate) fn waiting(&self) -> (usize, usize, Option<Instant>) {
        (
            self.ready_events,
            self.ready_bytes,
            self.ready.front().map(|&(_, since)| since),
        )
    }

    /// How many lanes may send.
    pub(crate) fn ready_lanes(&self) -> usize {
        self.ready.len()
    }

    /// How many lanes wait for a retry.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// The next event to be sent: the first of the first ready lane.
    pub(crate) fn head(&self) -> Option<&Item> {
        self.lanes[self.ready.front()?.0].queue.front()
    }

    /// Takes the head. With `stay`, the lane may give its next event to the same batch; `leave`
    /// ends that.
    pub(crate) fn pop(&mut self, stay: bool) -> Option<InHand> {
        let &(index, _) = self.ready.front()?;
        let lane = &mut self.lanes[index];
        let id = LaneId {
            index,
            generation: lane.generation,
        };
        let item = lane.queue.pop_front()?;
        self.ready_events -= 1;
        self.ready_bytes -= item.bytes;
        lane.bytes -= item.bytes;
        lane.out += 1;
        if !stay || lane.queue.is_empty() {
            self.leave();
        }
        Some((id, item))
    }

    /// The first ready lane is not ready any more if it has given an event.
    pub(crate) fn leave(&mut self) {
        let Some(&(index, _)) = self.ready.front() else {
            return;
        };
        let lane = &mut self.lanes[index];
        if lane.out > 0 {
            lane.ready = false;
            self.ready_events -= lane.queue.len();
            self.ready_bytes -= lane.bytes;
            self.ready.pop_front();
        }
    }

    /// An event is done with: its lane no longer waits for it.
    pub(crate) fn done(&mut self, id: LaneId) {
        if let Some(lane) = self.get(id) {
            lane.out -= 1;
        }
    }

    /// Whether a lane still exists: it goes with its partition.
    pub(crate) fn contains(&self, id: LaneId) -> bool {
        self.lanes
            .get(id.index)
            .is_some_and(|lane| lane.generation == id.generation)
    }

    /// An event comes back to the head of its lane; those of one lane come back last one first. If
    /// the lane is gone, the event is returned.
    pub(crate) fn back(
        &mut self,
        id: LaneId,
        item: Item,
        not_before: Option<Instant>,
    ) -> Option<Item> {
        let Some(lane) = self
            .lanes
            .get_mut(id.index)
            .filter(|l| l.generation == id.generation)
        else {
            return Some(item);
        };
        lane.out -= 1;
        lane.bytes += item.bytes;
        lane.queue.push_front(item);
        if let Some(at) = not_before
            && lane.not_before.is_none_or(|known| known < at)
        {
            let fresh = lane.not_before.replace(at).is_none();
            self.held += usize::from(fresh);
        }
        None
    }

    /// After `done` and `back`: lets the lane go on, ends it if it is empty, or says until when it
    /// is held.
    pub(crate) fn settle(&mut self, id: LaneId, now: Instant) -> Option<Instant> {
        let lane = self.get(id)?;
        if lane.out > 0 {
            return None;
        }
        if lane.queue.is_empty() {
            self.close(id.index);
            return None;
        }
        let held = lane.not_before;
        if held.is_none() {
            self.wake(id.index, now);
        }
        held
    }

    /// The time of a held lane has come.
    pub(crate) fn release(&mut self, id: LaneId, now: Instant) {
        let Some(lane) = self.get(id) else { return };
        if lane.not_before.is_some_and(|at| at <= now) {
            lane.not_before = None;
            self.held -= 1;
            self.wake(id.index, now);
        }
    }

    /// Takes out all events of a lane, of which one is out already. For giving a lane back.
    pub(crate) fn drain_lane(&mut self, id: LaneId) -> Vec<Item> {
        let Some(lane) = self.get(id) else {
            return Vec::new();
        };
        lane.bytes = 0;
        lane.queue.drain(..).collect()
    }

    /// Removes the lanes that `which` names with all their events; events of theirs that are out
    /// find no lane any more.
    pub(crate) fn remove(&mut self, mut which: impl FnMut(Partition) -> bool) -> Vec<Item> {
        let gone: Vec<usize> = self
            .lanes
            .iter()
            .filter(|(_, lane)| which(lane.key.partition))
            .map(|(index, _)| index)
            .collect();
        let mut items = Vec::new();
        for index in gone {
            let lane = &mut self.lanes[index];
            if mem::take(&mut lane.ready) {
                self.ready_events -= lane.queue.len();
                self.ready_bytes -= lane.bytes;
            }
            items.extend(lane.queue.drain(..));
            self.close(index);
        }
        self.ready
            .retain(|&(index, _)| self.lanes.get(index).is_some_and(|lane| lane.ready));
        items
    }

    /// The keys of held lanes, with the event each waits for.
    pub(crate) fn held_heads(&self) -> impl Iterator<Item = (&LaneKey, &Item)> {
        self.lanes
            .iter()
            .filter(|(_, lane)| lane.not_before.is_some())
            .filter_map(|(_, lane)| Some((&lane.key, lane.queue.front()?)))
    }

    /// When the oldest event in a lane came in.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.lanes
            .iter()
            .filter_map(|(_, lane)| Some(lane.queue.front()?.received))
            .min()
    }

    /// The lane is over. Also one with events out: they find nothing any more.
    fn close(&mut self, index: usize) {
        let lane = self.lanes.remove(index);
        if lane.named {
            self.index.remove(&lane.key);
        }
        self.held -= usize::from(lane.not_before.is_some());
        if self.spare.len() < SPARE_QUEUES && lane.queue.is_empty() {
            self.spare.push(lane.queue);
        }
    }

    /// The lane, unless another one has taken its place.
    fn get(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.lanes
            .get_mut(id.index)
            .filter(|lane| lane.generation == id.generation)
    }
}

impl Lane {
    fn new(key: LaneKey, named: bool, generation: u64, queue: VecDeque<Item>) -> Self {
        Self {
            key,
            named,
            generation,
            queue,
            bytes: 0,
            out: 0,
            not_before: None,
            ready: false,
        }
    }
}
