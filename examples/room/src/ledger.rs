//! What has been taken of each viewer, and whether it came in order.

use std::collections::HashMap;

/// Checks order by the sequence number that each viewer's events carry.
#[derive(Debug, Default)]
pub struct Ledger(HashMap<String, Record>);

/// What is known of a viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The last sequence number taken.
    pub last: u64,
    pub violations: u64,
    at_work: u32,
}

/// What an event that was taken means for the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    InOrder,
    /// It had been taken before: delivery is at least once.
    Again,
    /// One before it has not been taken.
    TooEarly,
}

impl Ledger {
    pub fn of(&self, viewer: &str) -> Record {
        self.0.get(viewer).copied().unwrap_or_default()
    }

    /// A request of this viewer begins. False if another one is under way: then nothing says which
    /// comes first.
    pub fn begin(&mut self, viewer: &str) -> bool {
        let record = self.entry(viewer);
        record.at_work += 1;
        let alone = record.at_work == 1;
        record.violations += u64::from(!alone);
        alone
    }

    /// That request ends, whatever its answer.
    pub fn end(&mut self, viewer: &str) {
        let record = self.entry(viewer);
        record.at_work = record.at_work.saturating_sub(1);
    }

    /// An event is taken.
    pub fn take(&mut self, viewer: &str, seq: u64) -> Taken {
        let record = self.entry(viewer);
        if seq <= record.last {
            return Taken::Again;
        }
        let next = record.last + 1;
        record.last = seq;
        if seq > next {
            record.violations += 1;
            return Taken::TooEarly;
        }
        Taken::InOrder
    }

    fn entry(&mut self, viewer: &str) -> &mut Record {
        self.0.entry(viewer.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_viewer_has_an_order_of_its_own() {
        let mut ledger = Ledger::default();
        for (viewer, seq) in [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2)] {
            assert_eq!(ledger.take(viewer, seq), Taken::InOrder);
        }
        assert_eq!(ledger.of("a").last, 3);
        assert_eq!(ledger.of("nobody"), Record::default());
    }

    #[test]
    fn an_event_that_overtakes_is_noticed_and_a_repeated_one_is_not_held_against() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.take("a", 1), Taken::InOrder);
        assert_eq!(ledger.take("a", 3), Taken::TooEarly);
        assert_eq!(ledger.take("a", 2), Taken::Again);
        assert_eq!(ledger.take("a", 4), Taken::InOrder);
        assert_eq!((ledger.of("a").last, ledger.of("a").violations), (4, 1));
        assert_eq!(
            ledger.take("b", 2),
            Taken::TooEarly,
            "the first one counts too"
        );
    }

    #[test]
    fn two_requests_of_one_viewer_at_a_time_are_noticed() {
        let mut ledger = Ledger::default();
        assert!(ledger.begin("a") && ledger.begin("b"));
        assert!(!ledger.begin("a"));
        ledger.end("a");
        ledger.end("a");
        assert!(ledger.begin("a"));
        assert_eq!(ledger.of("a").violations, 1);
    }
}
