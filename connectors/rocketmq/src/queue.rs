//! The topics of a group, as the poller sees them.
//!
//! All topics of a group are one queue to the poller. A receive asks one broker for one topic, so
//! it takes as many receives at a time to wait for all: [`RocketMqQueue::options`].

use std::time::Duration;

use async_trait::async_trait;
use eventlane::{
    Result,
    queue::{Limits, Message, Poller, PollerOptions, QueueBackend},
};
use futures_util::future::join_all;

use crate::{
    client::{Consumer, LARGEST_BATCH, ReceiptHandle, ReceivedMessage},
    config::{LEASES, Retries, RocketMqConfig},
    convert::Converter,
};

/// What a consumer group has to get of its topics. With [`Poller`] around it, it is a source.
///
/// * **Order.** A message's lane is its message group. Of a FIFO group, which the server tells, what
///   the broker binds is a whole queue: its messages are given back together.
/// * **Cancellation.** A receive whose future is dropped keeps the next messages from everybody for
///   some seconds; the poller never drops one.
/// * **Ownership.** What was received and not acknowledged comes again when its lease has ended,
///   2 to 3 s later than that in groups that are not FIFO.
/// * **Errors.** What looks fatal while a broker restarts is so only for [`connect`](Self::connect);
///   afterwards it is `Unavailable`.
///
/// ```
/// use eventlane_rocketmq::RocketMqConfig;
///
/// let config = RocketMqConfig::new("localhost:8081", "billing").with_topic("orders");
/// assert!(config.validate().is_ok()); // then: RocketMqQueue::connect(config).await?
/// ```
#[derive(Debug)]
pub struct RocketMqQueue {
    name: String,
    consumer: Consumer,
    converter: Converter,
    limits: Limits,
    places: usize,
    retries: Retries,
}

impl RocketMqQueue {
    /// Joins the group. Consumes nothing, creates nothing.
    ///
    /// # Errors
    /// As [`Consumer::connect`].
    pub async fn connect(config: RocketMqConfig) -> Result<Self> {
        let consumer = Consumer::connect(&config).await?;
        let places = consumer.places().await?;
        let topics: Vec<_> = config.topics.iter().map(|it| it.topic.as_str()).collect();
        let settings = consumer.settings();
        tracing::debug!(
            group = config.group,
            ?topics,
            ?settings,
            "connected to RocketMQ"
        );
        Ok(Self {
            name: topics.join(","),
            converter: Converter::new(&config),
            limits: Limits::default()
                .with_batches(LARGEST_BATCH, LARGEST_BATCH)
                .with_wait(config.wait)
                .with_lease(config.lease)
                .with_visibility(Duration::ZERO, *LEASES.end()),
            consumer,
            places,
            retries: config.retries,
        })
    }

    /// A source of these messages, with the [`options`](Self::options) that it needs.
    pub fn into_source(self) -> Poller<Self> {
        let options = self.options();
        Poller::with_options(self, options)
    }

    /// Options of a poller that waits for every topic of every broker at the same time, since a
    /// receive waits for one: with fewer receivers, they take turns.
    pub fn options(&self) -> PollerOptions {
        const MOST: usize = 16;
        let least = self.places.max(1);
        PollerOptions::default().with_receivers(least..=MOST.max(least))
    }

    /// The client that it uses: to make a dead letter, say.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// `None` of a message from which no event can be made.
    fn message(&self, received: ReceivedMessage, fifo: bool) -> Option<Message<ReceiptHandle>> {
        let converted = match self.converter.convert(&received) {
            Ok(converted) => converted,
            Err(error) => {
                let (topic, id) = (&received.topic, &received.id);
                tracing::error!(topic, id, %error, "no event can be made of a message; it stays");
                return None;
            }
        };
        let ReceivedMessage {
            topic,
            broker,
            queue_id,
            ..
        } = &received;
        let binding = fifo.then(|| format!("{topic}/{broker}/{queue_id}"));
        let mut message = Message::new(received.handle, received.id, converted.event);
        message.binding = binding.map(Into::into);
        message.key = received.message_group.map(Into::into);
        message.attempt = received.attempt;
        message.invalid = converted.invalid;
        Some(message)
    }
}

#[async_trait]
impl QueueBackend for RocketMqQueue {
    type Handle = ReceiptHandle;

    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message<ReceiptHandle>>> {
        let received = self
            .consumer
            .receive(max, wait.min(self.limits.wait))
            .await?;
        let fifo = self.consumer.settings().fifo;
        let messages = received.into_iter().filter_map(|it| self.message(it, fifo));
        Ok(messages.collect())
    }

    async fn delete(&self, handles: &[ReceiptHandle]) -> Result<Vec<Result<()>>> {
        self.consumer.ack(handles).await
    }

    async fn change_visibility(
        &self,
        changes: &[(ReceiptHandle, Duration)],
    ) -> Result<Vec<Result<ReceiptHandle>>> {
        // There is no form for several.
        let each = changes
            .iter()
            .map(|(handle, visibility)| self.consumer.change_invisible(handle, *visibility, false));
        Ok(join_all(each).await)
    }

    /// With [`Retries::Broker`], after the time that the server says for this attempt.
    async fn release(&self, releases: &[(ReceiptHandle, Duration)]) -> Result<Vec<Result<()>>> {
        let settings = self.consumer.settings();
        let follows = self.retries == Retries::Broker && !settings.fifo;
        let each = releases.iter().map(async |(handle, after)| {
            let said = settings.backoff_of(handle.attempt()).filter(|_| follows);
            let after = said.unwrap_or(*after);
            let released = self.consumer.change_invisible(handle, after, false);
            released.await.map(drop)
        });
        Ok(join_all(each).await)
    }

    async fn dead_letter(&self, handle: &ReceiptHandle) -> Result<()> {
        self.consumer.dead_letter(handle).await
    }

    /// The attempt does not count, where the server knows how not to.
    async fn give_back(&self, handles: &[ReceiptHandle]) -> Result<Vec<Result<()>>> {
        let each = handles.iter().map(async |handle| {
            let given_back = self.consumer.change_invisible(handle, Duration::ZERO, true);
            given_back.await.map(drop)
        });
        Ok(join_all(each).await)
    }
}
