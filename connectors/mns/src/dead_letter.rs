//! Dead letters in another queue.

use std::{borrow::Cow, fmt};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use eventlane::{
    Result,
    event::json,
    sink::{DeadLetter, DeadLetterSink},
};

use crate::{
    client::{MnsClient, OutgoingMessage},
    config::{BodyEncoding, MnsConfig},
};

/// Keeps dead letters in an MNS queue: each a structured CloudEvent in JSON, with the marks of
/// [`DeadLetter::to_event`].
///
/// * A letter is kept when the service has confirmed it. One that it refuses, because it is larger
///   than the queue's `MaximumMessageSize` (64 KiB at most), or that is not answered in time, is
///   not: the engine holds the message and tries again.
/// * Bodies are base64 if the configuration's [`body_encoding`](MnsConfig::body_encoding) says so,
///   as it does by default; [`MnsQueue`](crate::MnsQueue) with the same setting reads them back as
///   the events that they are.
/// * An event's `partitionkey` becomes the message group.
///
/// ```no_run
/// use eventlane::{Pipeline, queue::Poller, sink::FunctionSink};
/// use eventlane_mns::{MnsConfig, MnsDeadLetter, MnsQueue};
///
/// # async fn example() -> eventlane::Result<()> {
/// let endpoint = "https://123456789012.mns.cn-hangzhou.aliyuncs.com";
/// let letters = MnsDeadLetter::new(&MnsConfig::new(endpoint, "orders-dead"))?;
/// let source = Poller::new(MnsQueue::connect(MnsConfig::new(endpoint, "orders")).await?);
/// let sink = FunctionSink::new(|event: eventlane::Event| async move { println!("{event:?}") });
/// let pipeline = Pipeline::new(source, sink).with_dead_letter(letters);
/// # Ok(())
/// # }
/// ```
pub struct MnsDeadLetter {
    client: MnsClient,
    base64: bool,
}

impl MnsDeadLetter {
    /// Letters to the queue of a configuration.
    ///
    /// # Errors
    /// As [`MnsClient::new`]. Whether the queue exists shows with the first letter.
    pub fn new(config: &MnsConfig) -> Result<Self> {
        Ok(Self {
            client: MnsClient::new(config)?,
            base64: config.body_encoding == BodyEncoding::Base64,
        })
    }

    async fn send(&self, letter: &DeadLetter) -> Result<()> {
        let event = letter.to_event();
        let mut document = Vec::new();
        json::write(&event, &mut document);
        let body = match self.base64 {
            true => BASE64_STANDARD.encode(&document),
            false => String::from_utf8_lossy(&document).into_owned(),
        };
        let mut message = OutgoingMessage::new(body);
        if let Some(key) = event.extension("partitionkey") {
            message = message.with_group(key.as_str().into_owned());
        }
        self.client.send(&message).await.map(drop)
    }
}

#[async_trait]
impl DeadLetterSink for MnsDeadLetter {
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>> {
        let mut kept = Vec::with_capacity(letters.len());
        for letter in letters {
            kept.push(self.send(letter).await);
        }
        kept
    }

    fn destination(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.client.queue())
    }
}

impl fmt::Debug for MnsDeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MnsDeadLetter")
            .field("queue", &self.client.queue())
            .finish_non_exhaustive()
    }
}
