//! An MNS server in this process: real sockets, real time, everything in memory.
//!
//! It checks signatures of both versions from the request as it came off the wire, and keeps to
//! what is known of the service:
//!
//! * a receive of an empty queue ends after `waitseconds` with 404 `MessageNotExist`; it goes on
//!   when its client has gone, and what it then takes is on lease for nobody;
//! * a handle is dead when its lease has ended or was changed: 404 `MessageNotExist`; what never
//!   was a handle is a 400 `ReceiptHandleError`;
//! * of a message group nothing is handed out behind a message that is invisible;
//! * a batch that is deleted in part is a 404 with `<Errors>`.
//!
//! ```ignore
//! let fake = Fake::start(FakeOptions::default()).await;
//! fake.send("orders", "hello", None);               // creates the queue, if need be
//! let queue = MnsQueue::connect(fake.config("orders")).await?;
//! fake.faults().inject(Kind::Receive, Fault::Throttle, 3);
//! ```

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use eventlane_mns::{Credentials, MnsConfig};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

mod auth;
mod http;
mod store;
mod wire;

use store::{Outgoing, Queue};

/// How a [`Fake`] behaves.
#[derive(Clone, Debug)]
pub(crate) struct FakeOptions {
    /// The only access key that is let in.
    pub(crate) key: (String, String),
    /// The token that has to come with it.
    pub(crate) token: Option<String>,
    /// The region that signatures of version 4 have to be made for.
    pub(crate) region: String,
    /// Whether the dialect of private clouds is spoken instead.
    pub(crate) apsara: bool,
    /// How long leases last: the `VisibilityTimeout` of every queue. Whole seconds.
    pub(crate) lease: Duration,
    /// Seconds by which the server's clock is ahead.
    pub(crate) skew: i64,
    /// A path in front of all others.
    pub(crate) prefix: String,
    /// Receives that may wait at a time; others find the queue empty at once, as in an account that
    /// has too many.
    pub(crate) long_polls: usize,
}

impl Default for FakeOptions {
    fn default() -> Self {
        Self {
            key: ("LTAI5tFake".to_owned(), "fake-secret".to_owned()),
            token: None,
            region: "cn-hangzhou".to_owned(),
            apsara: false,
            lease: Duration::from_secs(30),
            skew: 0,
            prefix: String::new(),
            long_polls: usize::MAX,
        }
    }
}

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Attributes,
    Receive,
    Delete,
    ChangeVisibility,
    Send,
}

/// What can go wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// 429 `TooManyRequests`; nothing is done.
    Throttle,
    /// 500 `InternalError`; nothing is done.
    Fail,
    /// This status, with this as the body; nothing is done.
    Answer(u16, String),
    /// This status and code; nothing is done.
    Refuse(u16, &'static str),
    /// No answer, ever; nothing is done.
    Hang,
    /// An answer whose body ends with a broken connection; nothing is done.
    Disconnect,
    /// 200 with XML that ends in the middle. A receive has leased what it took.
    Malformed,
    /// It is done, and answered with 500 `InternalError`.
    LostAnswer,
    /// A receive finds nothing at once, whatever there is.
    EarlyEmpty,
    /// Every entry of a batch delete fails with `InternalError`; nothing is deleted.
    DeleteNone,
    /// 302 to another host; nothing is done.
    Redirect,
}

/// Faults that wait for their requests.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<(Kind, Fault, usize)>>);

impl Faults {
    /// Lets the next `times` requests of a kind meet a fault; `usize::MAX` for all until
    /// [`clear`](Self::clear).
    pub(crate) fn inject(&self, kind: Kind, fault: Fault, times: usize) {
        lock(&self.0).push((kind, fault, times));
    }

    /// Takes all faults away.
    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }

    fn next(&self, kind: Kind) -> Option<Fault> {
        let mut faults = lock(&self.0);
        let (_, fault, times) = faults
            .iter_mut()
            .find(|(of, _, times)| *of == kind && *times > 0)?;
        if *times != usize::MAX {
            *times -= 1;
        }
        Some(fault.clone())
    }
}

/// A running server. Refuses connections when it is dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    state: Arc<State>,
    endpoint: String,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    options: Mutex<FakeOptions>,
    queues: Mutex<HashMap<String, Queue>>,
    faults: Faults,
    requests: Mutex<HashMap<Kind, usize>>,
    polling: Mutex<usize>,
}

impl Fake {
    /// Starts a server without queues.
    pub(crate) async fn start(options: FakeOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let endpoint = format!("http://{address}{}", options.prefix);
        let state = Arc::new(State {
            options: Mutex::new(options),
            queues: Mutex::default(),
            faults: Faults::default(),
            requests: Mutex::default(),
            polling: Mutex::default(),
        });
        let router = axum::Router::new()
            .fallback(http::handle)
            .with_state(Arc::clone(&state));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            state,
            endpoint,
            server,
        }
    }

    /// The base URL.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Creates a queue, unless it is there, and says how to consume it: signed with V4, bodies in
    /// base64, receives that wait for a second.
    pub(crate) fn config(&self, queue: &str) -> MnsConfig {
        self.state.queue(queue, |_| ());
        let options = lock(&self.state.options);
        let (id, secret) = options.key.clone();
        let mut credentials = Credentials::new(id, secret);
        if let Some(token) = &options.token {
            credentials = credentials.with_security_token(token.as_str());
        }
        MnsConfig::new(&self.endpoint, queue)
            .with_region(&options.region)
            .with_credentials(credentials)
            .with_wait(Duration::from_secs(1))
    }

    /// Sends a message, its body in base64; creates the queue, unless it is there.
    pub(crate) fn send(&self, queue: &str, body: impl AsRef<[u8]>, group: Option<&str>) {
        self.send_raw(queue, &BASE64_STANDARD.encode(body), group);
    }

    /// Sends a message with its body as it is.
    pub(crate) fn send_raw(&self, queue: &str, body: &str, group: Option<&str>) {
        let message = Outgoing {
            body: body.to_owned(),
            group: group.map(str::to_owned),
            ..Outgoing::default()
        };
        let now = self.state.now();
        self.state.queue(queue, |queue| queue.send(message, now));
    }

    /// What goes wrong.
    pub(crate) fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// How many requests of a kind have come, refused ones included.
    pub(crate) fn requests(&self, kind: Kind) -> usize {
        lock(&self.state.requests)
            .get(&kind)
            .copied()
            .unwrap_or_default()
    }

    /// How many messages a queue has, on lease or not.
    pub(crate) fn len(&self, queue: &str) -> usize {
        self.state.queue(queue, |queue| queue.len())
    }

    /// How many messages of a queue are on lease.
    pub(crate) fn in_flight(&self, queue: &str) -> usize {
        self.state
            .queue(queue, |queue| queue.in_flight(Instant::now()))
    }

    /// Changes how it behaves from now on: other keys, another clock. Leases of queues that are
    /// there stay as they are.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(&mut FakeOptions)) {
        change(&mut lock(&self.state.options));
    }

    /// Changes how long leases of a queue last.
    pub(crate) fn set_lease(&self, queue: &str, lease: Duration) {
        self.state.queue(queue, |queue| queue.lease = lease);
    }

    /// Deletes a queue.
    pub(crate) fn delete_queue(&self, queue: &str) {
        lock(&self.state.queues).remove(queue);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl State {
    /// Does something with a queue, which is created if need be.
    fn queue<R>(&self, name: &str, f: impl FnOnce(&mut Queue) -> R) -> R {
        let lease = lock(&self.options).lease;
        let mut queues = lock(&self.queues);
        let queue = queues.entry(name.to_owned());
        f(queue.or_insert_with(|| Queue::new(lease)))
    }

    /// What time it is for the server.
    fn time(&self) -> SystemTime {
        let skew = lock(&self.options).skew;
        let by = Duration::from_secs(skew.unsigned_abs());
        match skew < 0 {
            true => SystemTime::now() - by,
            false => SystemTime::now() + by,
        }
    }

    /// The same in milliseconds since 1970, and the time that leases go by.
    fn now(&self) -> (u64, Instant) {
        let since = self.time().duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.expect("the fake lives after 1970").as_millis();
        (u64::try_from(millis).expect("it fits"), Instant::now())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
