//! From what librdkafka has fetched to deliveries.

use std::collections::VecDeque;

use bytes::Bytes;
use eventlane::{
    Error, ErrorKind,
    source::{Assignment, Delivery, Partition, Receipt},
};
use metrics::Counter;
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::{
    convert::{Converted, Converter, Input},
    error,
    handover::{Content, Run},
    metrics as names,
    native::Record,
    partitions::{Live, Partitions, Print, Slot},
};

/// Sorts records by partition, in runs, and makes deliveries of them.
pub(crate) struct Intake {
    pub(crate) partitions: Partitions,
    pub(crate) converter: Converter,
    runs: Vec<Run>,
    /// Partitions whose log has become shorter: they are to be announced before the runs.
    restarted: Vec<Assignment>,
    /// What ends the source.
    failure: Option<Error>,
    /// What is to be told, but does not end it.
    troubles: Vec<(Code, String, Error)>,
    /// The topic's handle, the partition's number, and what they stand for, of the record before.
    last: Option<(usize, i32, Partition)>,
    largest: usize,
    count: Counters,
}

struct Counters {
    skipped: Counter,
    expired: Counter,
    remembered: Counter,
    invalid: Counter,
}

/// What a batch of records became.
#[derive(Debug, Default)]
pub(crate) struct Intaken {
    pub(crate) restarted: Vec<Assignment>,
    pub(crate) runs: Vec<Run>,
    pub(crate) troubles: Vec<(Code, String, Error)>,
    pub(crate) failure: Option<Error>,
}

impl Intake {
    pub(crate) fn new(group: &str, converter: Converter) -> Self {
        let counter = |name: &'static str| metrics::counter!(name, "group" => group.to_owned());
        Self {
            partitions: Partitions::new(group),
            converter,
            runs: Vec::new(),
            restarted: Vec::new(),
            failure: None,
            troubles: Vec::new(),
            last: None,
            largest: 1024,
            count: Counters {
                skipped: counter(names::SKIPPED),
                expired: counter(names::EXPIRED),
                remembered: counter(names::REMEMBERED),
                invalid: counter(names::INVALID),
            },
        }
    }

    /// How many records to take so that they stay within these bytes, judging by those before.
    pub(crate) fn fitting(&self, bytes: usize) -> usize {
        (bytes / self.largest).max(1)
    }

    /// Takes a record in. `watermarks` tells the lowest offset and the high watermark of a partition.
    pub(crate) fn take(
        &mut self,
        record: &Record<'_>,
        watermarks: impl Fn(&Slot) -> Option<(u64, u64)>,
    ) {
        if self.failure.is_some() {
            return;
        }
        let Some(partition) = self.partition(record) else {
            if record.code() != 0 {
                self.trouble(record);
            }
            return;
        };
        let Some(slot) = self.partitions.get_mut(partition) else {
            return;
        };
        // What is still there of a partition that has gone or is going belongs to whoever comes next.
        if slot.live.as_ref().is_none_or(|live| live.leaving) {
            return;
        }
        if error::code(record.code()) == Code::PartitionEOF {
            let high = watermarks(slot).map(|(_, high)| high);
            if let (Some(live), Ok(end)) = (&mut slot.live, u64::try_from(record.offset())) {
                live.end_met = Some((end, high.unwrap_or(end)));
                Self::advance(&mut self.runs, partition, live, end);
            }
            return;
        }
        let Ok(offset) = u64::try_from(record.offset()) else {
            return self.trouble(record);
        };
        if record.code() != 0 {
            return self.trouble(record);
        }
        self.receive(partition, offset, record, watermarks);
    }

    fn receive(
        &mut self,
        partition: Partition,
        offset: u64,
        record: &Record<'_>,
        watermarks: impl Fn(&Slot) -> Option<(u64, u64)>,
    ) {
        let Some(slot) = self.partitions.get(partition) else {
            return;
        };
        let Some(live) = &slot.live else { return };
        let print = Print {
            timestamp: record.timestamp(),
            key: record.key().map(<[u8]>::len),
            payload: record.payload().map(<[u8]>::len),
        };
        match live.next {
            // librdkafka pauses partitions on a thread of its own. A record that is read at that very moment comes again.
            Some(next) if offset + 1 == next && live.last == Some(print) => return,
            Some(next) if offset < next => {
                // The log was cut short, or made anew.
                tracing::warn!(
                    partition = %slot.name, expected = next, offset,
                    "the partition has become shorter; starting over at what it has now",
                );
                let assignment = self.partitions.restart(partition, offset);
                self.runs.retain(|run| run.partition != partition);
                self.restarted.retain(|other| other.partition != partition);
                self.restarted.extend(assignment);
            }
            Some(next) if offset > next => self.gap(partition, next, offset, watermarks),
            Some(_) | None => {}
        }
        let Some(slot) = self.partitions.get_mut(partition) else {
            return;
        };
        let Some(live) = &mut slot.live else { return };
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
            return;
        }
        let epoch = live.epoch;
        let input = Input {
            partition: record.partition(),
            offset,
            timestamp: record.timestamp(),
            key: record.key(),
            payload: record.payload(),
            headers: record.headers(),
        };
        let (event, invalid) = match self.converter.convert(&slot.naming, input) {
            Ok(Converted::Event(event)) => (event, None),
            Ok(Converted::Invalid(event, reason)) => (event, Some(reason)),
            Err(error) => {
                let message =
                    format!("the record is not the CloudEvent that it claims to be: {error}");
                let error = Error::new(ErrorKind::Rejected, "convert", message)
                    .with_context("partition", &slot.name)
                    .with_context("offset", offset);
                self.count.invalid.increment(1);
                self.failure = Some(error);
                return;
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
        delivery.key = record.key().map(Bytes::copy_from_slice);
        delivery.invalid = invalid;
        self.push(delivery);
    }

    fn push(&mut self, delivery: Delivery) {
        let size = delivery.event.size();
        self.largest = self.largest.max(size);
        let Receipt {
            partition, epoch, ..
        } = delivery.receipt;
        if let Some(run) = self.runs.last_mut()
            && run.partition == partition
            && let Content::Deliveries { deliveries, bytes } = &mut run.content
        {
            *bytes += size;
            deliveries.push_back(delivery);
            return;
        }
        let content = Content::Deliveries {
            deliveries: VecDeque::from([delivery]),
            bytes: size,
        };
        self.runs.push(Run {
            partition,
            epoch,
            content,
        });
    }

    /// Everything below `end` has been read, or never will be there.
    fn advance(runs: &mut Vec<Run>, partition: Partition, live: &mut Live, end: u64) {
        if live.next.is_none_or(|next| next < end) {
            live.next = Some(end);
        } else if live.skip.front().is_none_or(|range| range.end > end) {
            // The engine knows.
            return;
        }
        live.skip.retain(|range| range.end > end);
        runs.push(Run {
            partition,
            epoch: live.epoch,
            content: Content::Advanced(end),
        });
    }

    /// Says what a gap consists of, as far as it is known.
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

    fn trouble(&mut self, record: &Record<'_>) {
        let (code, reason) = (error::code(record.code()), record.reason());
        let error = error::from_code("fetch", code, Some(&reason))
            .with_context("topic", record.topic())
            .with_context("partition", record.partition());
        self.troubles.push((code, reason, error));
    }

    /// What has come together.
    pub(crate) fn finish(&mut self) -> Intaken {
        // Handles of topics can be used again once no record of them is alive.
        self.last = None;
        // Sizes change; an outlier must not slow things down for ever.
        self.largest -= self.largest / 8;
        self.largest = self.largest.max(256);
        Intaken {
            restarted: std::mem::take(&mut self.restarted),
            runs: std::mem::take(&mut self.runs),
            troubles: std::mem::take(&mut self.troubles),
            failure: self.failure.take(),
        }
    }
}
