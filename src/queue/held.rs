//! What is on lease here.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use bytes::Bytes;
use tokio::time::{Duration, Instant};

const RECHECK: Duration = Duration::from_millis(100);

/// A message on lease.
#[derive(Debug)]
pub(super) struct Entry<H> {
    /// The newest one; no other is ever used.
    pub(super) handle: H,
    id: Box<str>,
    pub(super) binding: Option<Bytes>,
    pub(super) until: Instant,
    /// A request about it is under way; another one has to wait.
    pub(super) busy: bool,
}

/// All messages on lease, by the number under which they were handed out.
#[derive(Debug)]
pub(super) struct Held<H> {
    entries: HashMap<u64, Entry<H>>,
    numbers: HashMap<Box<str>, u64>,
    /// No lease ends before its entry here comes up; an extended one is looked at again.
    ends: BinaryHeap<Reverse<(Instant, u64)>>,
    next: u64,
}

impl<H> Default for Held<H> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            numbers: HashMap::new(),
            ends: BinaryHeap::new(),
            next: 0,
        }
    }
}

impl<H> Held<H> {
    /// Takes a message in. `None` if it is on lease here already: the broker handed it out again,
    /// and the new handle and lease take the place of the old.
    pub(super) fn insert(
        &mut self,
        id: Box<str>,
        handle: H,
        binding: Option<Bytes>,
        until: Instant,
    ) -> Option<u64> {
        if let Some(number) = self.numbers.get(&id)
            && let Some(entry) = self.entries.get_mut(number)
        {
            entry.handle = handle;
            entry.until = until;
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.numbers.insert(id.clone(), number);
        self.ends.push(Reverse((until, number)));
        let entry = Entry {
            handle,
            id,
            binding,
            until,
            busy: false,
        };
        self.entries.insert(number, entry);
        Some(number)
    }

    pub(super) fn get(&mut self, number: u64) -> Option<&mut Entry<H>> {
        self.entries.get_mut(&number)
    }

    /// The lease of a message ends earlier than it was known to.
    pub(super) fn end(&mut self, number: u64, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.until = now;
            self.ends.push(Reverse((now, number)));
        }
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Entry<H>> {
        let entry = self.entries.remove(&number)?;
        self.numbers.remove(&entry.id);
        Some(entry)
    }

    /// Removes a message whose lease has run out, if there is one.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(u64, Entry<H>)> {
        while let Some(&Reverse((at, number))) = self.ends.peek() {
            if at > now {
                return None;
            }
            self.ends.pop();
            match self.entries.get(&number) {
                Some(entry) if entry.until > now => self.ends.push(Reverse((entry.until, number))),
                // What becomes of it is about to be known.
                Some(entry) if entry.busy => self.ends.push(Reverse((now + RECHECK, number))),
                Some(_) => return self.remove(number).map(|entry| (number, entry)),
                None => {}
            }
        }
        None
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes out all that no request is under way about, in the order in which it came.
    pub(super) fn take_idle(&mut self) -> Vec<H> {
        let idle = self.entries.iter().filter(|(_, entry)| !entry.busy);
        let mut numbers: Vec<u64> = idle.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        let taken = numbers.into_iter().filter_map(|number| self.remove(number));
        taken.map(|entry| entry.handle).collect()
    }
}
