//! What an endpoint has seen.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// What an endpoint has seen so far. An event counts as *taken* when its request was answered with
/// 2xx.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests.
    pub requests: u64,
    /// Events in them, each attempt of each.
    pub attempts: u64,
    /// Different events taken.
    pub distinct: u64,
    /// Events taken again.
    pub duplicates: u64,
    /// Requests by the path of their URL, which tells senders apart.
    pub paths: BTreeMap<String, u64>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Events taken for the first time after a later one of their key. Always a defect.
    pub overtaken: u64,
    /// Requests that came while another with the same key was being dealt with. Always a defect,
    /// unless the client had given that one up.
    pub concurrent: u64,
    /// Requests that are no CloudEvents, or whose payload has no key and number. Answered with 400.
    pub invalid: u64,
    /// The most often that the events of a key have started again from an earlier one: no more than
    /// there were restarts and rebalances, or the order of a replay is wrong.
    pub rewinds: u64,
    /// The most requests at a time.
    pub peak: u64,
    /// The first few defects in words.
    pub defects: Vec<String>,
}

impl Report {
    /// Panics unless each key's events have come in order, one at a time, and all were understood;
    /// and unless no key started again more than `rewinds` times.
    pub fn assert_in_order(&self, rewinds: u64) {
        assert_eq!(
            (self.overtaken, self.concurrent, self.invalid),
            (0, 0, 0),
            "{self:#?}"
        );
        assert!(self.rewinds <= rewinds, "{self:#?}");
    }

    /// Panics unless all of `total` events were taken, each key's in order and one at a time, and
    /// none twice.
    pub fn assert_exactly(&self, total: u64) {
        self.assert_in_order(0);
        assert_eq!((self.distinct, self.duplicates), (total, 0), "{self:#?}");
    }

    /// Answers with this status.
    pub fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// Requests to this path.
    pub fn path(&self, path: &str) -> u64 {
        self.paths.get(path).copied().unwrap_or(0)
    }

    pub(super) fn defect(&mut self, text: impl FnOnce() -> String) {
        if self.defects.len() < 20 {
            self.defects.push(text());
        }
    }
}

/// An event of a request, when records are kept.
#[derive(Clone, Debug)]
pub struct Record {
    /// When the request came.
    pub at: Instant,
    /// The event's key.
    pub key: String,
    /// Its number within the key.
    pub seq: u64,
    /// What it was answered; `None` if it was not.
    pub status: Option<u16>,
    /// Its attributes, as their canonical strings.
    pub attributes: BTreeMap<String, String>,
}
