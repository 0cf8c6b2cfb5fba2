//! A partition's messages, and a place in them.

use std::{collections::VecDeque, ops::Range};

use super::Record;

/// One partition's messages, in the order of their offsets; offsets may be missing.
#[derive(Debug, Default)]
pub(super) struct Records {
    stored: Vec<Stored>,
    end: u64,
}

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) offset: u64,
    pub(super) size: usize,
    pub(super) record: Record,
}

impl Records {
    pub(super) fn append(&mut self, record: Record) -> u64 {
        let offset = self.end;
        // The first clone of freshly built `Bytes` allocates; a poll shall not.
        drop(record.key.clone());
        self.stored.push(Stored {
            offset,
            size: record.event.size(),
            record,
        });
        self.end += 1;
        offset
    }

    /// Leaves out so many offsets, as a log does whose records were compacted away.
    pub(super) fn skip(&mut self, offsets: u64) {
        self.end += offsets;
    }

    /// The offset that comes next.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    fn index_of(&self, offset: u64) -> usize {
        self.stored.partition_point(|stored| stored.offset < offset)
    }
}

/// How far one assignment of a partition has been handed out.
#[derive(Debug)]
pub(super) struct Cursor {
    index: usize,
    next: u64,
    done: VecDeque<Range<u64>>,
}

impl Cursor {
    /// Begins at `next`, and will pass over what is `done` above it.
    pub(super) fn new(records: &Records, next: u64, done: &[Range<u64>]) -> Self {
        Self {
            index: records.index_of(next),
            next,
            done: done.iter().cloned().collect(),
        }
    }

    /// Everything below was handed out or passed over.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The message whose turn it is.
    pub(super) fn peek<'r>(&mut self, records: &'r Records) -> Option<&'r Stored> {
        loop {
            let stored = records.stored.get(self.index)?;
            match self.done.front() {
                Some(done) if done.end <= stored.offset => {
                    self.done.pop_front();
                }
                Some(done) if done.start <= stored.offset => {
                    self.index = records.index_of(done.end);
                }
                _ => return Some(stored),
            }
        }
    }

    /// Goes on behind `stored`, which [`peek`](Self::peek) has shown.
    pub(super) fn pass(&mut self, stored: &Stored) {
        self.index += 1;
        self.next = stored.offset + 1;
    }

    /// Goes to the end if no message is left before it; whether that was a step.
    pub(super) fn pass_skipped(&mut self, records: &Records) -> bool {
        let steps = self.peek(records).is_none() && self.next < records.end;
        if steps {
            self.next = records.end;
        }
        steps
    }

    /// How many messages there are at most.
    pub(super) fn left(&self, records: &Records) -> usize {
        records.stored.len().saturating_sub(self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;

    fn records(messages: &[u64], end: u64) -> Records {
        let mut records = Records::default();
        for &offset in messages {
            records.skip(offset - records.end());
            let event = Event::builder()
                .id("1")
                .source("/test")
                .ty("test")
                .build()
                .unwrap();
            records.append(event.into());
        }
        records.skip(end - records.end());
        records
    }

    fn read(records: &Records, cursor: &mut Cursor) -> Vec<u64> {
        let mut read = Vec::new();
        while let Some(stored) = cursor.peek(records) {
            read.push(stored.offset);
            cursor.pass(stored);
        }
        read
    }

    #[test]
    fn a_cursor_passes_over_gaps_and_over_what_is_done() {
        let records = records(&[0, 1, 4, 5, 6, 7, 20], 25);
        let mut cursor = Cursor::new(&records, 1, &[2..3, 4..6, 7..8]);
        assert_eq!(read(&records, &mut cursor), [1, 6, 20]);
        assert_eq!(cursor.next(), 21);
        assert!(cursor.pass_skipped(&records));
        assert_eq!(cursor.next(), 25);
        assert!(!cursor.pass_skipped(&records));
    }

    #[test]
    fn what_is_done_at_the_end_is_passed_over() {
        let records = records(&[0, 1, 2], 3);
        let mut cursor = Cursor::new(&records, 0, &[1..2, 2..3]);
        assert!(!cursor.pass_skipped(&records), "a message is left");
        assert_eq!(read(&records, &mut cursor), [0]);
        assert!(cursor.pass_skipped(&records));
        assert_eq!(cursor.next(), 3);
    }

    #[test]
    fn a_cursor_starts_in_the_middle_of_a_gap() {
        let records = records(&[0, 9], 10);
        assert_eq!(read(&records, &mut Cursor::new(&records, 5, &[])), [9]);
        assert_eq!(read(&records, &mut Cursor::new(&records, 10, &[])), [0; 0]);
    }
}
