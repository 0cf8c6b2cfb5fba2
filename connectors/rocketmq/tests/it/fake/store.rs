//! One broker: its log, its queues, and what is on lease, of groups without an order. `fifo` has
//! those with one.
//!
//! Times are milliseconds, as in handles.

use std::collections::HashMap;

use super::{fifo::Batch, filter::Filter, handle::Handle, pb};

/// A code and a text.
pub(super) type Refusal = (i32, String);

/// A group, a topic, and a queue of it.
pub(super) type Place = (String, String, u32);

#[derive(Debug)]
pub(super) struct Store {
    broker: usize,
    /// Whether changes return wrong handles, as in a proxy in local mode.
    pub(super) local: bool,
    /// How long after its lease a message comes again, of groups without an order.
    revive: u64,
    pub(super) log: Vec<pb::Message>,
    pub(super) queues: HashMap<(String, u32), Vec<Entry>>,
    /// Normal groups: what was handed out. FIFO groups: what is done.
    pub(super) offsets: HashMap<Place, u64>,
    checkpoints: Vec<Checkpoint>,
    pub(super) batches: HashMap<Place, Batch>,
    delayed: Vec<(u64, (String, u32), usize)>,
    stamp: u64,
    turn: u32,
}

/// A message in a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) log: usize,
    /// How often it had been handed out, and counted, when it came here.
    pub(super) tries: u32,
}

/// What was handed out together, and is not acknowledged.
#[derive(Debug)]
struct Checkpoint {
    group: String,
    topic: String,
    retry: bool,
    queue: u32,
    start: u64,
    popped: u64,
    until: u64,
    /// Whether the attempt does not count.
    suspended: bool,
    open: Vec<(u64, Entry)>,
}

/// A receive.
#[derive(Clone, Debug)]
pub(super) struct Pop {
    pub(super) group: String,
    pub(super) topic: String,
    pub(super) queues: u32,
    pub(super) filter: Filter,
    pub(super) max: usize,
    pub(super) invisible: u64,
    pub(super) fifo: bool,
    pub(super) most_attempts: u32,
}

impl Store {
    pub(super) fn new(broker: usize, local: bool, revive: u64) -> Self {
        Self {
            broker,
            local,
            revive,
            log: Vec::new(),
            queues: HashMap::new(),
            offsets: HashMap::new(),
            checkpoints: Vec::new(),
            batches: HashMap::new(),
            delayed: Vec::new(),
            stamp: 0,
            turn: 0,
        }
    }

    /// Appends a message to a queue, at once or then. Returns its offset.
    pub(super) fn append(&mut self, queue: u32, message: pb::Message, at: Option<u64>) -> i64 {
        let topic = message.topic.clone().unwrap_or_default().name;
        self.log.push(message);
        let log = self.log.len() - 1;
        if let Some(at) = at {
            self.delayed.push((at, (topic, queue), log));
            return 0;
        }
        let entries = self.queues.entry((topic, queue)).or_default();
        entries.push(Entry { log, tries: 0 });
        entries.len() as i64 - 1
    }

    pub(super) fn broker(&self) -> usize {
        self.broker
    }

    /// A time of receiving that no other has.
    pub(super) fn stamp(&mut self, now: u64) -> u64 {
        self.stamp = now.max(self.stamp + 1);
        self.stamp
    }

    /// Another queue first each time.
    pub(super) fn turns(&mut self, queues: u32) -> impl Iterator<Item = u32> + use<> {
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % queues.max(1);
        (0..queues).map(move |at| (at + first) % queues)
    }

    /// Does what is due; returns when something else will be.
    pub(super) fn tick(&mut self, now: u64) -> Option<u64> {
        for (_, queue, log) in self.delayed.extract_if(.., |(at, ..)| *at <= now) {
            let entries = self.queues.entry(queue).or_default();
            entries.push(Entry { log, tries: 0 });
        }
        let revive = self.revive;
        let over = self
            .checkpoints
            .extract_if(.., |it| it.until + revive <= now);
        for checkpoint in over {
            let retry = (retry(&checkpoint.group, &checkpoint.topic), 0);
            for (_, entry) in checkpoint.open {
                let tries = entry.tries + u32::from(!checkpoint.suspended);
                let entry = Entry { tries, ..entry };
                self.queues.entry(retry.clone()).or_default().push(entry);
            }
        }
        let delayed = self.delayed.iter().map(|(at, ..)| *at);
        let leased = self.checkpoints.iter().map(|it| it.until + revive);
        let bound = self.batches.values().filter_map(|it| it.bound_until(now));
        delayed.chain(leased).chain(bound).min()
    }

    /// Leases messages, as many as there are.
    pub(super) fn pop(&mut self, pop: &Pop, now: u64) -> Vec<pb::Message> {
        self.tick(now);
        if pop.fifo {
            return self.pop_fifo(pop, now);
        }
        let popped = self.stamp(now);
        let mut given = Vec::new();
        let turns = self.turns(pop.queues).map(|queue| (false, queue));
        for (again, queue) in [(true, 0)].into_iter().chain(turns) {
            let name = match again {
                true => retry(&pop.group, &pop.topic),
                false => pop.topic.clone(),
            };
            let place = (pop.group.clone(), name.clone(), queue);
            let mut offset = self.offsets.get(&place).copied().unwrap_or(0);
            let mut open = Vec::new();
            while given.len() + open.len() < pop.max {
                let Some(entry) = self.entry(&name, queue, offset) else {
                    break;
                };
                offset += 1;
                if !pop.filter.takes(&self.log[entry.log]) {
                    continue;
                }
                match entry.tries < pop.most_attempts {
                    true => open.push((offset - 1, entry)),
                    false => self.bury(&pop.group, entry),
                }
            }
            self.offsets.insert(place, offset);
            let Some((start, _)) = open.first().copied() else {
                continue;
            };
            for (offset, entry) in &open {
                let handle = Handle {
                    checkpoint: start,
                    popped,
                    invisible: pop.invisible,
                    fifo: false,
                    retry: again,
                    broker: self.broker,
                    queue,
                    offset: *offset,
                    log: entry.log,
                };
                given.push(self.show(&handle, entry.tries + 1));
            }
            self.checkpoints.push(Checkpoint {
                group: pop.group.clone(),
                topic: pop.topic.clone(),
                retry: again,
                queue,
                start,
                popped,
                until: popped + pop.invisible,
                suspended: false,
                open,
            });
        }
        given
    }

    /// A message as it is handed out.
    pub(super) fn show(&self, handle: &Handle, attempt: u32) -> pb::Message {
        let mut message = self.log[handle.log].clone();
        let system = message.system_properties.get_or_insert_default();
        system.receipt_handle = Some(handle.write());
        system.queue_id = i32::try_from(handle.queue).ok().filter(|id| *id > 0);
        system.queue_offset = i64::try_from(handle.offset).ok();
        system.delivery_attempt = i32::try_from(attempt).ok();
        system.delivery_timestamp = None;
        // What the real one lets out.
        if let Some(group) = &system.message_group {
            let group = group.clone();
            message
                .user_properties
                .insert("__SHARDINGKEY".into(), group);
        }
        message
    }

    pub(super) fn entry(&self, topic: &str, queue: u32, offset: u64) -> Option<Entry> {
        let entries = self.queues.get(&(topic.to_owned(), queue))?;
        entries.get(usize::try_from(offset).ok()?).copied()
    }

    /// Makes a dead letter.
    pub(super) fn bury(&mut self, group: &str, entry: Entry) {
        let queue = (format!("%DLQ%{group}"), 0);
        self.queues.entry(queue).or_default().push(entry);
    }

    pub(super) fn ack(
        &mut self,
        group: &str,
        topic: &str,
        handle: &str,
        now: u64,
    ) -> Result<(), Refusal> {
        let handle = self.valid(handle, now)?;
        self.done(group, topic, &handle);
        Ok(())
    }

    /// A handle that names nothing has no effect.
    fn done(&mut self, group: &str, topic: &str, handle: &Handle) {
        if handle.fifo {
            return self.commit(group, topic, handle);
        }
        self.checkpoints.retain_mut(|it| {
            let same = (&*it.group, &*it.topic, it.retry) == (group, topic, handle.retry)
                && (it.queue, it.start, it.popped)
                    == (handle.queue, handle.checkpoint, handle.popped);
            if same {
                it.open.retain(|(offset, _)| *offset != handle.offset);
            }
            !it.open.is_empty()
        });
    }

    /// Returns the new handle.
    pub(super) fn change(
        &mut self,
        (group, topic): (&str, &str),
        handle: &str,
        invisible: u64,
        suspend: bool,
        now: u64,
    ) -> Result<String, Refusal> {
        const LONGEST: u64 = 12 * 3600 * 1000;
        let old = self.valid(handle, now)?;
        if invisible > LONGEST {
            let text = format!("the invisibleTime is too large. max is {LONGEST}");
            return Err((40011, text));
        }
        let new = match old.fifo {
            true => self.change_fifo(group, topic, &old, invisible, now),
            false => {
                let name = match old.retry {
                    true => retry(group, topic),
                    false => topic.to_owned(),
                };
                let entry = self.entry(&name, old.queue, old.offset);
                let entry = entry.ok_or_else(|| junk(handle))?;
                self.done(group, topic, &old);
                let popped = self.stamp(now);
                self.checkpoints.push(Checkpoint {
                    group: group.to_owned(),
                    topic: topic.to_owned(),
                    retry: old.retry,
                    queue: old.queue,
                    start: old.offset,
                    popped,
                    until: popped + invisible,
                    suspended: suspend,
                    open: vec![(old.offset, entry)],
                });
                Handle {
                    checkpoint: old.offset,
                    popped,
                    invisible,
                    ..old.clone()
                }
            }
        };
        Ok(match self.local {
            true => new.write_wrong(old.checkpoint),
            false => new.write(),
        })
    }

    /// Looks at no lease: whatever the handle names is copied.
    pub(super) fn forward(
        &mut self,
        group: &str,
        topic: &str,
        handle: &str,
        attempt: u32,
    ) -> Result<(), Refusal> {
        let handle = Handle::parse(handle).ok_or_else(|| junk(handle))?;
        if handle.log >= self.log.len() {
            return Err((50001, "the message is not found".to_owned()));
        }
        let entry = Entry {
            log: handle.log,
            tries: attempt,
        };
        self.bury(group, entry);
        self.done(group, topic, &handle);
        Ok(())
    }

    fn valid(&self, text: &str, now: u64) -> Result<Handle, Refusal> {
        let handle = Handle::parse(text).ok_or_else(|| junk(text))?;
        if handle.broker != self.broker {
            return Err((50001, format!("broker-{} is not here", handle.broker)));
        }
        match handle.is_over(now) {
            true => Err((40013, "receipt handle is expired".to_owned())),
            false => Ok(handle),
        }
    }

    /// Messages of a topic that a group has not done, those on lease included.
    pub(super) fn left(&self, group: &str, topic: &str, fifo: bool) -> usize {
        let again = retry(group, topic);
        let queues = self.queues.iter();
        let waiting = queues.map(|((name, queue), entries)| {
            let place = (group.to_owned(), name.clone(), *queue);
            let offset = self.offsets.get(&place).copied().unwrap_or(0);
            let of = *name == topic || *name == again;
            if of {
                entries.len() - usize::try_from(offset).unwrap()
            } else {
                0
            }
        });
        let leased = self.checkpoints.iter();
        let leased = leased.filter(|it| (&*it.group, &*it.topic) == (group, topic));
        let leased: usize = leased.map(|it| it.open.len()).sum();
        waiting.sum::<usize>() + if fifo { 0 } else { leased }
    }
}

fn junk(handle: &str) -> Refusal {
    (50001, format!("Parse failed: {handle}"))
}

fn retry(group: &str, topic: &str) -> String {
    format!("%RETRY%{group}_{topic}")
}
