//! What goes wrong at the endpoint.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    time::Duration,
};

/// What an endpoint does wrong. By default nothing: it answers 204 at once.
///
/// A request is dealt with by the first of these that has something to say: `next`, `answer`,
/// `keys`, `fail_first`.
#[derive(Clone, Debug)]
pub struct Faults {
    /// How long a request takes: drawn evenly from this range.
    pub delay: Range<Duration>,
    /// The part of the events (0 to 1) whose first attempt is answered 503. Which they are depends
    /// on key and number alone.
    pub fail_first: f64,
    /// What requests with an event of such a key get.
    pub keys: HashMap<String, Answer>,
    /// What everybody gets, unless it is [`Answer::Accept`].
    pub answer: Answer,
    /// What the next requests get, one each.
    pub next: VecDeque<Answer>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO..Duration::ZERO,
            fail_first: 0.0,
            keys: HashMap::new(),
            answer: Answer::Accept,
            next: VecDeque::new(),
        }
    }
}

/// What a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 204.
    Accept,
    /// 200, and the event itself as a reply in binary mode, with `re:` before its id. Only for
    /// requests in binary mode.
    Reply,
    /// This status, without a body.
    Status(u16),
    /// This status, with a `Retry-After`.
    RetryAfter(u16, String),
    /// 204, after so long.
    Slow(Duration),
    /// No answer, ever: the request is read, and the connection stays open.
    Stall,
    /// The connection is reset.
    Reset,
}
