//! What is done of a partition, and below which position everything is.

use std::{collections::VecDeque, ops::Range};

/// Deliveries are numbered densely (*ordinals*), so that a gap between two offsets costs one entry,
/// however wide it is; a bit for each ordinal says whether it is done.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    /// One bit for each ordinal from `first` on.
    done: VecDeque<u64>,
    /// The ordinal of the first bit; a multiple of 64.
    first: u64,
    /// The first ordinal that is not done.
    low: u64,
    /// The ordinal of the next delivery.
    next: u64,
    /// Everything below was delivered or never will be; `None` until something is known.
    next_seq: Option<u64>,
    /// Where runs of consecutive offsets begin, as (ordinal, offset). The front one covers `low`.
    runs: VecDeque<(u64, u64)>,
}

const BITS: u64 = u64::BITS as u64;

impl Watermark {
    /// Numbers a delivery. `None` if its offset is not above all earlier ones.
    pub(crate) fn deliver(&mut self, seq: u64) -> Option<u64> {
        if self.next_seq.is_some_and(|next| seq < next) {
            return None;
        }
        // Not `seq == next_seq`: what was skipped may lie between this delivery and the one before.
        let goes_on = |&(start, first): &(u64, u64)| first + (self.next - start) == seq;
        if !self.runs.back().is_some_and(goes_on) {
            self.runs.push_back((self.next, seq));
        }
        let ordinal = self.next;
        if (ordinal - self.first) / BITS == self.done.len() as u64 {
            self.done.push_back(0);
        }
        self.next += 1;
        self.next_seq = Some(seq + 1);
        Some(ordinal)
    }

    /// Nothing below `next` will be delivered any more.
    pub(crate) fn advance(&mut self, next: u64) {
        if self.next_seq.is_none_or(|known| known < next) {
            self.next_seq = Some(next);
        }
    }

    /// Marks a delivery as done. Idempotent; unknown ordinals are ignored.
    pub(crate) fn complete(&mut self, ordinal: u64) {
        if ordinal < self.low || ordinal >= self.next {
            return;
        }
        let bit = ordinal - self.first;
        self.done[(bit / BITS) as usize] |= 1 << (bit % BITS);
        if ordinal == self.low {
            self.rise();
        }
    }

    fn rise(&mut self) {
        while let Some(word) = self.done.front() {
            let at = self.low - self.first;
            let ones = u64::from((word >> at).trailing_ones());
            self.low += ones;
            if at + ones < BITS {
                break;
            }
            self.done.pop_front();
            self.first += BITS;
        }
        while self
            .runs
            .get(1)
            .is_some_and(|&(ordinal, _)| ordinal <= self.low)
        {
            self.runs.pop_front();
        }
    }

    /// Everything below is done. `None` until anything is known of the partition.
    pub(crate) fn position(&self) -> Option<u64> {
        if self.low == self.next {
            self.next_seq
        } else {
            Some(self.seq(self.low))
        }
    }

    /// How many deliveries lie below the watermark.
    pub(crate) fn low(&self) -> u64 {
        self.low
    }

    /// How many deliveries lie between the watermark and the newest one.
    pub(crate) fn open(&self) -> u64 {
        self.next - self.low
    }

    /// What is done above the watermark, lowest first, at most `limit` ranges.
    pub(crate) fn beyond(&self, limit: usize) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        let mut at = self.low;
        while ranges.len() < limit {
            let Some(start) = self.find(at, true) else {
                break;
            };
            let end = self.find(start, false).unwrap_or(self.next);
            // Offsets skipped behind a done delivery are done as well.
            let until = if end == self.next {
                self.next_seq.unwrap_or(0)
            } else {
                self.seq(end)
            };
            ranges.push(self.seq(start)..until);
            at = end;
        }
        ranges
    }

    /// The first ordinal from `from` on whose bit is `done`.
    fn find(&self, from: u64, done: bool) -> Option<u64> {
        let mut at = from - self.first;
        while at < self.next - self.first {
            let word = self.done[(at / BITS) as usize];
            let word = (if done { word } else { !word }) >> (at % BITS);
            if word != 0 {
                let found = self.first + at + u64::from(word.trailing_zeros());
                return (found < self.next).then_some(found);
            }
            at = (at / BITS + 1) * BITS;
        }
        None
    }

    fn seq(&self, ordinal: u64) -> u64 {
        let run = self
            .runs
            .partition_point(|&(start, _)| start <= ordinal)
            .saturating_sub(1);
        self.runs
            .get(run)
            .map_or(0, |&(start, seq)| seq + (ordinal - start))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rises_over_what_is_done_and_no_further() {
        let mut mark = Watermark::default();
        assert_eq!(mark.position(), None);
        let ordinals: Vec<_> = (100..300).map(|seq| mark.deliver(seq).unwrap()).collect();
        assert_eq!(mark.position(), Some(100));
        for &ordinal in ordinals[1..].iter().rev() {
            mark.complete(ordinal);
        }
        assert_eq!((mark.position(), mark.open()), (Some(100), 200));
        assert_eq!(mark.beyond(8), vec![101..300; 1]);
        mark.complete(ordinals[0]);
        assert_eq!((mark.position(), mark.open()), (Some(300), 0));
    }

    #[test]
    fn a_gap_costs_one_entry_however_wide() {
        let mut mark = Watermark::default();
        let first = mark.deliver(0).unwrap();
        let second = mark.deliver(1 << 60).unwrap();
        mark.complete(second);
        assert_eq!(mark.beyond(8), vec![1 << 60..(1 << 60) + 1; 1]);
        mark.complete(first);
        assert_eq!(mark.position(), Some((1 << 60) + 1));
        assert!(mark.done.len() <= 1 && mark.runs.len() <= 1);
    }

    #[test]
    fn what_never_comes_counts_as_done() {
        let mut mark = Watermark::default();
        let only = mark.deliver(5).unwrap();
        mark.advance(9);
        assert_eq!(mark.position(), Some(5));
        mark.complete(only);
        assert_eq!(mark.position(), Some(9));
        mark.advance(12);
        assert_eq!(mark.position(), Some(12));
        assert_eq!(mark.deliver(11), None);
    }

    /// The end of a partition behind a transaction marker: the next record comes exactly there.
    #[test]
    fn a_delivery_right_behind_what_was_skipped_keeps_its_offset() {
        let mut mark = Watermark::default();
        let held = mark.deliver(5).unwrap();
        mark.advance(9);
        let ordinals: Vec<_> = (9..=20).map(|seq| mark.deliver(seq).unwrap()).collect();
        mark.complete(ordinals[3]);
        assert_eq!(
            (mark.position(), mark.beyond(8)),
            (Some(5), vec![12..13; 1])
        );
        mark.complete(held);
        assert_eq!(
            (mark.position(), mark.beyond(8)),
            (Some(9), vec![12..13; 1])
        );
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_model(steps in prop::collection::vec((0u64..4, 0usize..40, 0u64..8), 1..400)) {
            let mut mark = Watermark::default();
            let (mut seq, mut open, mut done) = (0, Vec::new(), BTreeSet::new());
            for (gap, pick, skip) in steps {
                if skip > 5 {
                    seq += skip - 6;
                    mark.advance(seq);
                }
                if pick % 2 == 0 || open.is_empty() {
                    seq += gap;
                    open.push((mark.deliver(seq).unwrap(), seq));
                    seq += 1;
                } else {
                    let (ordinal, at) = open.swap_remove(pick % open.len());
                    mark.complete(ordinal);
                    done.insert(at);
                }
                let low = open.iter().map(|&(_, seq)| seq).min();
                prop_assert_eq!(mark.position(), Some(low.unwrap_or(seq)));
                let beyond = mark.beyond(usize::MAX);
                for pair in beyond.windows(2) {
                    prop_assert!(pair[0].end < pair[1].start);
                }
                for &(_, open) in &open {
                    prop_assert!(!beyond.iter().any(|range| range.contains(&open)));
                }
                if let Some(low) = low {
                    for done in done.range(low..) {
                        prop_assert!(beyond.iter().any(|range| range.contains(done)));
                    }
                }
            }
        }
    }
}
