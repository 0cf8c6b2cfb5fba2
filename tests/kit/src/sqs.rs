//! Real servers that speak SQS, started by `tests/brokers/elasticmq` and `tests/brokers/ministack`.
//!
//! Region `us-east-1`, account `000000000000`, any credentials. Queues are made by the tests.
//! Neither server is SQS: what differs is listed in the tests that meet it.

use std::sync::OnceLock;

use crate::{is_skipped, server::Server};

mod queue;

pub use queue::Queue;

/// An ElasticMQ (Java). Killed, and its data deleted, when it is dropped and when the process ends
/// in whatever way; the data of a failed test stay, in `target/brokers`.
#[derive(Debug)]
pub struct ElasticMq(Server);

/// A ministack (Python). Killed when it is dropped and when the process ends in whatever way.
#[derive(Debug)]
pub struct Ministack(Server);

impl ElasticMq {
    /// Starts a server of one's own (3 s). Panics when it can't; `None` if `EVENTLANE_SKIP_REAL` is
    /// 1, after a line that says so.
    pub fn start_or_skip() -> Option<Self> {
        (!is_skipped("ElasticMQ")).then(|| Self(Server::start("elasticmq", &[])))
    }

    /// The same, with queues and messages that survive [`kill`](Self::kill) and
    /// [`revive`](Self::revive), but for what came in the last half second.
    pub fn persistent_or_skip() -> Option<Self> {
        (!is_skipped("ElasticMQ")).then(Self::persistent)
    }

    /// A server that all tests of the process share. Use queues of your own, and leave it alone.
    pub fn shared_or_skip() -> Option<&'static Self> {
        (!is_skipped("ElasticMQ")).then(Self::shared)
    }

    /// The same; panics when it can't be started.
    pub fn shared() -> &'static Self {
        // Never dropped: the end of the process closes the guard's pipe.
        static SHARED: OnceLock<ElasticMq> = OnceLock::new();
        SHARED.get_or_init(|| Self(Server::start("elasticmq", &[])))
    }

    /// Like [`persistent_or_skip`](Self::persistent_or_skip); panics when it can't be started.
    pub fn persistent() -> Self {
        Self(Server::start("elasticmq", &["--persist"]))
    }

    /// Its URL.
    pub fn endpoint(&self) -> &str {
        self.0.endpoint()
    }

    /// Kills it, as a crash does.
    pub fn kill(&self) {
        self.0.run("kill");
    }

    /// Starts it again after [`kill`](Self::kill), under the same URL.
    pub fn revive(&self) {
        self.0.run("revive");
    }

    /// Lets it hang: connections are accepted, nothing is answered.
    pub fn pause(&self) {
        self.0.run("pause");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.0.run("resume");
    }
}

impl Ministack {
    /// Starts a server of one's own (2 s). Panics when it can't; `None` if `EVENTLANE_SKIP_REAL` is
    /// 1, after a line that says so.
    pub fn start_or_skip() -> Option<Self> {
        (!is_skipped("ministack")).then(|| Self(Server::start("ministack", &[])))
    }

    /// A server that all tests of the process share. Use queues of your own, and leave it alone.
    pub fn shared_or_skip() -> Option<&'static Self> {
        static SHARED: OnceLock<Ministack> = OnceLock::new();
        (!is_skipped("ministack"))
            .then(|| SHARED.get_or_init(|| Self(Server::start("ministack", &[]))))
    }

    /// Its URL.
    pub fn endpoint(&self) -> &str {
        self.0.endpoint()
    }

    /// Lets it hang: connections are accepted, nothing is answered.
    pub fn pause(&self) {
        self.0.run("pause");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.0.run("resume");
    }
}
