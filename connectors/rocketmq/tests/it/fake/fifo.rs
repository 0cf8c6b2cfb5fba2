//! Groups with an order. What is bound is a queue: it gives nothing while one message of the last
//! batch is neither done nor visible again.

use super::{
    handle::Handle,
    pb,
    store::{Pop, Store},
};

/// What was handed out of a queue last.
#[derive(Debug)]
pub(super) struct Batch {
    popped: u64,
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    offset: u64,
    visible: u64,
    done: bool,
    attempt: u32,
}

impl Batch {
    /// Until when the queue gives nothing, if it does not.
    pub(super) fn bound_until(&self, now: u64) -> Option<u64> {
        let open = self.slots.iter().filter(|it| !it.done);
        open.map(|it| it.visible).max().filter(|until| *until > now)
    }

    fn first_open(&self) -> Option<u64> {
        let slot = self.slots.iter().find(|it| !it.done);
        let end = self.slots.last().map(|it| it.offset + 1);
        slot.map(|it| it.offset).or(end)
    }

    fn has_same(&self, slots: &[Slot]) -> bool {
        let offsets = |slots: &[Slot]| slots.iter().map(|it| it.offset).collect::<Vec<_>>();
        offsets(&self.slots) == offsets(slots)
    }
}

impl Store {
    pub(super) fn pop_fifo(&mut self, pop: &Pop, now: u64) -> Vec<pb::Message> {
        let mut given = Vec::new();
        for queue in self.turns(pop.queues) {
            while given.len() < pop.max {
                let Some(batch) = self.pop_queue(pop, queue, pop.max - given.len(), now) else {
                    break;
                };
                given.extend(batch);
            }
        }
        given
    }

    /// What one queue gives; `None` if it gives nothing. Empty if all of it became dead letters, or
    /// does not pass the filter.
    fn pop_queue(
        &mut self,
        pop: &Pop,
        queue: u32,
        max: usize,
        now: u64,
    ) -> Option<Vec<pb::Message>> {
        let place = (pop.group.clone(), pop.topic.clone(), queue);
        let last = self.batches.remove(&place);
        if let Some(bound) = last.as_ref().filter(|it| it.bound_until(now).is_some()) {
            debug_assert!(!bound.slots.is_empty());
            self.batches.extend(last.map(|last| (place, last)));
            return None;
        }
        let start = self.offsets.get(&place).copied().unwrap_or(0);
        let popped = self.stamp(now);
        let entries = (start..).map_while(|offset| self.entry(&pop.topic, queue, offset));
        let entries: Vec<_> = entries.take(max).collect();
        let mut slots: Vec<_> = (start..)
            .zip(&entries)
            .map(|(offset, entry)| Slot {
                offset,
                visible: popped + pop.invisible,
                done: !pop.filter.takes(&self.log[entry.log]),
                attempt: 1,
            })
            .collect();
        if slots.is_empty() {
            self.batches.extend(last.map(|last| (place, last)));
            return None;
        }
        // A proxy in local mode counts only when the same batch comes again.
        if let Some(last) = last.filter(|last| !self.local || last.has_same(&slots)) {
            for slot in &mut slots {
                let before = last.slots.iter().find(|it| it.offset == slot.offset);
                slot.attempt = before.map_or(1, |before| before.attempt + 1);
            }
        }
        let mut given = Vec::new();
        for (slot, entry) in slots.iter_mut().zip(entries) {
            if !slot.done && slot.attempt > pop.most_attempts {
                self.bury(
                    &pop.group,
                    super::store::Entry {
                        tries: slot.attempt - 1,
                        ..entry
                    },
                );
                slot.done = true;
            }
            if slot.done {
                continue;
            }
            let handle = Handle {
                checkpoint: start,
                popped,
                invisible: pop.invisible,
                fifo: true,
                retry: false,
                broker: self.broker(),
                queue,
                offset: slot.offset,
                log: entry.log,
            };
            given.push(self.show(&handle, slot.attempt));
        }
        let batch = Batch { popped, slots };
        self.offsets
            .extend(batch.first_open().map(|open| (place.clone(), open)));
        self.batches.insert(place, batch);
        Some(given)
    }

    /// The offset moves up to the first message that is not done.
    pub(super) fn commit(&mut self, group: &str, topic: &str, handle: &Handle) {
        let place = (group.to_owned(), topic.to_owned(), handle.queue);
        let Some(batch) = self.batches.get_mut(&place) else {
            return;
        };
        if batch.popped != handle.popped {
            return;
        }
        for slot in &mut batch.slots {
            slot.done |= slot.offset == handle.offset;
        }
        let open = batch.first_open();
        self.offsets.extend(open.map(|open| (place, open)));
    }

    /// The time of receiving stays.
    pub(super) fn change_fifo(
        &mut self,
        group: &str,
        topic: &str,
        old: &Handle,
        invisible: u64,
        now: u64,
    ) -> Handle {
        let place = (group.to_owned(), topic.to_owned(), old.queue);
        if let Some(batch) = self
            .batches
            .get_mut(&place)
            .filter(|it| it.popped == old.popped)
        {
            let same = batch.slots.iter_mut().filter(|it| it.offset == old.offset);
            same.for_each(|slot| slot.visible = now + invisible);
        }
        Handle {
            invisible: (now + invisible).saturating_sub(old.popped),
            ..old.clone()
        }
    }
}
