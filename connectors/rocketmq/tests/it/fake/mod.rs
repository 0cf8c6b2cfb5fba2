//! A RocketMQ 5 in this process: brokers with their proxies, which speak gRPC on 127.0.0.1, with the
//! rules that were measured with a real one, and faults on demand.
//!
//! * **Leases** are checkpoints of what was handed out together, as in the broker. So a dead handle
//!   is taken without an error and without effect, or with a bad one: a change revives what was
//!   acknowledged, and of a changed message makes a second lease. Only a handle whose own time is
//!   over is refused (40013). After a change, a proxy in local mode returns a handle that names
//!   another checkpoint, and another message in the log.
//! * **What comes again** does so through a retry topic: as offset 0 of queue 0, `revive` later.
//! * **FIFO groups** bind queues: `fifo` says how.
//! * **A long poll that is abandoned** goes on, and takes the messages that come.
//! * **Sessions**: a receive without settings fails (50001), a heartbeat (40015), too. They end with
//!   their stream.
//! * **A proxy that can't look up its groups**, because the broker has just come back, goes by what the
//!   client says of its own.
//! * **Several brokers** have each their own proxy, which knows nothing of the others' messages.
//!
//! Where it differs from the real one:
//!
//! * Leases from 1.5 s on, or what is asked for, and waits from 1 s on, like a real one that is
//!   configured so; what comes again does so after 0.2 s, not 2 to 3 s.
//! * What an abandoned poll has taken is away for its whole lease, and the attempt counts; the real
//!   one gives it back after 3 s.
//! * A cluster is a broker that is its own proxy, whose handles are right.
//! * Groups are for topics of any type, topics have as many queues on each broker.
//! * Of SQL92 it knows comparisons that all have to hold.
//! * Of credentials it looks at the session token, if it is told to.
//! * Left out: TLS, transactions, properties that are too large, `attempt_id`,
//!   `auto_renew`.
//!
//! Real time only: there are sockets.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, broadcast, watch},
    task::JoinHandle,
    time::Instant,
};

mod calls;
mod faults;
mod fifo;
mod filter;
mod grpc;
mod handle;
#[allow(
    dead_code,
    unused_imports,
    reason = "they are the crate's own, and not all of them are needed here"
)]
#[path = "../../../src/client/pb/mod.rs"]
pub(crate) mod pb;
mod server;
mod sessions;
mod store;

use eventlane_testkit::rocketmq::TopicType;
pub(crate) use faults::{Fault, Faults, Kind};
use sessions::Sessions;
use store::Store;

/// What there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FakeOptions {
    /// Brokers, each with its own proxy. Default 1.
    pub(crate) brokers: usize,
    /// Whether the proxies are in local mode, whose handles are wrong. Default true.
    pub(crate) local: bool,
    /// The shortest lease that is taken. Default 1.5 s.
    pub(crate) shortest_lease: Duration,
}

impl Default for FakeOptions {
    fn default() -> Self {
        Self {
            brokers: 1,
            local: true,
            shortest_lease: Duration::from_millis(1500),
        }
    }
}

/// How long after its lease a message comes again.
pub(crate) const REVIVE: Duration = Duration::from_millis(200);

/// The brokers; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    shared: Arc<Shared>,
    servers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something may have become visible.
    changed: Notify,
    faults: Faults,
    addresses: Vec<SocketAddr>,
    shortest_lease: Duration,
    /// By broker: whether it hangs.
    paused: Vec<watch::Sender<bool>>,
    /// By broker: its connections end.
    cut: Vec<broadcast::Sender<()>>,
    clock: (Instant, u64),
}

#[derive(Debug)]
struct State {
    topics: HashMap<String, (TopicType, u32)>,
    groups: HashMap<String, Group>,
    stores: Vec<Store>,
    sessions: Vec<Sessions>,
    /// Whether proxies can't look up groups.
    groups_lost: bool,
    down: HashSet<usize>,
    /// The brokers that routes name.
    route: Vec<usize>,
    sent: usize,
    /// By the last receive.
    asked: i32,
    /// By changes of leases, in milliseconds.
    changes: Vec<u64>,
    /// Without it, calls are refused.
    token: Option<String>,
}

/// A consumer group, and what its members are told.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) fifo: bool,
    /// Attempts, the first one included.
    pub(crate) max_attempts: i32,
    pub(crate) backoff: Vec<Duration>,
    pub(crate) batch: i32,
    pub(crate) polling: Duration,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn now(&self) -> u64 {
        let (start, unix) = self.clock;
        unix + u64::try_from(start.elapsed().as_millis()).unwrap()
    }
}

impl Fake {
    /// Starts brokers. Call it within a runtime.
    pub(crate) fn start(options: FakeOptions) -> Self {
        let listeners: Vec<_> = (0..options.brokers).map(|_| server::bind()).collect();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let stores = 0..options.brokers;
        let revive = REVIVE.as_millis() as u64;
        let state = State {
            topics: HashMap::new(),
            groups: HashMap::new(),
            stores: stores
                .map(|broker| Store::new(broker, options.local, revive))
                .collect(),
            sessions: (0..options.brokers).map(|_| Sessions::default()).collect(),
            groups_lost: false,
            down: HashSet::new(),
            route: (0..options.brokers).collect(),
            sent: 0,
            asked: 0,
            changes: Vec::new(),
            token: None,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Notify::new(),
            faults: Faults::default(),
            shortest_lease: options.shortest_lease,
            addresses: listeners
                .iter()
                .map(|it| it.local_addr().unwrap())
                .collect(),
            paused: listeners
                .iter()
                .map(|_| watch::Sender::new(false))
                .collect(),
            cut: listeners
                .iter()
                .map(|_| broadcast::Sender::new(1))
                .collect(),
            clock: (Instant::now(), unix.as_millis() as u64),
        });
        let servers = listeners.into_iter().enumerate();
        let servers = servers.map(|(broker, listener)| {
            tokio::spawn(server::serve(Arc::clone(&shared), broker, listener))
        });
        Self {
            servers: servers.collect(),
            shared,
        }
    }

    /// Where the first broker's proxy listens.
    pub(crate) fn endpoint(&self) -> String {
        self.endpoint_of(0)
    }

    pub(crate) fn endpoint_of(&self, broker: usize) -> String {
        self.shared.addresses[broker].to_string()
    }

    /// Creates a topic with so many queues on each broker.
    pub(crate) fn create_topic(&self, name: &str, ty: TopicType, queues: u32) {
        let mut state = self.shared.state();
        state.topics.insert(name.to_owned(), (ty, queues));
    }

    /// Creates a consumer group, as a server does by default.
    pub(crate) fn create_group(&self, name: &str, fifo: bool, max_retry: u32) {
        let group = Group {
            fifo,
            max_attempts: max_retry as i32 + 1,
            backoff: [1, 5, 10, 30].map(Duration::from_secs).to_vec(),
            batch: 32,
            polling: Duration::from_secs(20),
        };
        self.shared.state().groups.insert(name.to_owned(), group);
    }

    /// Changes a group, and tells its members.
    pub(crate) fn change_group(&self, name: &str, change: impl FnOnce(&mut Group)) {
        let mut state = self.shared.state();
        change(state.groups.get_mut(name).unwrap());
        let group = state.groups[name].clone();
        for sessions in &state.sessions {
            sessions.tell(name, &group);
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// What a broker's proxy takes the groups of its clients for when it can't look them up: whether
    /// they are FIFO ones, and how many attempts they have.
    pub(crate) fn taken_for(&self, broker: usize) -> Vec<(bool, i32)> {
        self.shared.state().sessions[broker].unknown()
    }

    /// Proxies can't look up groups any more, or can again.
    pub(crate) fn lose_groups(&self, lost: bool) {
        self.shared.state().groups_lost = lost;
    }

    /// Sends a command to everybody.
    pub(crate) fn command(&self, command: &pb::TelemetryCommand) {
        self.command_raw(&prost::Message::encode_to_vec(command).into());
    }

    /// Sends something to everybody, on the stream that has commands.
    pub(crate) fn command_raw(&self, command: &Bytes) {
        for sessions in &self.shared.state().sessions {
            sessions.send(command);
        }
    }

    /// Ends all sessions' streams: in order, or not.
    pub(crate) fn end_sessions(&self, orderly: bool) {
        for sessions in &mut self.shared.state().sessions {
            sessions.end(orderly);
        }
    }

    /// Forgets who the clients are, while their streams stay open.
    pub(crate) fn forget_clients(&self) {
        for sessions in &mut self.shared.state().sessions {
            sessions.forget();
        }
    }

    /// The clients that a broker's proxy knows.
    pub(crate) fn clients(&self, broker: usize) -> usize {
        self.shared.state().sessions[broker].len()
    }

    /// Sets which brokers routes name from now on.
    pub(crate) fn set_route(&self, brokers: &[usize]) {
        self.shared.state().route = brokers.to_vec();
    }

    /// Puts a message into the first queue of a topic, as it is.
    pub(crate) fn put(&self, broker: usize, topic: &str, mut message: pb::Message) {
        let name = topic.to_owned();
        message.topic = Some(pb::Resource {
            name,
            ..Default::default()
        });
        self.shared.state().stores[broker].append(0, message, None);
        self.shared.changed.notify_waiters();
    }

    /// Puts a message with this body there.
    pub(crate) fn put_text(&self, broker: usize, topic: &str, body: &str, group: Option<&str>) {
        let number = {
            let mut state = self.shared.state();
            state.sent += 1;
            state.sent
        };
        let system = pb::SystemProperties {
            message_id: format!("ID{number:08}"),
            message_group: group.map(str::to_owned),
            ..Default::default()
        };
        let message = pb::Message {
            system_properties: Some(system),
            body: Bytes::copy_from_slice(body.as_bytes()),
            ..Default::default()
        };
        self.put(broker, topic, message);
    }

    /// How many messages the last receive has asked for.
    pub(crate) fn asked(&self) -> i32 {
        self.shared.state().asked
    }

    /// From now on, only calls with this session token are let in.
    pub(crate) fn demand_token(&self, token: &str) {
        self.shared.state().token = Some(token.to_owned());
    }

    /// What changes of leases have asked for so far.
    pub(crate) fn changes(&self) -> Vec<Duration> {
        let state = self.shared.state();
        state
            .changes
            .iter()
            .copied()
            .map(Duration::from_millis)
            .collect()
    }

    /// Messages of a topic that a group has not done, those on lease included.
    pub(crate) fn left(&self, group: &str, topic: &str) -> usize {
        let mut state = self.shared.state();
        let (now, fifo) = (self.shared.now(), state.groups[group].fifo);
        let stores = state.stores.iter_mut().map(|store| {
            store.tick(now);
            store.left(group, topic, fifo)
        });
        stores.sum()
    }

    /// The bodies of a group's dead letters.
    pub(crate) fn dead(&self, group: &str) -> Vec<String> {
        let queue = (format!("%DLQ%{group}"), 0);
        let state = self.shared.state();
        let dead = state.stores.iter().flat_map(|store| {
            let entries = store.queues.get(&queue).into_iter().flatten();
            entries.map(|entry| String::from_utf8_lossy(&store.log[entry.log].body).into_owned())
        });
        dead.collect()
    }

    /// Lets calls go wrong.
    pub(crate) fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Kills a broker: connections end, none is accepted, clients are forgotten; messages stay.
    pub(crate) fn kill(&self, broker: usize) {
        let mut state = self.shared.state();
        state.down.insert(broker);
        state.sessions[broker] = Sessions::default();
        drop(state);
        self.cut(broker);
    }

    /// Starts killed brokers again.
    pub(crate) fn revive(&self) {
        self.shared.state().down.clear();
    }

    /// Ends a broker's connections.
    pub(crate) fn cut(&self, broker: usize) {
        // Nobody may be connected.
        drop(self.shared.cut[broker].send(()));
    }

    /// Lets a broker hang, or go on.
    pub(crate) fn pause(&self, broker: usize, hangs: bool) {
        self.shared.paused[broker].send_replace(hangs);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
        for cut in &self.shared.cut {
            drop(cut.send(()));
        }
    }
}
