//! Two endpoints, one for each of two programs that share a group.

use std::collections::{BTreeMap, HashMap};

use eventlane_testkit::{
    CheckingSink,
    sink::{Faults, Record},
};
use tokio::time::Instant;

pub(crate) struct Pair {
    pub(crate) first: CheckingSink,
    pub(crate) second: CheckingSink,
}

impl Pair {
    pub(crate) fn start(faults: &Faults) -> Self {
        let start = || CheckingSink::recording(faults.clone());
        let (first, second) = (start(), start());
        Self { first, second }
    }

    /// What was delivered, to whichever, in the order of time.
    pub(crate) fn delivered(&self) -> Vec<Record> {
        let records = [self.first.records(), self.second.records()].concat();
        let mut delivered: Vec<_> = records
            .into_iter()
            .filter(|it| it.status == Some(204))
            .collect();
        delivered.sort_by_key(|it| it.at);
        delivered
    }

    /// When each was delivered first.
    pub(crate) fn taken(&self) -> HashMap<(String, u64), Instant> {
        let mut taken = HashMap::new();
        for record in self.delivered() {
            taken.entry((record.key, record.seq)).or_insert(record.at);
        }
        taken
    }

    /// How many different ones were delivered.
    pub(crate) fn distinct(&self) -> u64 {
        self.taken().len() as u64
    }

    /// How many were delivered again.
    pub(crate) fn repeated(&self) -> u64 {
        self.delivered().len() as u64 - self.distinct()
    }

    /// Panics unless a key's events came for the first time in the order of their numbers.
    pub(crate) fn assert_in_order(&self) {
        let mut next: BTreeMap<String, u64> = BTreeMap::new();
        for record in self.delivered() {
            let next = next.entry(record.key.clone()).or_default();
            assert!(record.seq <= *next, "{record:?} came before {next}");
            *next = (*next).max(record.seq + 1);
        }
    }
}
