use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Event, Result,
    source::{Capability, Settling, Source},
};

/// What the suite needs of a connector's tests: a broker to talk to, past the connector.
///
/// Only three methods do something; the others say what to expect. Every case asks for a topic of
/// its own, so that cases can run side by side against one broker.
#[async_trait]
pub trait Harness: Send + Sync {
    /// What messages are produced to and a source reads from: a topic, a queue, a directory.
    /// Dropped at the end of a case.
    type Topic: Send + Sync;

    /// What the sources answer to [`Source::capability`]. Decides which cases apply.
    fn capability(&self) -> Capability;

    /// What stays in order. By default [`Order::Partition`] for a log, and nothing for a queue.
    fn order(&self) -> Order {
        match self.capability().settling {
            Settling::Cumulative => Order::Partition,
            Settling::Individual => Order::None,
        }
    }

    /// How slow it all is.
    fn timing(&self) -> Timing {
        Timing::default()
    }

    /// Whether a second source of the same group takes partitions over from the first: at once, or
    /// when [`rebalance`](Self::rebalance) is called. The topic then needs at least two partitions.
    fn hands_over(&self) -> bool {
        false
    }

    /// Whether [`Message::key`] becomes [`Delivery::key`](crate::source::Delivery::key).
    fn keeps_keys(&self) -> bool {
        true
    }

    /// A fresh topic without messages, which no other case uses.
    async fn create(&self) -> Result<Self::Topic>;

    /// Puts messages into a topic, in this order, and returns when the broker has them.
    async fn produce(&self, topic: &Self::Topic, messages: &[Message]) -> Result<()>;

    /// Opens a source on a topic, always of the same group, which begins with the topic's first
    /// message. While others are open, it shares the topic with them.
    async fn open(&self, topic: &Self::Topic) -> Result<Box<dyn Source>>;

    /// Called when a second source has been opened that shall take something over from the first,
    /// if brokers of this kind don't see to that themselves.
    async fn rebalance(&self, _topic: &Self::Topic) -> Result<()> {
        Ok(())
    }

    /// [`Message::body`], taken out of the event that it became. By default the event's data.
    fn body(&self, event: &Event) -> Option<Bytes> {
        event.data().map(|data| data.as_bytes().clone())
    }
}

/// What is to be produced.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Message {
    /// The ordering key: lower-case letters and digits.
    pub key: String,
    /// A short JSON object.
    pub body: String,
    /// A hint, 0 or 1: equal hints belong into the same partition, different ones into different
    /// partitions if there are several.
    pub partition: u32,
}

/// What stays in order between producing and delivering, as long as nothing is redelivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    None,
    /// Messages with equal keys.
    Key,
    /// Messages of one partition.
    Partition,
}

/// How slow a broker is. The suite never waits longer than it must, so what must come may be given
/// plenty of time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Timing {
    /// How long anything may take that has to come: the first assignment, the next message, a
    /// confirmation. Default 15 s.
    pub patience: Duration,
    /// How much longer it takes until the messages of a source that vanished come again, apart from
    /// leases: a session timeout. Default none.
    pub recovery: Duration,
    /// How long the suite listens before it believes that nothing comes. Default 300 ms.
    pub quiet: Duration,
    /// The delay with which messages are released: not less than the broker can count. Default 1 s.
    pub release: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(15),
            recovery: Duration::ZERO,
            quiet: Duration::from_millis(300),
            release: Duration::from_secs(1),
        }
    }
}

impl Timing {
    /// Sets [`patience`](Self::patience).
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets [`recovery`](Self::recovery).
    #[must_use]
    pub fn with_recovery(mut self, recovery: Duration) -> Self {
        self.recovery = recovery;
        self
    }

    /// Sets [`quiet`](Self::quiet).
    #[must_use]
    pub fn with_quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// Sets [`release`](Self::release).
    #[must_use]
    pub fn with_release(mut self, release: Duration) -> Self {
        self.release = release;
        self
    }
}
