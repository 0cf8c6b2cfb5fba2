//! The partitions that are, or have been, assigned.
//!
//!
//! Owned by the shared state. A slot is never removed: the engine's [`Partition`] is its index,
//! which by contract means the same partition for as long as the source lives, and a group moves
//! the same few partitions back and forth. What belongs to one assignment is in [`Live`], and goes
//! with it.
//!
//! Epochs come from one counter for all partitions, so each assignment of this consumer has another
//! one. A settlement carries it; one that does not match is refused without asking the broker.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use eventlane::source::{Assignment, Partition};
use metrics::Gauge;

use crate::{
    convert::{Converter, Topic},
    lag::PartitionLag,
    metadata, metrics as names,
};

/// A partition, known for as long as the consumer lives: its number for the engine is its place in
/// the table.
///
/// `stopped` and `metadata_limit` are in here and not in `Live`, because what they mirror (a pause
/// in librdkafka, the broker's configuration) outlasts an assignment.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) topic: Arc<str>,
    pub(crate) number: i32,
    /// `orders/3`.
    pub(crate) name: Arc<str>,
    pub(crate) naming: Topic,
    /// While it is assigned.
    pub(crate) live: Option<Live>,
    /// How large commit metadata may be: less than the usual once the broker has refused some.
    pub(crate) metadata_limit: usize,
    /// Whether librdkafka has been told to pause it, which outlasts the assignment.
    pub(crate) stopped: bool,
    lag: Gauge,
}

/// An assignment.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) epoch: u32,
    /// The offset of the next record, if anything is known.
    pub(crate) next: Option<u64>,
    /// The record that came last.
    pub(crate) last: Option<Print>,
    /// What an earlier run has finished, still ahead: not delivered again.
    pub(crate) skip: VecDeque<Range<u64>>,
    /// The same, until the committed offset has passed it: the engine does not know of it before a
    /// delivery behind it.
    pub(crate) remembered: Vec<Range<u64>>,
    pub(crate) committed: Option<u64>,
    /// Where the end of what can be read was met, and the high watermark then: open transactions
    /// lie between.
    pub(crate) end_met: Option<(u64, u64)>,
    /// On its way to somebody else: nothing more is handed out.
    pub(crate) leaving: bool,
}

/// Enough of a record to recognise it.
///
/// Offset alone would not do: a topic that was deleted and made anew has the same offsets for other
/// records. Sizes instead of the bytes themselves, so that no copy is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Print {
    pub(crate) offset: u64,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<usize>,
    pub(crate) payload: Option<usize>,
}

/// All slots, and the way from a topic's name and a partition's number to one.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    slots: Vec<Slot>,
    numbers: HashMap<Arc<str>, HashMap<i32, Partition>>,
    epoch: u32,
    group: Arc<str>,
}

impl Partitions {
    pub(crate) fn new(group: &str) -> Self {
        Self {
            group: group.into(),
            ..Self::default()
        }
    }

    /// The partition of this name and number, if it was ever assigned.
    pub(crate) fn find(&self, topic: &str, number: i32) -> Option<Partition> {
        self.numbers.get(topic)?.get(&number).copied()
    }

    pub(crate) fn get(&self, partition: Partition) -> Option<&Slot> {
        self.slots.get(partition.0 as usize)
    }

    pub(crate) fn get_mut(&mut self, partition: Partition) -> Option<&mut Slot> {
        self.slots.get_mut(partition.0 as usize)
    }

    /// The partition, if it is assigned.
    pub(crate) fn live_mut(&mut self, partition: Partition) -> Option<&mut Live> {
        self.get_mut(partition)?.live.as_mut()
    }

    /// Those that are assigned, the leaving ones included.
    pub(crate) fn live(&self) -> impl Iterator<Item = (Partition, &Slot, &Live)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(at, slot)| Some((Partition(at as u32), slot, slot.live.as_ref()?)))
    }

    /// Those that are assigned and not about to go.
    pub(crate) fn assigned_mut(&mut self) -> impl Iterator<Item = (Partition, &mut Slot)> {
        let slots = self.slots.iter_mut().enumerate();
        let staying = |slot: &Slot| slot.live.as_ref().is_some_and(|live| !live.leaving);
        slots
            .filter(move |(_, slot)| staying(slot))
            .map(|(at, slot)| (Partition(at as u32), slot))
    }

    /// Begins an assignment at what the group has committed.
    ///
    /// `committed` is where reading begins, `None` if librdkafka is to decide
    /// (`auto.offset.reset`). `remembered` are the ranges above it from the commit's metadata:
    /// rising, disjoint.
    pub(crate) fn assign(
        &mut self,
        topic: &str,
        number: i32,
        committed: Option<u64>,
        remembered: Vec<Range<u64>>,
        converter: &Converter,
    ) -> Assignment {
        let partition = match self.find(topic, number) {
            Some(partition) => partition,
            None => self.add(topic, number, converter),
        };
        self.epoch += 1;
        let epoch = self.epoch;
        let slot = &mut self.slots[partition.0 as usize];
        slot.live = Some(Live {
            epoch,
            next: committed,
            last: None,
            skip: remembered.iter().cloned().collect(),
            remembered,
            committed,
            end_met: None,
            leaving: false,
        });
        Assignment {
            partition,
            epoch,
            name: Arc::clone(&slot.name),
        }
    }

    /// Begins a new assignment of one that is assigned, at an offset that has been delivered
    /// before.
    ///
    /// For a partition that has become shorter. What was remembered speaks of the old records, and
    /// is forgotten; so is the last record. `None` if the partition is not assigned.
    pub(crate) fn restart(&mut self, partition: Partition, next: u64) -> Option<Assignment> {
        self.epoch += 1;
        let epoch = self.epoch;
        let slot = self.get_mut(partition)?;
        let name = Arc::clone(&slot.name);
        let live = slot.live.as_mut()?;
        *live = Live {
            epoch,
            next: Some(next),
            last: None,
            skip: VecDeque::new(),
            remembered: Vec::new(),
            committed: live.committed,
            end_met: None,
            leaving: live.leaving,
        };
        Some(Assignment {
            partition,
            epoch,
            name,
        })
    }

    /// A new slot. Siblings of one topic share the names, so a thousand partitions cost one copy.
    fn add(&mut self, topic: &str, number: i32, converter: &Converter) -> Partition {
        let (topic, naming) = match self.numbers.get_key_value(topic) {
            Some((topic, numbers)) => {
                let sibling = numbers.values().next().and_then(|at| self.get(*at));
                let naming = sibling.map(|slot| slot.naming.clone());
                (
                    Arc::clone(topic),
                    naming.unwrap_or_else(|| converter.topic(topic)),
                )
            }
            None => (Arc::from(topic), converter.topic(topic)),
        };
        let partition = Partition(self.slots.len() as u32);
        let labels = [
            ("group", self.group.to_string()),
            ("topic", topic.to_string()),
            ("partition", number.to_string()),
        ];
        self.slots.push(Slot {
            name: format!("{topic}/{number}").into(),
            number,
            naming,
            live: None,
            metadata_limit: metadata::LIMIT,
            stopped: false,
            lag: metrics::gauge!(names::LAG, &labels),
            topic: Arc::clone(&topic),
        });
        self.numbers
            .entry(topic)
            .or_default()
            .insert(number, partition);
        partition
    }

    /// Ends an assignment. Idempotent. The lag goes to 0, or the gauge would show the last value
    /// for ever while another consumer works it off.
    pub(crate) fn end(&mut self, partition: Partition) {
        if let Some(slot) = self.get_mut(partition) {
            slot.live = None;
            slot.lag.set(0.0);
        }
    }

    /// Where all stand; `high` is asked for high watermarks, those of the last fetch.
    ///
    /// With read-committed isolation nothing behind the start of an open transaction can be read,
    /// though the high watermark lies beyond. Once the end was met and nothing has been written
    /// since, the end is where it was met: a consumer that has read everything has a lag of 0.
    pub(crate) fn lag(&self, high: impl Fn(&Slot) -> Option<u64>) -> Vec<PartitionLag> {
        self.live()
            .map(|(_, slot, live)| {
                let high = high(slot);
                let end = match live.end_met {
                    Some((end, then)) if live.next == Some(end) && high == Some(then) => Some(end),
                    _ => high.map(|high| high.max(live.next.unwrap_or_default())),
                };
                let lag = PartitionLag {
                    topic: Arc::clone(&slot.topic),
                    partition: slot.number,
                    committed: live.committed,
                    position: live.next,
                    end,
                };
                slot.lag.set(lag.lag().unwrap_or_default() as f64);
                lag
            })
            .collect()
    }
}
