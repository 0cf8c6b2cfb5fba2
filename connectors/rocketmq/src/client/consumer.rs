//! The consumer: leases, acknowledgements, dead letters.
//!
//! Receives go to the broker that is polled least; everything that is about one message goes back
//! to the server that it came from, since a proxy in local mode knows its own handles only. Calls
//! about messages need no session, receives do.

use std::{collections::HashMap, sync::Arc, time::Duration};

use eventlane::{Error, ErrorKind, Result};
use futures_util::future::{join_all, try_join_all};
use tokio::time::{Instant, timeout};

use super::{
    Address, LARGEST_BATCH, ReceiptHandle, ReceivedMessage, ServerSettings, core::Core, duration,
    pb, polls::Polls, route::BrokerRoute, transport::Method,
};
use crate::{
    config::{LEASES, RocketMqConfig, Subscription, WAITS},
    error::{self, Failure, code},
};

const SIMPLE_CONSUMER: i32 = 3;
const SHORTEST_HOLD: Duration = Duration::from_secs(5);
const PROBE: Duration = Duration::from_secs(2);

/// A member of a consumer group.
///
/// * **Ownership.** A message that was received is on lease: it comes again, here or elsewhere,
///   when the lease ends, unless it is acknowledged before.
/// * **Cancellation.** Don't drop the future of a receive: for up to 3 s, the server gives what
///   comes next to a request that nobody listens to, and it is away until its lease ends. The other
///   futures may be dropped; whether they had an effect is then unknown.
/// * **Time.** Every call ends in bounded time: within `request_timeout`, a receive within its wait
///   and `request_timeout`.
///
/// Dropped within a runtime, it says goodbye to the servers in the background.
#[derive(Debug)]
pub struct Consumer {
    core: Arc<Core>,
    topics: Vec<Subscription>,
    lease: Duration,
    mend: bool,
    polls: Polls,
}

impl Consumer {
    /// Joins the group: opens a session, finds the topics, and lets the servers check the filters.
    /// Consumes nothing.
    ///
    /// # Errors
    /// One line that says what to do: of kind [`Config`](ErrorKind::Config) if the configuration is
    /// wrong, or there is no such topic or group, [`Unauthorized`](ErrorKind::Unauthorized) if the
    /// credentials are refused, [`Unavailable`](ErrorKind::Unavailable) if nobody answers.
    pub async fn connect(config: &RocketMqConfig) -> Result<Self> {
        config.validate()?;
        let resource = |name: &str| pb::Resource {
            resource_namespace: config.namespace.clone(),
            name: name.to_owned(),
        };
        let entry = |it: &Subscription| pb::SubscriptionEntry {
            topic: Some(resource(&it.topic)),
            expression: Some(it.filter()),
        };
        let subscription = pb::PubSub::Subscription(pb::Subscription {
            group: Some(resource(&config.group)),
            subscriptions: config.topics.iter().map(entry).collect(),
            fifo: None,
            receive_batch_size: None,
            long_polling_timeout: Some(duration(config.wait)),
        });
        let core = Core::start(config, SIMPLE_CONSUMER, Some(&config.group), subscription).await?;
        let consumer = Self {
            core,
            topics: config.topics.clone(),
            lease: config.lease,
            mend: config.mend_handles,
            polls: Polls::default(),
        };
        try_join_all(consumer.topics.iter().map(|it| consumer.probe(it))).await?;
        consumer.core.started();
        Ok(consumer)
    }

    /// Asks each broker of a topic for less than no messages. The server checks topic, filter,
    /// lease and rights before it finds that absurd; asked for none, it would wait, and give the
    /// news of the next message to nobody.
    async fn probe(&self, subscription: &Subscription) -> Result<(), Failure> {
        let of = |failure: Failure| failure.about(&subscription.topic);
        let route = self.core.route(&subscription.topic).await.map_err(of)?;
        let readable = route.brokers.iter().filter(|it| it.readable.is_some());
        let probes = readable.map(async |broker| {
            let answer = self.receive_from(subscription, broker, -1, Duration::ZERO);
            match timeout(PROBE, answer).await {
                Ok(Err(failure)) if failure.is_about_us() => Err(of(failure)),
                _ => Ok(()),
            }
        });
        try_join_all(probes).await.map(drop)
    }

    /// What the server says of the group. It may say something else a moment later: keep no copy.
    pub fn settings(&self) -> ServerSettings {
        self.core.context.pushed.borrow().clone()
    }

    /// How many polls at a time it takes to wait for all topics on all brokers.
    ///
    /// # Errors
    /// If the brokers of a topic are not known, and can't be asked for.
    pub async fn places(&self) -> Result<usize> {
        let routes = self.topics.iter().map(|it| self.core.route(&it.topic));
        let routes = try_join_all(routes).await?;
        Ok(routes.iter().map(|route| route.brokers.len()).sum())
    }

    /// Receives up to `max` messages, 32 at most, of one of the topics, waiting up to `wait`, which
    /// the server makes 5 to 20 s, for the first. None is no error. Each is on lease for
    /// [`lease`](crate::RocketMqConfig::lease).
    ///
    /// Servers are asked for one topic of one broker at a time. Calls that overlap go to different
    /// ones: [`places`](Self::places) of them wait for everything.
    ///
    /// # Errors
    /// If nothing can be received. Messages may have been leased all the same, when their answer
    /// was lost.
    pub async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<ReceivedMessage>> {
        let routes = self.topics.iter().map(|it| self.core.route(&it.topic));
        // A topic that is away for now keeps no other back.
        let routes = join_all(routes).await;
        let known = || routes.iter().enumerate();
        let places = known().filter_map(|(at, route)| Some((at, route.as_ref().ok()?)));
        let brokers = places.flat_map(|(at, route)| {
            let readable = route.brokers.iter().filter(|it| it.readable.is_some());
            readable.map(move |broker| (at, broker))
        });
        let brokers: Vec<(usize, &BrokerRoute)> = brokers.collect();
        let places = brokers.iter().map(|(at, it)| (*at, Arc::clone(&it.name)));
        let Some(poll) = self.polls.begin(places) else {
            let none = || Failure::new(ErrorKind::Unavailable, RECEIVE, "no topic can be read");
            let failed = routes.into_iter().find_map(Result::err);
            return Err(failed.unwrap_or_else(none).into());
        };
        let (at, name) = &poll.place;
        let place = brokers
            .iter()
            .find(|(topic, it)| topic == at && it.name == *name);
        let (Some((_, broker)), Some(subscription)) = (place, self.topics.get(*at)) else {
            return Ok(Vec::new());
        };
        let received = self.wait_at(subscription, broker, max, wait).await;
        received.map_err(|failure| {
            if failure.kind == ErrorKind::Unavailable {
                self.core.doubt(&subscription.topic);
            }
            failure.about(&subscription.topic).into()
        })
    }

    /// As many receives as it takes to wait so long, of which the server may not hold each.
    async fn wait_at(
        &self,
        subscription: &Subscription,
        broker: &BrokerRoute,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<ReceivedMessage>, Failure> {
        let began = Instant::now();
        loop {
            let settings = self.settings();
            let max = max.clamp(
                1,
                settings.batch.unwrap_or(LARGEST_BATCH).min(LARGEST_BATCH),
            );
            let max = i32::try_from(max).unwrap_or(1);
            let left = wait.saturating_sub(began.elapsed());
            let hold = settings
                .longest_wait
                .map_or(left, |longest| longest.min(left));
            let asked = Instant::now();
            let received = self.receive_from(subscription, broker, max, hold).await?;
            // One that ends before its time is the server's way to ask for fewer.
            let is_hasty = asked.elapsed() < hold.mul_f64(0.9);
            if !received.is_empty() || is_hasty || began.elapsed() >= wait.mul_f64(0.9) {
                return Ok(received);
            }
        }
    }

    /// One receive; once more if the server does not know us any more.
    async fn receive_from(
        &self,
        subscription: &Subscription,
        broker: &BrokerRoute,
        max: i32,
        wait: Duration,
    ) -> Result<Vec<ReceivedMessage>, Failure> {
        let mut again = true;
        loop {
            let Some(address) = self.core.pick(&broker.addresses) else {
                return Ok(Vec::new());
            };
            let session = self.core.session(address);
            let number = session.ready().await?;
            let transport = &self.core.context.transport;
            let generation = transport.generation().await;
            let received = self.poll(subscription, broker, address, max, wait).await;
            match received.map_err(|failure| self.core.context.judge(failure)) {
                Err(failure) if again && transport.renew(&failure, generation).await => {}
                Err(failure) if failure.needs_settings() && again => session.reopen(number),
                Err(failure) => {
                    if failure.needs_settings() {
                        session.reopen(number);
                    }
                    return Err(failure);
                }
                Ok(messages) => return Ok(messages),
            }
            again = false;
        }
    }

    /// One receive at one server. The status comes first; a poll that found nothing ends with one
    /// of its own.
    async fn poll(
        &self,
        subscription: &Subscription,
        broker: &BrokerRoute,
        address: &Address,
        max: i32,
        wait: Duration,
    ) -> Result<Vec<ReceivedMessage>, Failure> {
        let wait = wait.clamp(*WAITS.start(), *WAITS.end());
        let transport = &self.core.context.transport;
        let question = pb::ReceiveMessageRequest {
            group: self.core.context.group.clone(),
            message_queue: broker.readable.clone(),
            filter_expression: Some(subscription.filter()),
            batch_size: max,
            invisible_duration: Some(duration(self.lease)),
            // The server's own extension is forgotten when it crashes, and outlives a client that
            // does by two minutes.
            auto_renew: false,
            long_polling_timeout: Some(duration(wait)),
            attempt_id: None,
        };
        // The server makes the wait 5 s at least, and refuses a call whose deadline is before its
        // end.
        let deadline = transport.deadline(wait.max(SHORTEST_HOLD));
        let mut status = None;
        let mut messages = Vec::new();
        let most = usize::try_from(max).unwrap_or(0);
        let answer = async {
            let mut stream = transport
                .ask::<_, pb::ReceiveMessageResponse>(Method::RECEIVE, address, question, deadline)
                .await?;
            loop {
                let part = stream.message().await;
                let part = part.map_err(|it| Failure::rpc(RECEIVE, &it).at(address))?;
                match part.map(|part| part.content) {
                    None => return Ok(()),
                    Some(Some(pb::Content::Status(it))) => status = Some(it),
                    Some(Some(pb::Content::Message(message))) if messages.len() < most => {
                        match ReceivedMessage::read(*message, &broker.name, address) {
                            Some(message) => messages.push(message),
                            None => tracing::warn!(server = %address, "a message without a name"),
                        }
                    }
                    Some(_) => {}
                }
            }
        };
        let answer = transport
            .within(Method::RECEIVE, address, deadline, answer)
            .await;
        // What has come is on lease here, however the answer ended.
        if !messages.is_empty() {
            return Ok(messages);
        }
        answer?;
        match status {
            Some(status) if status.code == code::MESSAGE_NOT_FOUND => Ok(messages),
            status => {
                let checked = error::check(RECEIVE, status.as_ref());
                checked.map(|()| messages).map_err(|it| it.at(address))
            }
        }
    }

    /// Acknowledges messages: they are done. One result for each, in order: of kind
    /// [`Fenced`](ErrorKind::Fenced) if its lease has ended.
    ///
    /// # Errors
    /// Never as a whole; what is known of none is told of each.
    pub async fn ack(&self, handles: &[ReceiptHandle]) -> Result<Vec<Result<()>>> {
        let mut groups: HashMap<(&Address, &pb::Resource), Vec<usize>> = HashMap::new();
        for (at, handle) in handles.iter().enumerate() {
            let group = (handle.address(), handle.resource());
            groups.entry(group).or_default().push(at);
        }
        let calls = groups.into_values().map(async |group| {
            let those: Vec<_> = group.iter().map(|at| &handles[*at]).collect();
            let outcomes = self.ack_together(&those).await;
            group.into_iter().zip(outcomes)
        });
        let mut outcomes: Vec<_> = join_all(calls).await.into_iter().flatten().collect();
        outcomes.sort_by_key(|(at, _)| *at);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// Those of one topic from one server.
    async fn ack_together(&self, handles: &[&ReceiptHandle]) -> Vec<Result<()>> {
        const METHOD: Method = Method::ACK;
        let Some(first) = handles.first() else {
            return Vec::new();
        };
        let entry = |handle: &&ReceiptHandle| pb::AckMessageEntry {
            message_id: handle.message_id().to_owned(),
            receipt_handle: handle.receipt().to_owned(),
        };
        let question = pb::AckMessageRequest {
            group: self.core.context.group.clone(),
            topic: Some(first.resource().clone()),
            entries: handles.iter().map(entry).collect(),
        };
        let transport = &self.core.context.transport;
        let answer: Result<pb::AckMessageResponse, _> =
            transport.call(METHOD, first.address(), question).await;
        let answer = answer.and_then(|answer| match answer.entries.is_empty() {
            true => error::check(METHOD.operation, answer.status.as_ref()).map(|()| answer),
            false => Ok(answer),
        });
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                let failure = self.core.context.judge(failure);
                return handles
                    .iter()
                    .map(|_| Err(failure.clone().into()))
                    .collect();
            }
        };
        if answer.entries.is_empty() {
            return handles.iter().map(|_| Ok(())).collect();
        }
        let entries = answer
            .entries
            .iter()
            .map(|it| (&*it.receipt_handle, it.status.as_ref()));
        let entries: HashMap<_, _> = entries.collect();
        let outcome = |handle: &&ReceiptHandle| match entries.get(handle.receipt()) {
            Some(status) => error::check(METHOD.operation, *status)
                .map_err(|it| self.core.context.judge(it).at(handle.address()).into()),
            None => Err(Error::new(
                ErrorKind::Unavailable,
                METHOD.operation,
                "the answer does not mention the message",
            )),
        };
        handles.iter().map(outcome).collect()
    }

    /// Lets a lease end so long from now, up to 12 h: an extension, or a retry after a delay. The
    /// handle is dead afterwards; the new one is returned.
    ///
    /// A message that is suspended is only given back: the attempt that it was handed out for does
    /// not count, on servers from 5.4 on, and not in FIFO groups.
    ///
    /// # Errors
    /// Of kind [`Fenced`](ErrorKind::Fenced) if the lease has ended. After one of kind
    /// [`Unavailable`](ErrorKind::Unavailable) it may have been changed.
    pub async fn change_invisible(
        &self,
        handle: &ReceiptHandle,
        invisible: Duration,
        suspend: bool,
    ) -> Result<ReceiptHandle> {
        const METHOD: Method = Method::CHANGE;
        let question = pb::ChangeInvisibleRequest {
            group: self.core.context.group.clone(),
            topic: Some(handle.resource().clone()),
            receipt_handle: handle.receipt().to_owned(),
            invisible_duration: Some(duration(invisible.min(*LEASES.end()))),
            message_id: handle.message_id().to_owned(),
            suspend: suspend.then_some(true),
        };
        let transport = &self.core.context.transport;
        let answer: Result<pb::ChangeInvisibleResponse, _> =
            transport.demand(METHOD, handle.address(), question).await;
        match answer {
            Ok(answer) => Ok(handle.renewed(answer.receipt_handle, self.mend)),
            Err(failure) => Err(self.core.context.judge(failure).into()),
        }
    }

    /// Makes a message a dead letter now: it goes to `%DLQ%GROUP` and is done.
    ///
    /// Only while its lease lasts, and once: the server looks at neither, and makes a copy.
    ///
    /// # Errors
    /// After one of kind [`Unavailable`](ErrorKind::Unavailable) it may have been made.
    pub async fn dead_letter(&self, handle: &ReceiptHandle) -> Result<()> {
        const METHOD: Method = Method::FORWARD;
        let attempt = i32::try_from(handle.attempt()).unwrap_or(i32::MAX);
        let most = self
            .settings()
            .max_attempts
            .and_then(|it| i32::try_from(it).ok());
        let question = pb::ForwardToDeadLetterRequest {
            group: self.core.context.group.clone(),
            topic: Some(handle.resource().clone()),
            receipt_handle: handle.receipt().to_owned(),
            message_id: handle.message_id().to_owned(),
            delivery_attempt: attempt,
            max_delivery_attempts: most.unwrap_or(attempt),
        };
        let transport = &self.core.context.transport;
        let answer: Result<pb::StatusResponse, _> =
            transport.demand(METHOD, handle.address(), question).await;
        match answer {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.core.context.judge(failure).into()),
        }
    }

    /// Says goodbye to the servers. What is on lease stays so until its time is over.
    pub async fn close(&self) {
        self.core.close().await;
    }
}

const RECEIVE: &str = Method::RECEIVE.operation;
