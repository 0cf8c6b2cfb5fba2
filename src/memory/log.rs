use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Notify, time};

use super::{
    Faults, MemorySource, Record,
    group::{Group, MemberId, Pending},
    records::Records,
};
use crate::Event;

/// A log in memory: what a Kafka topic is to its consumers, without the broker.
///
/// A handle; clones are the same log. Partitions are numbered from 0, and the offsets of each rise
/// from 0.
///
/// * **Groups.** [`source`](Self::source) joins a group, which exists from its first mention and
///   begins at offset 0. Every partition is held by at most one source of the group; partitions
///   that nobody holds go to the source that holds the fewest, when it joins or when they become
///   free. So the first source gets all of them, and a second one waits until the first is dropped
///   or closed, or until [`rebalance`](Self::rebalance) or a [`Member`](super::Member) moves some.
/// * **Position.** A group keeps the position that was settled, and the ranges `beyond` it that are
///   done as well. An assignment begins at the position and passes over those ranges.
/// * **Fencing.** A settlement counts only while the source that makes it holds the partition under
///   the same epoch. Settling what has not been handed out is refused.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Arc<Notify>,
    faults: Faults,
}

struct State {
    name: Box<str>,
    manual: bool,
    records: Vec<Records>,
    groups: Vec<Group>,
    finished: bool,
    next_member: MemberId,
}

impl MemoryLog {
    /// An empty log called `memory`, with partitions `0..partitions`.
    pub fn new(partitions: u32) -> Self {
        let changed = Arc::new(Notify::new());
        let state = State {
            name: "memory".into(),
            manual: false,
            records: (0..partitions).map(|_| Records::default()).collect(),
            groups: Vec::new(),
            finished: false,
            next_member: 0,
        };
        let faults = Faults::new(Arc::clone(&changed));
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                changed,
                faults,
            }),
        }
    }

    /// Sets what the partitions' names begin with. Groups that exist keep theirs.
    #[must_use]
    pub fn with_name(self, name: &str) -> Self {
        self.state().name = name.into();
        self
    }

    /// Assigns partitions only by [`Member::assign`](super::Member::assign). Groups that exist are
    /// not affected.
    #[must_use]
    pub fn with_manual_assignment(self) -> Self {
        self.state().manual = true;
        self
    }

    /// Appends an event, perhaps with an ordering key, and returns its offset.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn append(&self, partition: u32, event: Event, key: Option<&str>) -> u64 {
        let record = Record {
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            ..event.into()
        };
        self.append_all(partition, [record]).start
    }

    /// Appends records side by side and returns their offsets.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn append_all(
        &self,
        partition: u32,
        records: impl IntoIterator<Item = Record>,
    ) -> Range<u64> {
        self.write(partition, |to| {
            let start = to.end();
            for record in records {
                to.append(record);
            }
            start..to.end()
        })
    }

    /// Leaves the next `offsets` of a partition without messages, as transactions and compaction
    /// do.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn skip(&self, partition: u32, offsets: u64) {
        self.write(partition, |to| to.skip(offsets));
    }

    /// The offset that the partition's next message gets; 0 if there is no such partition.
    pub fn end(&self, partition: u32) -> u64 {
        self.state()
            .records
            .get(partition as usize)
            .map_or(0, Records::end)
    }

    /// Nothing more is going to be appended: the sources of a group end with
    /// [`Signal::End`](crate::source::Signal::End) as soon as everything has been handed out, to
    /// whichever of them. What is appended nevertheless is handed out.
    pub fn finish(&self) {
        self.state().finished = true;
        self.shared.changed.notify_waiters();
    }

    /// Joins a group. To leave it, drop or close the source: what it holds goes back to the group
    /// at once, unsettled.
    pub fn source(&self, group: &str) -> MemorySource {
        let mut state = self.state();
        let id = state.next_member;
        state.next_member += 1;
        let at = state.group_at(group);
        state.change_group(at, |group, records| group.join(id, records));
        drop(state);
        self.shared.changed.notify_waiters();
        MemorySource::new(self.clone(), at, id)
    }

    /// Evens out what the sources of a group hold: what somebody has too much of is revoked, and
    /// goes to those that hold less as soon as it has been let go, or after `within`. Needs a tokio
    /// runtime.
    pub fn rebalance(&self, group: &str, within: Duration) {
        let mut state = self.state();
        let at = state.group_at(group);
        let pending = state.change_group(at, |group, _| group.rebalance(within));
        drop(state);
        for pending in pending.unwrap_or_default() {
            self.wait_for(at, pending);
        }
    }

    /// The offset from which a group has not settled a partition; 0 if it has settled nothing.
    pub fn committed(&self, group: &str, partition: u32) -> u64 {
        self.state()
            .group(group)
            .map_or(0, |group| group.committed(partition))
    }

    /// What a group has settled above [`committed`](Self::committed).
    pub fn beyond(&self, group: &str, partition: u32) -> Vec<Range<u64>> {
        self.state()
            .group(group)
            .map_or_else(Vec::new, |group| group.beyond(partition))
    }

    /// How many settlements a group has carried out, over all partitions: what a broker's commits
    /// would be.
    pub fn commits(&self, group: &str) -> u64 {
        self.state().group(group).map_or(0, Group::commits)
    }

    /// Sets where a group begins when a partition is assigned the next time, as an operator resets
    /// offsets.
    pub fn set_committed(&self, group: &str, partition: u32, position: u64) {
        let mut state = self.state();
        let at = state.group_at(group);
        state.change_group(at, |group, _| group.set_committed(partition, position));
    }

    /// Makes sources fail.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.shared.changed
    }

    /// Changes a group and its members' news, and wakes whoever polls.
    pub(super) fn change<T>(
        &self,
        group: usize,
        change: impl FnOnce(&mut Group, &[Records]) -> T,
    ) -> Option<T> {
        let changed = self.state().change_group(group, change);
        self.shared.changed.notify_waiters();
        changed
    }

    /// Changes a group in a way that gives nobody anything to read.
    pub(super) fn change_quietly<T>(
        &self,
        group: usize,
        change: impl FnOnce(&mut Group) -> T,
    ) -> Option<T> {
        self.state().change_group(group, |group, _| change(group))
    }

    /// Reads on in a group; `read` is told whether the log is finished.
    pub(super) fn read<T>(
        &self,
        group: usize,
        read: impl FnOnce(&mut Group, &[Records], bool) -> Option<T>,
    ) -> Option<T> {
        let (read, finished) = {
            let mut state = self.state();
            let finished = state.finished;
            (
                state.change_group(group, |group, records| read(group, records, finished)),
                finished,
            )
        };
        // The last delivery to one source is what the others wait for to end.
        if finished && read.as_ref().is_some_and(Option::is_some) {
            self.shared.changed.notify_waiters();
        }
        read.flatten()
    }

    /// Takes the partitions away as soon as they have been let go, or at the deadline, whether
    /// anybody polls or not.
    pub(super) fn wait_for(&self, group: usize, mut pending: Pending) {
        let log = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = &mut pending.let_go => {}
                () = time::sleep_until(pending.deadline) => {}
            }
            log.change(group, |group, records| group.let_go(&pending, records));
        });
    }

    fn write<T>(&self, partition: u32, write: impl FnOnce(&mut Records) -> T) -> T {
        let written = self.state().records.get_mut(partition as usize).map(write);
        self.shared.changed.notify_waiters();
        // After the lock is free, so that a test's mistake breaks nothing else.
        written.unwrap_or_else(|| panic!("the log has no partition {partition}"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    fn group_at(&mut self, name: &str) -> usize {
        self.groups
            .iter()
            .position(|group| group.name == name)
            .unwrap_or_else(|| {
                let partitions = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
                self.groups
                    .push(Group::new(name, &self.name, partitions, self.manual));
                self.groups.len() - 1
            })
    }

    fn change_group<T>(
        &mut self,
        at: usize,
        change: impl FnOnce(&mut Group, &[Records]) -> T,
    ) -> Option<T> {
        self.groups
            .get_mut(at)
            .map(|group| change(group, &self.records))
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryLog")
            .field("name", &state.name)
            .field(
                "ends",
                &state.records.iter().map(Records::end).collect::<Vec<_>>(),
            )
            .field(
                "groups",
                &state
                    .groups
                    .iter()
                    .map(|group| &group.name)
                    .collect::<Vec<_>>(),
            )
            .finish()
    }
}
