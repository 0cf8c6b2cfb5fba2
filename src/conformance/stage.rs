//! What a case works with: a topic of its own, and messages that are recognised when they come.
//!
//! A message is its number: the body is `{"n":7}`, so it survives whatever a connector does to
//! headers, keys and ids.

use std::{fmt, ops::Range};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::timeout;

use super::{Harness, Message, Order, Timing, reader::Reader};
use crate::{
    Error, Event, Result,
    source::{Capability, Source},
};

/// What went wrong in a case.
#[derive(Debug)]
pub(super) struct Violation(String);

pub(super) type Verdict<T = ()> = std::result::Result<T, Violation>;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Violation {
    fn from(message: String) -> Self {
        Self(message)
    }
}

impl From<&str> for Violation {
    fn from(message: &str) -> Self {
        Self(message.to_owned())
    }
}

impl From<Error> for Violation {
    fn from(error: Error) -> Self {
        Self(format!("unexpected error: {error}"))
    }
}

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+).into());
        }
    };
}
pub(super) use ensure;

/// What a harness says of its sources.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) capability: Capability,
    pub(super) order: Order,
    pub(super) hands_over: bool,
    pub(super) keeps_keys: bool,
    pub(super) timing: Timing,
}

impl Traits {
    pub(super) fn of(harness: &impl Harness) -> Self {
        Self {
            capability: harness.capability(),
            order: harness.order(),
            hands_over: harness.hands_over(),
            keeps_keys: harness.keeps_keys(),
            timing: harness.timing(),
        }
    }
}

/// A harness and one topic of it, without their types, so that the cases are compiled once.
pub(super) struct Stage<'h> {
    topic: Box<dyn Topic + 'h>,
    pub(super) traits: Traits,
}

#[async_trait]
trait Topic: Send + Sync {
    async fn produce(&self, messages: &[Message]) -> Result<()>;
    async fn open(&self) -> Result<Box<dyn Source>>;
    async fn rebalance(&self) -> Result<()>;
    fn body(&self, event: &Event) -> Option<Bytes>;
}

struct Bound<'h, H: Harness> {
    harness: &'h H,
    topic: H::Topic,
}

#[async_trait]
impl<H: Harness> Topic for Bound<'_, H> {
    async fn produce(&self, messages: &[Message]) -> Result<()> {
        self.harness.produce(&self.topic, messages).await
    }

    async fn open(&self) -> Result<Box<dyn Source>> {
        self.harness.open(&self.topic).await
    }

    async fn rebalance(&self) -> Result<()> {
        self.harness.rebalance(&self.topic).await
    }

    fn body(&self, event: &Event) -> Option<Bytes> {
        self.harness.body(event)
    }
}

impl<'h> Stage<'h> {
    /// A fresh topic for one case.
    pub(super) async fn set_up<H: Harness>(harness: &'h H) -> Verdict<Self> {
        let topic = harness.create().await?;
        Ok(Self {
            topic: Box::new(Bound { harness, topic }),
            traits: Traits::of(harness),
        })
    }

    /// Produces messages to the first partition.
    pub(super) async fn produce(&self, numbers: Range<u32>) -> Verdict {
        self.produce_as(numbers, |_| 0, unique_key).await
    }

    /// Produces messages to two partitions, in turn.
    pub(super) async fn produce_to_both(&self, numbers: Range<u32>) -> Verdict {
        self.produce_as(numbers, |number| number % 2, unique_key)
            .await
    }

    /// Produces messages with so many different keys, each key in one of two partitions.
    pub(super) async fn produce_with_keys(&self, numbers: Range<u32>, keys: u32) -> Verdict {
        let partition = |number: u32| number % keys % 2;
        self.produce_as(numbers, partition, |number| key_of(number, keys))
            .await
    }

    async fn produce_as(
        &self,
        numbers: Range<u32>,
        partition: impl Fn(u32) -> u32,
        key: impl Fn(u32) -> String,
    ) -> Verdict {
        let message = |number| Message {
            key: key(number),
            body: body_of(number),
            partition: partition(number),
        };
        let messages: Vec<_> = numbers.map(message).collect();
        Ok(self.topic.produce(&messages).await?)
    }

    /// Opens a source, within the harness's patience, and checks what it says of itself.
    pub(super) async fn open(&self) -> Verdict<Reader<'_>> {
        let source = timeout(self.traits.timing.patience, self.topic.open()).await;
        let source = source.map_err(|_| "opening a source takes longer than the patience")??;
        let (said, declared) = (source.capability(), self.traits.capability);
        ensure!(
            said == declared,
            "the source says {said:?}, the harness {declared:?}"
        );
        Ok(Reader::new(self, source))
    }

    pub(super) async fn rebalance(&self) -> Verdict {
        Ok(self.topic.rebalance().await?)
    }

    /// Which message an event was.
    pub(super) fn number(&self, event: &Event) -> Verdict<u32> {
        let body = self.topic.body(event).ok_or("an event came without data")?;
        let text = std::str::from_utf8(&body).unwrap_or_default();
        let number = text
            .strip_prefix(r#"{"n":"#)
            .and_then(|rest| rest.strip_suffix('}'));
        number
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| {
                format!("an event came with data that was not produced: {body:?}").into()
            })
    }
}

fn body_of(number: u32) -> String {
    format!(r#"{{"n":{number}}}"#)
}

fn unique_key(number: u32) -> String {
    format!("k{number}")
}

/// The key of a message that [`Stage::produce_with_keys`] made.
pub(super) fn key_of(number: u32, keys: u32) -> String {
    unique_key(number % keys)
}
