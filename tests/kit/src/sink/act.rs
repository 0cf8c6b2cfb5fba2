//! What an endpoint does that no server should.

use std::time::Duration;

/// What is done with a request.
#[derive(Clone, Debug)]
pub struct Act {
    /// What it is called in [`HostileSink::played`](super::HostileSink::played).
    pub name: &'static str,
    /// When it is said.
    pub when: When,
    /// What is said.
    pub says: Vec<u8>,
    /// What happens after that.
    pub then: Then,
    /// Whether `says` has the head of an answer with 2xx, whole and well formed: the client must
    /// then take the event for delivered, whatever follows.
    pub confirms: bool,
}

/// When something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// When a connection is accepted.
    Accepted,
    /// When a request has begun, none of which is read any more.
    Begun,
    /// When a request was read and its events were taken.
    Taken,
    /// When a request was read, of which nothing is taken.
    Refused,
}

/// What happens after something was said.
#[derive(Clone, Debug)]
pub enum Then {
    /// The next request is read.
    Next,
    /// Nothing, until the client closes.
    Hang,
    /// This again and again, as fast as the client takes it.
    Flood(Vec<u8>),
    /// This again and again, so often.
    Trickle(Vec<u8>, Duration),
    /// This, so much later; then the end of the connection.
    Later(Vec<u8>, Duration),
    /// The end of the connection.
    Close,
    /// A reset of the connection.
    Reset,
}

impl Act {
    /// A request is taken, and this is said.
    pub fn taken(name: &'static str, says: impl Into<Vec<u8>>, then: Then) -> Self {
        Self {
            name,
            when: When::Taken,
            says: says.into(),
            then,
            confirms: false,
        }
    }

    /// The same at another time.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// The same with an answer that has to count.
    #[must_use]
    pub fn confirming(mut self) -> Self {
        self.confirms = true;
        self
    }
}
