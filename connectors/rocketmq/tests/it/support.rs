//! Servers, real and not, and topics and groups of a test's own.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use eventlane_rocketmq::{
    RocketMqConfig, Subscription,
    client::{Consumer, OutgoingMessage, Producer, ReceivedMessage},
};
use eventlane_testkit::rocketmq::{Options, RocketMq, Role, TopicType};
use tokio::time::Instant;

use crate::fake::{Fake, FakeOptions, REVIVE};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Which server a test is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    Real,
    Fake,
}

impl Is {
    /// A server that others may use, too: leave it alone. `None` if there shall be no real one.
    pub(crate) fn shared(self) -> Option<Server> {
        match self {
            Self::Real => RocketMq::shared_or_skip().map(Server::Shared),
            Self::Fake => Some(Server::fake(FakeOptions::default())),
        }
    }

    /// The same with leases and waits from 1 s on.
    pub(crate) fn short(self) -> Option<Server> {
        match self {
            Self::Real => RocketMq::shared_short_or_skip().map(Server::Shared),
            Self::Fake => Some(Server::fake(FakeOptions {
                shortest_lease: SECOND,
                ..FakeOptions::default()
            })),
        }
    }

    /// A server of a test's own.
    pub(crate) fn start(self, options: Options) -> Option<Server> {
        match self {
            Self::Real => RocketMq::start_or_skip(options).map(|it| Server::Own(Arc::new(it))),
            Self::Fake => Some(Server::fake(FakeOptions {
                local: !options.cluster,
                ..FakeOptions::default()
            })),
        }
    }
}

/// Runs tests against both servers.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod real {$(
            #[tokio::test]
            async fn $name() {
                super::$name(crate::support::Is::Real).await;
            }
        )*}
        mod fake {$(
            #[tokio::test]
            async fn $name() {
                super::$name(crate::support::Is::Fake).await;
            }
        )*}
    };
}
pub(crate) use on_both;

/// A server. What differs is said by methods.
#[derive(Clone, Debug)]
pub(crate) enum Server {
    Shared(&'static RocketMq),
    Own(Arc<RocketMq>),
    Fake(Arc<Fake>),
}

impl From<&'static RocketMq> for Server {
    fn from(broker: &'static RocketMq) -> Self {
        Self::Shared(broker)
    }
}

impl From<&Self> for Server {
    fn from(server: &Self) -> Self {
        server.clone()
    }
}

/// Whichever real one it is, or the fake.
macro_rules! each {
    ($server:expr, $real:ident => $is_real:expr, $fake:ident => $is_fake:expr) => {
        match $server {
            Server::Shared($real) => $is_real,
            Server::Own($real) => $is_real,
            Server::Fake($fake) => $is_fake,
        }
    };
}

impl Server {
    pub(crate) fn fake(options: FakeOptions) -> Self {
        Self::Fake(Arc::new(Fake::start(options)))
    }

    /// A lease that is as short as the server takes.
    pub(crate) fn lease(&self) -> Duration {
        each!(self, _real => 10 * SECOND, _fake => 3 * SECOND / 2)
    }

    /// The shortest wait that the server takes.
    pub(crate) fn wait(&self) -> Duration {
        each!(self, _real => 5 * SECOND, _fake => SECOND)
    }

    /// How long after its lease or its delay a message has come again, with time for requests.
    pub(crate) fn late(&self) -> Duration {
        each!(self, _real => 4 * SECOND, _fake => REVIVE + SECOND / 2)
    }

    /// The real time, or a fifth of it: of what is not the server's to say.
    pub(crate) fn time(&self, time: Duration) -> Duration {
        each!(self, _real => time, _fake => time / 5)
    }

    pub(crate) fn endpoint(&self) -> String {
        each!(self, real => real.endpoint().to_owned(), fake => fake.endpoint())
    }

    pub(crate) fn create_topic(&self, name: &str, ty: TopicType, queues: u32) {
        each!(self, it => it.create_topic(name, ty, queues), it => it.create_topic(name, ty, queues));
    }

    pub(crate) fn create_group(&self, name: &str, fifo: bool, max_retry: u32) {
        each!(
            self,
            it => it.create_group(name, fifo, max_retry),
            it => it.create_group(name, fifo, max_retry)
        );
    }

    /// Broker and proxy of the fake are one.
    pub(crate) fn kill(&self, role: Role) {
        each!(self, it => it.kill(role), it => it.kill(0));
    }

    /// In order, which is all the same to the fake.
    pub(crate) fn term(&self, role: Role) {
        each!(self, it => it.term(role), it => it.kill(0));
    }

    pub(crate) fn revive(&self) {
        each!(self, it => it.revive(), it => it.revive());
    }

    pub(crate) fn pause(&self, role: Role) {
        each!(self, it => it.pause(role), it => it.pause(0, true));
    }

    pub(crate) fn resume(&self, role: Role) {
        each!(self, it => it.resume(role), it => it.pause(0, false));
    }
}

/// A topic and a group.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) server: Server,
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) producer: Producer,
}

impl Topic {
    /// Its messages are handed out `max_retry` times again.
    pub(crate) async fn create(
        server: impl Into<Server>,
        ty: TopicType,
        queues: u32,
        max_retry: u32,
    ) -> Self {
        let server = server.into();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (name, group) = (format!("topic-{number}"), format!("group-{number}"));
        server.create_topic(&name, ty, queues);
        server.create_group(&group, ty == TopicType::Fifo, max_retry);
        let config = RocketMqConfig::new(server.endpoint(), "");
        let producer = Producer::connect(&config, &[&name]).await.unwrap();
        Self {
            server,
            name,
            group,
            producer,
        }
    }

    pub(crate) fn config(&self) -> RocketMqConfig {
        self.config_for(self.name.as_str())
    }

    pub(crate) fn config_for(&self, subscription: impl Into<Subscription>) -> RocketMqConfig {
        RocketMqConfig::new(self.server.endpoint(), &self.group)
            .with_topic(subscription)
            .with_lease(self.server.lease())
            .with_wait(self.server.wait())
    }

    pub(crate) async fn consumer(&self) -> Consumer {
        Consumer::connect(&self.config()).await.unwrap()
    }

    pub(crate) async fn send(&self, message: OutgoingMessage) -> String {
        let sent = self.producer.send(&self.name, &message).await;
        sent.unwrap().message_id
    }

    pub(crate) async fn send_numbers(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.send(OutgoingMessage::new(number.to_string())).await;
        }
    }
}

/// Receives until there are so many, and fails if that takes longer than half a minute.
pub(crate) async fn receive(consumer: &Consumer, count: usize) -> Vec<ReceivedMessage> {
    let start = Instant::now();
    let mut received = Vec::new();
    while received.len() < count {
        assert!(
            start.elapsed() < 30 * SECOND,
            "{} of {count} came",
            received.len()
        );
        // As short as the server takes.
        received.extend(consumer.receive(32, SECOND).await.unwrap());
    }
    received
}

pub(crate) fn bodies(messages: &[ReceivedMessage]) -> BTreeSet<String> {
    messages.iter().map(body).collect()
}

pub(crate) fn body(message: &ReceivedMessage) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}

/// Acknowledges messages, which has to succeed.
pub(crate) async fn ack(consumer: &Consumer, messages: &[ReceivedMessage]) {
    let handles: Vec<_> = messages.iter().map(|it| it.handle.clone()).collect();
    for outcome in consumer.ack(&handles).await.unwrap() {
        outcome.unwrap();
    }
}

/// The dead letters of a group, read by a group of its own.
pub(crate) async fn dead_letters(topic: &Topic, count: usize) -> Vec<ReceivedMessage> {
    let name = format!("%DLQ%{}", topic.group);
    let reader = format!("{}-dead", topic.group);
    topic.server.create_group(&reader, false, 16);
    let config = RocketMqConfig::new(topic.server.endpoint(), reader)
        .with_topic(name)
        .with_wait(topic.server.wait());
    let start = Instant::now();
    // The topic comes into being with its first message.
    let consumer = loop {
        match Consumer::connect(&config).await {
            Ok(consumer) => break consumer,
            Err(error) => assert!(start.elapsed() < 30 * SECOND, "{error}"),
        }
        tokio::time::sleep(SECOND / 2).await;
    };
    receive(&consumer, count).await
}
