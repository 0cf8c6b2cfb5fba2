//! What goes wrong.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

/// The requests that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Receive,
    Delete,
    Change,
    Attributes,
    Send,
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is neither done nor answered.
    Hang,
    /// It is done, and never answered.
    Lost,
    /// It is done, and the answer is no JSON.
    Malformed,
    /// It is not done; this status, with a page of HTML.
    Status(u16),
    /// It is not done; an error with this code (`QueueDoesNotExist`, `OverLimit`, …).
    Code(&'static str),
    /// Receives: nothing, at once.
    Empty,
    /// Batches: the first so many entries are not done, and `Failed` with this code by nobody's but
    /// the service's fault.
    Entries(usize, &'static str),
}

/// What is to go wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: HashMap<Kind, VecDeque<Fault>>,
    always: HashMap<Kind, Fault>,
    requests: HashMap<Kind, usize>,
}

impl Faults {
    /// Lets the next request of a kind that has no fault yet fail.
    pub(crate) fn next(&self, kind: Kind, fault: Fault) {
        let mut state = self.0.lock().unwrap();
        state.next.entry(kind).or_default().push_back(fault);
    }

    /// Lets every request of a kind fail for which there is no [`next`](Self::next).
    pub(crate) fn always(&self, kind: Kind, fault: Fault) {
        self.0.lock().unwrap().always.insert(kind, fault);
    }

    /// Lets requests succeed again.
    pub(crate) fn clear(&self) {
        let mut state = self.0.lock().unwrap();
        state.next.clear();
        state.always.clear();
    }

    /// Counts a request, and says what happens to it.
    pub(super) fn of(&self, kind: Kind) -> Option<Fault> {
        let mut state = self.0.lock().unwrap();
        *state.requests.entry(kind).or_default() += 1;
        let next = state.next.get_mut(&kind).and_then(VecDeque::pop_front);
        next.or_else(|| state.always.get(&kind).cloned())
    }

    pub(super) fn requests(&self, kind: Kind) -> usize {
        let state = self.0.lock().unwrap();
        state.requests.get(&kind).copied().unwrap_or_default()
    }
}
