//! What is on lease here.
//!
//! A message is in [`Held`] from the receive that brought it until it is deleted or given back, or
//! until its lease has run out. What is not in it can't be settled any more: it is fenced.
//!
//! * **Time** is this process's. A lease ends here no later than at the broker, as long as answers
//!   come in time; see `receivers` for the margin.
//! * **Numbers** are not used again. A message gets one when it is received and another one, its
//!   receipt's `seq`, when it is handed out: those rise in the order of the hand-out.
//! * **One request at a time**: whoever makes a request about a message sets [`Entry::busy`] under
//!   the lock, and clears it when the request has ended. Until then the message neither runs out
//!   nor is given back, since what becomes of it is about to be known.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use bytes::Bytes;
use tokio::time::{Duration, Instant};

/// After how long a lease that has run out is looked at again while its message is busy.
const RECHECK: Duration = Duration::from_millis(100);

/// A message on lease.
#[derive(Debug)]
pub(super) struct Entry<H> {
    /// The newest one; no other is ever used.
    pub(super) handle: H,
    /// The broker's: by it a message that comes again is recognised.
    pub(super) id: Box<str>,
    /// What the broker binds it to: [`Message::binding`](super::Message::binding).
    pub(super) binding: Option<Bytes>,
    pub(super) until: Instant,
    /// A request about it is under way; another one has to wait.
    pub(super) busy: bool,
    /// It is being given back.
    pub(super) releasing: bool,
    /// It has to go back as soon as that request has ended.
    pub(super) goes_back: bool,
    /// The broker has made a dead letter of it, so that it is not there any more.
    pub(super) dead: bool,
    /// Whether the engine has it in hand.
    pub(super) out: bool,
    /// How often the broker has handed it out again meanwhile: the answer to a request that was
    /// made before says nothing of the newest handle.
    pub(super) renewals: u32,
}

/// All messages on lease, by number.
#[derive(Debug)]
pub(super) struct Held<H> {
    entries: HashMap<u64, Entry<H>>,
    /// By id; as many as there are entries.
    numbers: HashMap<Box<str>, u64>,
    /// No lease ends before its entry here comes up; an extended one is looked at again.
    ends: BinaryHeap<Reverse<(Instant, u64)>>,
    next: u64,
    /// How many of each group the engine has in hand.
    groups_out: HashMap<Bytes, usize>,
}

impl<H> Default for Held<H> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            numbers: HashMap::new(),
            ends: BinaryHeap::new(),
            next: 0,
            groups_out: HashMap::new(),
        }
    }
}

impl<H> Held<H> {
    /// A message that is being given back, or is about to be, may come again before the broker has
    /// confirmed that. It is a new one then: takes out what it was.
    pub(super) fn take_leaving(&mut self, id: &str) -> Option<(u64, Entry<H>)> {
        let number = *self.numbers.get(id)?;
        let entry = self.entries.get(&number)?;
        if !entry.releasing && !entry.goes_back {
            return None;
        }
        self.remove(number).map(|entry| (number, entry))
    }

    /// Takes a message in, under the number that is returned. `None` if it is on lease here already:
    /// the broker handed it out again, and the new handle and lease take the place of the old.
    pub(super) fn insert(
        &mut self,
        id: Box<str>,
        handle: H,
        binding: Option<Bytes>,
        until: Instant,
    ) -> Option<u64> {
        if let Some(&number) = self.numbers.get(&id)
            && let Some(entry) = self.entries.get_mut(&number)
        {
            entry.handle = handle;
            entry.dead = false;
            entry.until = until;
            entry.renewals = entry.renewals.wrapping_add(1);
            self.ends.push(Reverse((until, number)));
            return None;
        }
        let number = self.put(Entry {
            handle,
            id,
            binding,
            until,
            busy: false,
            releasing: false,
            goes_back: false,
            dead: false,
            out: false,
            renewals: 0,
        });
        Some(number)
    }

    /// Whether a message is on lease here.
    pub(super) fn has(&self, id: &str) -> bool {
        self.numbers.contains_key(id)
    }

    /// `None` if it has been settled, given back, or has run out.
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

    /// Forgets a message: from now on it is fenced. If the broker hands it out again, it is a new
    /// one.
    pub(super) fn remove(&mut self, number: u64) -> Option<Entry<H>> {
        let entry = self.entries.remove(&number)?;
        self.numbers.remove(&entry.id);
        if entry.out
            && let Some(group) = &entry.binding
            && let Some(count) = self.groups_out.get_mut(group)
        {
            *count -= 1;
            if *count == 0 {
                self.groups_out.remove(group);
            }
        }
        Some(entry)
    }

    /// The engine has it in hand from now on, under the number that is returned: numbers rise in
    /// the order in which messages are handed out. `None` if it is not on lease.
    pub(super) fn hand_out(&mut self, number: u64) -> Option<u64> {
        let mut entry = self.remove(number)?;
        entry.out = true;
        if let Some(group) = &entry.binding {
            *self.groups_out.entry(group.clone()).or_default() += 1;
        }
        Some(self.put(entry))
    }

    fn put(&mut self, entry: Entry<H>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.numbers.insert(entry.id.clone(), number);
        self.ends.push(Reverse((entry.until, number)));
        self.entries.insert(number, entry);
        self.tidy();
        number
    }

    /// Whether the engine has any of this group in hand.
    pub(super) fn is_out(&self, group: &Bytes) -> bool {
        self.groups_out.contains_key(group)
    }

    /// Keeps what is only looked at in its time from piling up behind long leases.
    fn tidy(&mut self) {
        if self.ends.len() > 2 * self.entries.len() + 64 {
            let ends = self.entries.iter();
            self.ends = ends
                .map(|(number, entry)| Reverse((entry.until, *number)))
                .collect();
        }
    }

    /// Removes a message whose lease has run out, if there is one. Busy ones stay, and are looked
    /// at again after [`RECHECK`]. Cheap: looks at no lease but those that are due.
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

    /// Takes out all that no request is under way about, in the order in which it came. They are
    /// the caller's to give back. Those that are busy stay in.
    pub(super) fn take_idle(&mut self) -> Vec<H> {
        let idle = self.entries.iter().filter(|(_, entry)| !entry.busy);
        let mut numbers: Vec<u64> = idle.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        let taken = numbers.into_iter().filter_map(|number| self.remove(number));
        let alive = taken.filter(|entry| !entry.dead);
        alive.map(|entry| entry.handle).collect()
    }
}
