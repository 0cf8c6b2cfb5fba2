//! Sources without a broker: the reference implementation of the [source contract](crate::source),
//! for tests, simulation and documentation.
//!
//! * [`MemoryLog`] is a *log*: partitions, offsets, consumer groups that commit a position.
//!   [`MemoryLog::source`] joins a group. What a real log does only by accident happens here on
//!   demand: partitions are assigned, revoked and lost ([`Member`]), offsets are missing
//!   ([`MemoryLog::skip`]).
//! * [`MemoryQueue`] is a *queue*: each message is leased, and settled by itself.
//! * [`Faults`] makes either fail: polls and settlements that end in an error, slow settlements,
//!   answers that get lost.
//!
//! Everything lives in the process: what was sent stays as long as a handle or a source of the log
//! or queue does. All time is `tokio::time`, so a paused clock moves leases, delays and deadlines.
//!
//! ```
//! use eventlane::{
//!     Event, Result, Source,
//!     memory::MemoryLog,
//!     source::{Action, Demand, Receipt, Settlement, Signal},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let log = MemoryLog::new(1);
//! let event = Event::builder().id("1").source("/example").ty("com.example.greeting").build()?;
//! log.append(0, event, Some("viewer-1"));
//!
//! let mut source = log.source("readers");
//! let demand = Demand { records: 100, bytes: 1 << 20 };
//! let Signal::Assigned(_) = source.poll(demand).await? else { panic!("partitions come first") };
//! let Signal::Deliveries(deliveries) = source.poll(demand).await? else { panic!("then messages") };
//!
//! // Nothing is done until it is settled; a log is settled by position.
//! let last = deliveries.last().map(|delivery| delivery.receipt).expect("one was appended");
//! let below = Receipt { seq: last.seq + 1, ..last };
//! let settlement = Settlement { receipt: below, action: Action::DoneBelow { beyond: vec![] } };
//! let settled = source.settler().settle(vec![settlement]).await?;
//! assert!(settled.failed.is_empty());
//! assert_eq!(log.committed("readers", 0), 1);
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::Event;

mod faults;
mod group;
mod leases;
mod log;
mod log_source;
mod queue;
mod queue_source;
mod records;

#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod queue_tests;

pub use faults::Faults;
pub use log::MemoryLog;
pub use log_source::{Member, MemorySource};
pub use queue::MemoryQueue;
pub use queue_source::MemoryQueueSource;

/// What is appended to a [`MemoryLog`] or sent to a [`MemoryQueue`]. An [`Event`] converts into a
/// record without a key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// Becomes [`Delivery::event`](crate::source::Delivery::event).
    pub event: Event,
    /// Becomes [`Delivery::key`](crate::source::Delivery::key).
    pub key: Option<Bytes>,
    /// Becomes [`Delivery::invalid`](crate::source::Delivery::invalid).
    pub invalid: Option<Box<str>>,
}

impl Record {
    /// A record without a key.
    pub fn new(event: Event) -> Self {
        Self {
            event,
            key: None,
            invalid: None,
        }
    }

    /// The same with an ordering key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same, but as a message that claims to be a CloudEvent and is not.
    #[must_use]
    pub fn with_invalid(mut self, why: impl Into<Box<str>>) -> Self {
        self.invalid = Some(why.into());
        self
    }
}

impl From<Event> for Record {
    fn from(event: Event) -> Self {
        Self::new(event)
    }
}

/// `from` plus a time that may be as long as [`Duration::MAX`]: "never" then is thirty years, as in
/// tokio.
fn later(from: Instant, by: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    from.checked_add(by).unwrap_or_else(|| from + NEVER)
}
