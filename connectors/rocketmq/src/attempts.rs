//! Attempts that the server does not count.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// The attempts of messages that were given back here without counting, so that the next one has a
/// higher number all the same.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<String, u32>>);

/// Messages that never come again, here at least, must not fill the memory.
const MOST: usize = 10_000;

impl Attempts {
    /// A message is given back that the server said has been handed out so often.
    pub(crate) fn given_back(&self, id: &str, attempt: u32) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= MOST {
            last.clear();
        }
        last.entry(id.to_owned()).or_insert(attempt);
    }

    /// How often a message has been handed out, of which the server says so.
    pub(crate) fn count(&self, id: &str, attempt: u32) -> u32 {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.get_mut(id) {
            Some(last) => {
                *last = attempt.max(last.saturating_add(1));
                *last
            }
            None => attempt,
        }
    }

    /// A message is done.
    pub(crate) fn forget(&self, id: &str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rise_whether_the_server_counts_or_not() {
        let attempts = Attempts::default();
        assert_eq!(attempts.count("a", 1), 1);
        attempts.given_back("a", 1);
        assert_eq!(attempts.count("a", 1), 2);
        attempts.given_back("a", 1);
        assert_eq!(attempts.count("a", 1), 3);
        // A server that counts says the same, or more.
        attempts.given_back("a", 1);
        assert_eq!(attempts.count("a", 7), 7);
        attempts.forget("a");
        assert_eq!(attempts.count("a", 2), 2);
        for number in 0..2 * MOST {
            attempts.given_back(&number.to_string(), 1);
        }
        assert!(attempts.0.lock().unwrap().len() <= MOST);
    }
}
