//! RocketMQ, its broker and its proxy in a process each, and `rocketmq-to-http`.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use eventlane_rocketmq::{
    RocketMqConfig,
    client::{OutgoingMessage, Producer},
};
use eventlane_testkit::rocketmq::{Options, RocketMq, Role, TopicType};
use tokio::runtime::Runtime;

use super::{
    bare::Bare,
    line::{GROUPS, LEASE, Line, Lost, Queue, send},
    server,
};
use crate::{Bound, Load, Outcome, driver::Program};

const QUEUES: u32 = 8;

/// The most that one receive brings of a queue, of which nothing more comes as long as it is on lease.
const BATCH: u32 = 32;

/// A FIFO topic, and a group that gets its messages in order.
pub(super) struct Topic<'a> {
    broker: &'a RocketMq,
    name: String,
    producer: Producer,
    runtime: Runtime,
}

fn start() -> RocketMq {
    RocketMq::start(&options())
}

fn options() -> Options {
    Options {
        cluster: true,
        // Leases of a few seconds.
        short: true,
        ..Options::default()
    }
}

impl Topic<'static> {
    pub(super) fn shared() -> Self {
        // Never dropped: the end of the process closes the guard's pipe.
        static SHARED: OnceLock<RocketMq> = OnceLock::new();
        Topic::new(SHARED.get_or_init(start))
    }
}

impl<'a> Topic<'a> {
    fn new(broker: &'a RocketMq) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("line-{}", NUMBER.fetch_add(1, Relaxed));
        broker.create_topic(&name, TopicType::Fifo, QUEUES);
        // The broker makes dead letters of what it has handed out so often; nothing may come near that.
        broker.create_group(&name, true, 1_000);
        let runtime = Runtime::new().expect("a runtime");
        let config = RocketMqConfig::new(broker.endpoint(), "");
        let producer = runtime.block_on(Producer::connect(&config, &[&name]));
        Self {
            broker,
            name,
            producer: producer.unwrap_or_else(|error| panic!("a producer: {error}")),
            runtime,
        }
    }
}

impl Queue for Topic<'_> {
    fn send(&self, messages: &[(String, u64)]) {
        let message = |(key, seq): &(String, u64)| {
            OutgoingMessage::new(format!(r#"{{"key":"{key}","seq":{seq}}}"#)).with_group(key)
        };
        let messages: Vec<_> = messages.iter().map(message).collect();
        let sent = self.producer.send_all(&self.name, &messages);
        let sent = self.runtime.block_on(sent);
        let sent = sent.unwrap_or_else(|error| panic!("the broker takes every message: {error}"));
        assert_eq!(sent.len(), messages.len());
    }

    fn server(&self) -> SocketAddr {
        self.broker.endpoint().parse().expect("an address")
    }

    /// The proxy of a cluster sends who asks for routes to the address that was asked.
    fn program(&self, server: SocketAddr) -> Command {
        let mut program = Program::RocketMq.command();
        program
            .args(["--endpoint", &server.to_string()])
            .args(["--topic", &self.name, "--group", &self.name])
            .args(["--lease", &LEASE.as_secs().to_string(), "--wait", "1"]);
        program
    }

    fn lost(&self) -> Lost {
        Lost::OnLease(u64::from(QUEUES * BATCH))
    }

    /// Nobody can be asked: that every message was delivered has to do.
    fn wait_until_empty(&self) {}
}

/// How far a group has come is written every 5 s (`flushConsumerOffsetInterval`).
const UNWRITTEN: Duration = Duration::from_secs(6);

/// Longer than the time from one look-up of a group to the next, one of which thus finds no broker.
const AWAY: Duration = Duration::from_secs(22);

/// A broker whose proxy is as slow to learn of it as by default: for some seconds after it has come back,
/// the proxy hands out its messages, and does not know that the group is a FIFO one.
fn start_stale() -> RocketMq {
    RocketMq::start(&Options {
        stale_groups: true,
        ..options()
    })
}

fn restart(broker: &RocketMq) {
    broker.kill(Role::Broker);
    thread::sleep(AWAY);
    broker.revive();
}

/// The broker behind the proxy is killed and started again.
pub(super) fn broker_killed(load: Load) -> Outcome {
    let broker = start_stale();
    let line = Line::new(Topic::new(&broker), load);
    server::killed(line, UNWRITTEN, |topic| restart(topic.broker))
}

/// The proxy is, and the broker is not.
pub(super) fn proxy_killed(load: Load) -> Outcome {
    let broker = start();
    let line = Line::new(Topic::new(&broker), load);
    server::killed(line, UNWRITTEN, |topic| {
        topic.broker.kill(Role::Proxy);
        topic.broker.revive();
    })
}

/// The broker is killed and started again under a client without eventlane: what comes out of order here
/// is not eventlane's doing.
pub(super) fn broker_killed_bare(load: Load) -> Outcome {
    let broker = start_stale();
    let topic = Topic::new(&broker);
    let events = load.events.next_multiple_of(GROUPS);
    send(&topic, events, GROUPS, u64::MAX);
    thread::sleep(4 * UNWRITTEN);
    let bare = topic
        .runtime
        .block_on(Bare::connect(broker.endpoint(), &topic.name));
    let receivers: Vec<_> = (0..2 * QUEUES)
        .map(|_| topic.runtime.spawn(Arc::clone(&bare).receive(events)))
        .collect();
    bare.wait_for(events / 2);
    restart(&broker);
    let most = bare.book().handed_out() + u64::from(QUEUES * BATCH);
    bare.wait_for(events);
    for receiver in receivers {
        receiver.abort();
    }
    let book = bare.book();
    Outcome {
        sent: events,
        delivered: book.done(),
        lost: events - book.done(),
        out_of_order: book.gaps,
        duplicates: book.again,
        bound: Bound {
            most,
            why: "1 kill: all that was handed out before the broker was back".to_owned(),
        },
        defects: book.defects.clone(),
    }
}
