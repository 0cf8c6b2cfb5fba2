//! The queue, as the poller sees it.
//!
//! Translates between the client, which knows the API, and the poller, which knows when: messages
//! into events, limits, and the one thing that MNS says in a way of its own, how long a lease
//! lasts.

use std::time::Duration;

use async_trait::async_trait;
use eventlane::{
    Result,
    queue::{Limits, Message, QueueBackend},
};
use futures_util::future::join_all;

use crate::{
    client::{
        LARGEST_BATCH, LONGEST_VISIBILITY, MnsClient, ReceiptHandle, ReceivedMessage,
        SHORTEST_VISIBILITY,
    },
    config::MnsConfig,
    convert::Converter,
};

/// A queue of MNS. With [`Poller`](eventlane::queue::Poller) around it, it is a source.
///
/// The lease of its messages is the queue's `VisibilityTimeout`, which is read when it connects;
/// messages that come with another one, since it was changed meanwhile, have that.
///
/// * **Order.** A message with a `MessageGroupId` has the group as key and binding; others have
///   neither, and no order.
/// * **Cancellation.** Dropping a receive leaves messages on lease that nobody gets; the poller
///   never does.
/// * **Ownership.** Messages stay in the queue until they are deleted. One that no event can be
///   made of is logged and left there.
/// * **Limits** of MNS: 16 messages a request, 30 s of waiting, leases from 1 s to 12 h in whole
///   seconds.
#[derive(Debug)]
pub struct MnsQueue {
    client: MnsClient,
    converter: Converter,
    limits: Limits,
}

impl MnsQueue {
    /// Connects to a queue: reads its attributes, and so finds out whether it exists and lets us
    /// in. Consumes nothing, creates nothing.
    ///
    /// # Errors
    /// One line that says what to do: of kind [`Config`](eventlane::ErrorKind::Config) if the
    /// configuration is wrong or there is no such queue,
    /// [`Unauthorized`](eventlane::ErrorKind::Unauthorized) if the credentials are refused,
    /// [`Unavailable`](eventlane::ErrorKind::Unavailable) if nobody answers.
    pub async fn connect(config: MnsConfig) -> Result<Self> {
        let client = MnsClient::new(&config)?;
        let attributes = client.queue_attributes().await?;
        let lease = attributes.visibility_timeout.unwrap_or(DEFAULT_LEASE);
        let subject = config.subject(&config.base()?);
        tracing::debug!(queue = client.queue(), ?lease, "connected to MNS");
        Ok(Self {
            converter: Converter::new(&config.event, config.body_encoding, &subject),
            limits: Limits::default()
                .with_batches(LARGEST_BATCH, LARGEST_BATCH)
                .with_wait(config.wait)
                .with_lease(lease.clamp(SHORTEST_VISIBILITY, LONGEST_VISIBILITY))
                .with_visibility(SHORTEST_VISIBILITY, LONGEST_VISIBILITY),
            client,
        })
    }

    /// The client that it uses: to send to the queue, say.
    pub fn client(&self) -> &MnsClient {
        &self.client
    }

    /// `None`, after a line in the log, if no event can be made of a message.
    fn message(&self, received: ReceivedMessage) -> Option<Message<ReceiptHandle>> {
        let converted = match self.converter.convert(&received) {
            Ok(converted) => converted,
            Err(error) => {
                let (queue, id) = (self.client.queue(), &received.id);
                tracing::error!(queue, id, %error, "no event can be made of a message; it stays");
                return None;
            }
        };
        let mut message = Message::new(received.handle, received.id, converted.event);
        if let Some(group) = received.group {
            message = message.with_group(group);
        }
        message.attempt = received.dequeue_count.unwrap_or(1).max(1);
        message.lease = received
            .lease
            .and_then(|measured| differing(measured, self.limits.lease));
        message.invalid = converted.invalid;
        Some(message)
    }
}

/// Of queues that don't tell; the default of `VisibilityTimeout` in CreateQueue.
const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// A lease that is shorter than the queue's. A longer one is not believed: it comes from two clocks,
/// of which a gateway in between may have set one.  The server tells the time of its answer in whole seconds, so a
/// measured lease may be up to a second too long; one that is taken for shorter than it is does no
/// harm.
fn differing(measured: Duration, usual: Duration) -> Option<Duration> {
    const SECOND: Duration = Duration::from_secs(1);
    const TRANSIT: Duration = Duration::from_millis(100);
    if measured >= usual.saturating_sub(TRANSIT) {
        return None;
    }
    Some(measured.saturating_sub(SECOND).max(measured / 2))
}

#[async_trait]
impl QueueBackend for MnsQueue {
    type Handle = ReceiptHandle;

    fn name(&self) -> &str {
        self.client.queue()
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message<ReceiptHandle>>> {
        let received = self.client.receive(max, wait.min(self.limits.wait)).await?;
        let messages = received.into_iter().filter_map(|it| self.message(it));
        Ok(messages.collect())
    }

    async fn delete(&self, handles: &[ReceiptHandle]) -> Result<Vec<Result<()>>> {
        self.client.delete(handles).await
    }

    async fn change_visibility(
        &self,
        changes: &[(ReceiptHandle, Duration)],
    ) -> Result<Vec<Result<ReceiptHandle>>> {
        // There is no form for several.
        let each = changes
            .iter()
            .map(|(handle, visibility)| self.client.change_visibility(handle, *visibility));
        Ok(join_all(each).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lease_that_differs_counts() {
        let usual = Duration::from_secs(30);
        for (millis, expected) in [
            (30_000, None),
            (29_950, None),
            (30_999, None),
            (29_000, Some(28_000)),
            (60_500, None),
            (1_500, Some(750)),
            (300, Some(150)),
        ] {
            let lease = differing(Duration::from_millis(millis), usual);
            assert_eq!(lease, expected.map(Duration::from_millis), "{millis}");
        }
    }
}
