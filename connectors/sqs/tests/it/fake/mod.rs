//! An SQS in this process: the JSON protocol over HTTP on 127.0.0.1, with the rules that SQS states
//! for leases, receive counts, message groups and attempt ids, and faults on demand.
//!
//! * **Standard queues** hand out in the order of sending; SQS may not. Deleting with a handle that
//!   a later receive has replaced succeeds and deletes nothing.
//! * **FIFO queues** (names that end in `.fifo`): several messages of a group in one receive, up to
//!   the first of the group that is still invisible. A handle whose lease is over is refused with
//!   `InvalidParameterValue`, "The receipt handle has expired". A receive with an attempt id of the
//!   last five minutes is answered with the same messages and handles, their leases begun anew, as
//!   long as none of them was deleted or changed.
//! * **A long poll that is abandoned** goes on, and takes the messages that come.
//! * **Left out**: deduplication, delays, retention, MD5 sums, limits of size, signatures (the
//!   access key is looked at).
//!
//! Real time only: there are sockets.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use eventlane_sqs::{SqsConfig, StaticCredentials};
use tokio::{sync::Notify, task::JoinHandle};

mod faults;
mod queue;
mod server;

pub(crate) use faults::{Fault, Faults, Kind};
use queue::Queues;

/// The access key that is accepted.
pub(crate) const KEY: &str = "test";

/// What queues are like.
#[derive(Clone, Debug)]
pub(crate) struct FakeOptions {
    /// How long a lease lasts, in whole seconds. Default 30 s.
    pub(crate) visibility: Duration,
    /// How often a message is handed out before it goes to the queue `dead` (`dead.fifo`). Default:
    /// for ever.
    pub(crate) max_receives: Option<u32>,
}

impl Default for FakeOptions {
    fn default() -> Self {
        Self {
            visibility: Duration::from_secs(30),
            max_receives: None,
        }
    }
}

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    queues: Mutex<Queues>,
    /// Something may have become visible.
    changed: Notify,
    faults: Faults,
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap()
    }
}

impl Fake {
    /// Starts a server. Call it within a runtime.
    pub(crate) fn start(options: FakeOptions) -> Self {
        let shared = Arc::new(Shared {
            queues: Mutex::new(Queues::new(options)),
            changed: Notify::new(),
            faults: Faults::default(),
        });
        let (address, server) = server::start(Arc::clone(&shared));
        Self {
            shared,
            address,
            server,
        }
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a source needs for a queue, which is created if need be. A receive waits for a second.
    pub(crate) fn config(&self, queue: &str) -> SqsConfig {
        self.shared.queues().create(queue);
        SqsConfig::new(format!("{}/000000000000/{queue}", self.endpoint()))
            .with_region("us-east-1")
            .with_endpoint(self.endpoint())
            .with_credentials(StaticCredentials::new(KEY, "secret"))
            .with_wait(Duration::from_secs(1))
            .with_request_timeout(Duration::from_secs(5))
    }

    /// Sends a message, and tells the id that it got. The queue is created if need be.
    pub(crate) fn send(&self, queue: &str, body: &str, group: Option<&str>) -> String {
        let mut queues = self.shared.queues();
        queues.create(queue);
        let id = queues.send(queue, body, group).unwrap();
        self.shared.changed.notify_waiters();
        id
    }

    /// Lets requests fail.
    pub(crate) fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// How many requests of a kind have come.
    pub(crate) fn requests(&self, kind: Kind) -> usize {
        self.shared.faults.requests(kind)
    }

    /// How many messages a queue has, those on lease included.
    pub(crate) fn len(&self, queue: &str) -> usize {
        self.shared.queues().len(queue)
    }

    /// How many of them are on lease.
    pub(crate) fn in_flight(&self, queue: &str) -> usize {
        self.shared.queues().in_flight(queue)
    }

    /// The attempt ids that receives have come with, in order.
    pub(crate) fn attempts(&self) -> Vec<String> {
        self.shared.queues().attempts.clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}
