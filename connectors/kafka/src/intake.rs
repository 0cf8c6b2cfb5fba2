//! From what librdkafka has fetched to deliveries.
//!
//!
//! Called with the shared state locked, by the engine's polls. Decides for each record whether it
//! is delivered, and keeps up for each assignment where it stands ([`Live::next`]):
//!
//! * **Order.** librdkafka hands out a partition's records by rising offset. The last record come
//!   again is passed over. Any other that goes back means that the partition was deleted and made
//!   anew, or truncated: a new assignment begins.
//! * **Gaps** are no records that are missing: transaction markers, aborted and compacted records
//!   have offsets of their own. Only what retention deleted may have been records; it is counted
//!   apart.
//! * **Errors** of a partition come as records with a code. They are counted, and end the source
//!   only where [`error::trouble`] says so.

use bytes::Bytes;
use eventlane::{
    Error, ErrorKind,
    source::{Delivery, Partition, Position, Receipt, Signal},
};
use metrics::Counter;
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::{
    convert::{Converted, Converter, Input},
    error, metrics as names,
    native::Record,
    outlet::Pulled,
    partitions::{Live, Partitions, Print, Slot},
};

/// Makes deliveries of records.
pub(crate) struct Intake {
    pub(crate) partitions: Partitions,
    pub(crate) converter: Converter,
    /// The topic's handle, the partition's number, and what they stand for, of the record before.
    /// Handles can be used again once a topic is gone, hence not for longer than a poll.
    last: Option<(usize, i32, Partition)>,
    group: String,
    count: Counters,
}

/// Looked up once: the `metrics` facade would search for a name with its labels on every record.
struct Counters {
    skipped: Counter,
    expired: Counter,
    remembered: Counter,
    invalid: Counter,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake")
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

impl Intake {
    pub(crate) fn new(group: &str, converter: Converter) -> Self {
        let counter = |name: &'static str| metrics::counter!(name, "group" => group.to_owned());
        Self {
            partitions: Partitions::new(group),
            converter,
            last: None,
            group: group.to_owned(),
            count: Counters {
                skipped: counter(names::SKIPPED),
                expired: counter(names::EXPIRED),
                remembered: counter(names::REMEMBERED),
                invalid: counter(names::INVALID),
            },
        }
    }

    /// To be called before the first record of a poll.
    ///
    /// Forgets the last topic's handle: librdkafka may free a topic between two polls and give its
    /// address to another one.
    pub(crate) fn begin(&mut self) {
        self.last = None;
    }

    /// Takes a record in. `watermarks` tells the lowest offset and the high watermark of a
    /// partition.
    pub(crate) fn take(
        &mut self,
        record: &Record<'_>,
        watermarks: impl Fn(&Slot) -> Option<(u64, u64)>,
    ) -> Pulled {
        let Some(partition) = self.partition(record) else {
            return match record.code() {
                0 => Pulled::Nothing,
                _ => self.trouble(record),
            };
        };
        let Some(slot) = self.partitions.get_mut(partition) else {
            return Pulled::Nothing;
        };
        // What is still there of a partition that has gone or is going belongs to whoever comes
        // next.
        if slot.live.as_ref().is_none_or(|live| live.leaving) {
            return Pulled::Nothing;
        }
        let Ok(offset) = u64::try_from(record.offset()) else {
            return self.trouble(record);
        };
        match record.code() {
            0 => self.receive(partition, offset, record, watermarks),
            code if error::code(code) == Code::PartitionEOF => {
                let high = watermarks(slot).map_or(offset, |(_, high)| high);
                let Some(live) = &mut slot.live else {
                    return Pulled::Nothing;
                };
                live.end_met = Some((offset, high));
                let skipped = offset.saturating_sub(live.next.unwrap_or(offset));
                self.count.skipped.increment(skipped);
                advance(partition, live, offset)
            }
            _ => self.trouble(record),
        }
    }

    /// A record of a partition that is ours. `Pulled::Nothing` for one that came twice or that an
    /// earlier run has finished; the watermark counts it as done, since its offset is skipped.
    fn receive(
        &mut self,
        partition: Partition,
        offset: u64,
        record: &Record<'_>,
        watermarks: impl Fn(&Slot) -> Option<(u64, u64)>,
    ) -> Pulled {
        let Some(slot) = self.partitions.get(partition) else {
            return Pulled::Nothing;
        };
        let Some(live) = &slot.live else {
            return Pulled::Nothing;
        };
        let (key, payload) = (record.key(), record.payload());
        let print = Print {
            offset,
            timestamp: record.timestamp(),
            key: key.map(<[u8]>::len),
            payload: payload.map(<[u8]>::len),
        };
        let mut anew = Vec::new();
        match live.next {
            // librdkafka pauses partitions on a thread of its own. A record that is read at that
            // very moment comes again.
            Some(_) if live.last == Some(print) => return Pulled::Nothing,
            // No new assignment came from the group, so the engine is told of one: within an epoch
            // offsets only rise, and a late settlement of the old records must not commit in the
            // new.
            Some(next) if offset < next => {
                tracing::warn!(
                    partition = %slot.name, expected = next, offset,
                    "the partition has become shorter; starting over at what it has now",
                );
                anew.push(Signal::Lost(vec![partition]));
                anew.extend(
                    self.partitions
                        .restart(partition, offset)
                        .map(|one| Signal::Assigned(vec![one])),
                );
            }
            Some(next) if offset > next => self.gap(partition, next, offset, watermarks),
            Some(_) | None => {}
        }
        let Some(slot) = self.partitions.get_mut(partition) else {
            return Pulled::Nothing;
        };
        let Some(live) = &mut slot.live else {
            return Pulled::Nothing;
        };
        live.next = Some(offset + 1);
        live.last = Some(print);
        while live.skip.front().is_some_and(|range| range.end <= offset) {
            live.skip.pop_front();
        }
        if live
            .skip
            .front()
            .is_some_and(|range| range.contains(&offset))
        {
            self.count.remembered.increment(1);
            return Pulled::Nothing;
        }
        let epoch = live.epoch;
        let input = Input {
            partition: record.partition(),
            offset,
            timestamp: print.timestamp,
            key,
            payload,
            headers: record.headers(),
        };
        let (event, invalid) = match self.converter.convert(&slot.naming, input) {
            Ok(Converted::Event(event)) => (event, None),
            Ok(Converted::Invalid(event, reason)) => (event, Some(reason)),
            Err(error) => {
                self.count.invalid.increment(1);
                let message =
                    format!("the record is not the CloudEvent that it claims to be: {error}");
                let error = Error::new(ErrorKind::Rejected, "convert", message)
                    .with_context("partition", &slot.name)
                    .with_context("offset", offset);
                return Pulled::Failure(error);
            }
        };
        if invalid.is_some() {
            self.count.invalid.increment(1);
        }
        let mut delivery = Delivery::new(
            Receipt {
                partition,
                epoch,
                seq: offset,
            },
            event,
        );
        delivery.key = key.map(Bytes::copy_from_slice);
        delivery.invalid = invalid;
        match anew.is_empty() {
            true => Pulled::Delivery(delivery),
            false => Pulled::Anew(anew, delivery),
        }
    }

    /// Says what a gap consists of, as far as it is known.
    ///
    /// The low watermark is the one of the last fetch, which brought this record: everything below
    /// it has been deleted. Offsets between it and the record were compacted or belong to
    /// transactions.
    fn gap(
        &mut self,
        partition: Partition,
        next: u64,
        offset: u64,
        watermarks: impl Fn(&Slot) -> Option<(u64, u64)>,
    ) {
        let Some(slot) = self.partitions.get(partition) else {
            return;
        };
        // A marker of a transaction takes one offset: nothing to look into.
        let low = if offset - next > 1 {
            watermarks(slot).map(|(low, _)| low)
        } else {
            None
        };
        let expired = low.map_or(0, |low| low.min(offset).saturating_sub(next));
        if expired > 0 {
            tracing::warn!(
                partition = %slot.name, from = next, expired,
                "the broker has deleted records before they were read (retention)",
            );
            self.count.expired.increment(expired);
        }
        self.count.skipped.increment(offset - next - expired);
    }

    /// The partition of a record. Records of one partition come in runs, so the last answer is
    /// kept: the name need not be copied and hashed for each.
    fn partition(&mut self, record: &Record<'_>) -> Option<Partition> {
        let (topic, number) = (record.topic_handle(), record.partition());
        if let Some((last_topic, last_number, partition)) = self.last
            && (last_topic, last_number) == (topic, number)
        {
            return Some(partition);
        }
        let partition = self.partitions.find(&record.topic(), number)?;
        self.last = Some((topic, number, partition));
        Some(partition)
    }

    /// Not a record but an error: counted, and the end of the source if trying again can't help.
    fn trouble(&self, record: &Record<'_>) -> Pulled {
        let (code, reason) = (error::code(record.code()), record.reason());
        let error = error::from_code("fetch", code, Some(&reason))
            .with_context("topic", record.topic())
            .with_context("partition", record.partition());
        match error::trouble(&self.group, code, error) {
            Some(error) => Pulled::Failure(error),
            None => Pulled::Nothing,
        }
    }
}

/// Everything below `end` has been read, or never will be there. Told to the engine only if it says
/// something new: librdkafka reports the end of a partition whenever it is reached again.
fn advance(partition: Partition, live: &mut Live, end: u64) -> Pulled {
    let news = live.next.is_none_or(|next| next < end)
        // What was remembered at the end has not been told yet.
        || live.skip.front().is_some_and(|range| range.end <= end);
    live.next = live.next.max(Some(end));
    live.skip.retain(|range| range.end > end);
    match news {
        true => Pulled::Advanced(Position {
            partition,
            epoch: live.epoch,
            next: end,
        }),
        false => Pulled::Nothing,
    }
}
