//! What a broker with leases has to offer.
//!
//! A backend makes requests and understands answers; it keeps no time, no count and no message.
//! What all such queues have in common is the poller's, so that it is written and tested once.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Error, ErrorKind, Event, Result};

/// A queue whose messages are leased: what SQS, MNS, RocketMQ 5 or a queue of your own implement to
/// become a [`Source`](crate::Source) through [`Poller`](super::Poller). [The module](super) has
/// one in forty lines.
///
/// Requests only: when to ask, how often, for how much, what to keep on lease and what to try again
/// is the poller's.
///
/// * **Cancellation.** The poller never drops the future of [`receive`](Self::receive): the broker
///   would hand the next message to a request that nobody listens to. The other futures may be
///   dropped when the process ends.
/// * **Time.** Every method ends in bounded time, `receive` not much later than its `wait`: put a
///   timeout on the request.
/// * **Calls overlap**, but never for one message.
/// * **Errors.** `Err` means that nothing is known of any entry. Kinds decide: `Unavailable` is
///   tried again within seconds, `Throttled` ever later, `Unauthorized`, `Config` and others seldom,
///   and all of them mark the queue unhealthy; `Fenced`, for one message, that its lease is over.
#[async_trait]
pub trait QueueBackend: Send + Sync + 'static {
    /// What the broker calls a message that it has handed out. Cheap to clone.
    type Handle: Clone + fmt::Debug + Send + Sync + 'static;

    /// For logs and metrics: the name of the queue.
    fn name(&self) -> &str;

    /// What the broker allows. Constant.
    fn limits(&self) -> Limits;

    /// Receives up to `max` messages, at least one, waiting up to `wait` for the first. An empty
    /// answer is no error; one that comes long before the wait is over is taken for the broker's
    /// way of asking for fewer requests.
    ///
    /// A message from which no event can be made is best left out: it comes again when its lease
    /// ends, or goes where the broker's dead-letter policy sends it.
    ///
    /// # Errors
    /// If nothing was received, as far as is known. The poller pauses before the next receive, for
    /// [`Error::retry_after`](crate::Error::retry_after) at least, or ten minutes if that is less.
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message<Self::Handle>>>;

    /// Deletes messages that are done, at most [`Limits::batch`] of them. One result for each, in
    /// order; one that is missing counts as `Unavailable`.
    ///
    /// # Errors
    /// If nothing is known of any of them; what may pass by itself is tried again.
    async fn delete(&self, handles: &[Self::Handle]) -> Result<Vec<Result<()>>>;

    /// Lets leases end so long from now: extends them, or ends them. At most
    /// [`Limits::batch`] of them, each duration between [`Limits::min_visibility`] and
    /// [`Limits::max_visibility`]. One result for each, in order: the handle that is valid from now
    /// on, which is the old one if the broker does not change it.
    ///
    /// The time counts from when the broker handles the request: `ChangeMessageVisibility` in SQS
    /// and MNS.
    ///
    /// # Errors
    /// If nothing is known of any of them. `Fenced`, for one message, makes the poller forget it.
    async fn change_visibility(
        &self,
        changes: &[(Self::Handle, Duration)],
    ) -> Result<Vec<Result<Self::Handle>>>;

    /// Hands messages out again after so long: they were tried in vain, and the attempt counts. At
    /// most [`Limits::batch`] of them; one result for each, in order.
    ///
    /// For brokers with a back-off of their own. By default a
    /// [change of visibility](Self::change_visibility).
    ///
    /// # Errors
    /// If nothing is known of any of them.
    async fn release(&self, releases: &[(Self::Handle, Duration)]) -> Result<Vec<Result<()>>> {
        let changed = self.change_visibility(releases).await?;
        Ok(changed.into_iter().map(|it| it.map(drop)).collect())
    }

    /// Makes a dead letter of a message, in the broker's own way: afterwards it is done, and needs no
    /// delete. Asked for by [`Poller::dead_letters`](super::Poller::dead_letters) only.
    ///
    /// # Errors
    /// By default, that the broker can't. `Fenced` if the lease is over; after anything else it is
    /// tried again, and the broker may have two letters in the end.
    async fn dead_letter(&self, _handle: &Self::Handle) -> Result<()> {
        let message = "this queue can't make dead letters itself";
        Err(Error::new(
            ErrorKind::Unsupported,
            "make a dead letter",
            message,
        ))
    }

    /// Gives messages back at once that were not tried, or not to the end: at a stop, or because an
    /// earlier one of their group went back. At most [`Limits::batch`] of them; one result for
    /// each, in order. A retry is a [release](Self::release), even one without a delay.
    ///
    /// For brokers that need not count the attempt then. By default the lease ends after
    /// [`Limits::min_visibility`].
    ///
    /// # Errors
    /// If nothing is known of any of them.
    async fn give_back(&self, handles: &[Self::Handle]) -> Result<Vec<Result<()>>> {
        let after = self.limits().min_visibility;
        let changes: Vec<_> = handles.iter().map(|it| (it.clone(), after)).collect();
        let changed = self.change_visibility(&changes).await?;
        Ok(changed.into_iter().map(|it| it.map(drop)).collect())
    }

    /// About how many messages wait in the queue, if the broker can say. Asked every half a minute,
    /// for a metric. After the first `None` it is not asked again.
    ///
    /// # Errors
    /// If it can't be said now; the metric stays as it is.
    async fn depth(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// What a broker allows.
///
/// ```
/// use std::time::Duration;
/// use eventlane::queue::Limits;
///
/// // Those of MNS.
/// let limits = Limits::default()
///     .with_batches(16, 16)
///     .with_wait(Duration::from_secs(30))
///     .with_visibility(Duration::from_secs(1), Duration::from_secs(12 * 3600));
/// assert_eq!(limits.lease, Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Messages that one receive may ask for. Default 10.
    pub receive: usize,
    /// Messages that one delete or change of visibility may name. Default 10.
    pub batch: usize,
    /// The longest wait of a receive. Default 20 s.
    pub wait: Duration,
    /// How long a lease lasts from the receive on, for messages that don't say it themselves
    /// ([`Message::lease`]). Default 30 s. SQS and MNS call it `VisibilityTimeout`.
    ///
    /// It has to be what the broker goes by, which counts from when it sent the answer, while the
    /// poller counts from when the answer is here, less half a second (a tenth of a lease shorter
    /// than 5 s). What is said to last longer than it does is delivered twice; what is said to last
    /// shorter costs extensions, of which there is one every half of it.
    pub lease: Duration,
    /// The shortest visibility that can be set: what is given back at once comes back after so
    /// long. Default zero.
    pub min_visibility: Duration,
    /// The longest visibility that can be set; a longer release is shortened to it. Default 12 h.
    pub max_visibility: Duration,
}

impl Default for Limits {
    /// Those of SQS.
    fn default() -> Self {
        Self {
            receive: 10,
            batch: 10,
            wait: Duration::from_secs(20),
            lease: Duration::from_secs(30),
            min_visibility: Duration::ZERO,
            max_visibility: Duration::from_secs(12 * 3600),
        }
    }
}

impl Limits {
    /// Sets the messages of a receive, and of the other calls.
    #[must_use]
    pub fn with_batches(mut self, receive: usize, batch: usize) -> Self {
        (self.receive, self.batch) = (receive, batch);
        self
    }

    /// Sets the longest wait.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets how long a lease lasts.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets the shortest and the longest visibility.
    #[must_use]
    pub fn with_visibility(mut self, min: Duration, max: Duration) -> Self {
        (self.min_visibility, self.max_visibility) = (min, max);
        self
    }
}

/// A message that was received.
///
/// The poller keeps handle and id to itself; event, key, attempt and invalid are what the delivery
/// has.
///
/// ```
/// use eventlane::{Event, queue::Message};
///
/// let event = Event::builder().id("7").source("/jobs").ty("job").build().unwrap();
/// let message = Message::new("handle of this attempt", "7", event)
///     .with_group("customer-9") // in order, and held back by the broker as a whole
///     .with_attempt(2);
/// assert_eq!(message.key, message.binding);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Message<H> {
    /// What the broker calls it.
    pub handle: H,
    /// The same whenever this message is handed out, and no other's: its id. By it a message that
    /// comes again while it is on lease here is recognised, and not delivered twice.
    pub id: Box<str>,
    /// What is delivered.
    pub event: Event,
    /// The ordering key: deliveries with equal keys form a lane under
    /// [`Ordering::Key`](crate::Ordering::Key).
    pub key: Option<Bytes>,
    /// What the broker binds the message to: of messages with equal bindings it hands out none
    /// while an earlier one is on lease (an SQS FIFO message group, a RocketMQ FIFO queue). They
    /// are deleted at once, without waiting for company, and given back together.
    pub binding: Option<Bytes>,
    /// How often it has been handed out, this time included; 1 if the broker doesn't say.
    pub attempt: u32,
    /// How long its lease lasts, if not [`Limits::lease`].
    pub lease: Option<Duration>,
    /// Why it is not the CloudEvent that it claims to be, if it has to be rejected:
    /// [`Delivery::invalid`](crate::source::Delivery::invalid).
    pub invalid: Option<Box<str>>,
}

impl<H> Message<H> {
    /// A first attempt without key or binding.
    pub fn new(handle: H, id: impl Into<Box<str>>, event: Event) -> Self {
        Self {
            handle,
            id: id.into(),
            event,
            key: None,
            binding: None,
            attempt: 1,
            lease: None,
            invalid: None,
        }
    }

    /// The same with an ordering key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same as part of a message group: bound to it, and in its order.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<Bytes>) -> Self {
        let group = group.into();
        (self.key, self.binding) = (Some(group.clone()), Some(group));
        self
    }

    /// The same as a later attempt.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }
}
