//! The endpoint that checks.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::Instant,
};

use super::{
    Answer, Faults, Record, Report, Served,
    check::{Plan, State},
    message,
};

/// An HTTP/1.1 and HTTP/2 endpoint that reads CloudEvents in every mode and checks each key's
/// order. It expects data as [`Producer`](crate::kafka::Producer) makes them: a JSON object with
/// `key` and `seq`.
#[derive(Debug)]
pub struct CheckingSink {
    served: Served,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    notify: Notify,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl CheckingSink {
    /// An endpoint on a free port.
    pub fn start(faults: Faults) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(faults)),
            changed: Condvar::new(),
            notify: Notify::new(),
        });
        let served = Served::start({
            let shared = Arc::clone(&shared);
            move |listener| accept(listener, shared)
        });
        Self { served, shared }
    }

    /// An endpoint that also keeps a [`Record`] of every event of every request.
    pub fn recording(faults: Faults) -> Self {
        let sink = Self::start(faults);
        sink.shared.lock().records = Some(Vec::new());
        sink
    }

    /// Where it is: `http://127.0.0.1:40123/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.served.address
    }

    /// Changes what goes wrong, for the requests that come from now on.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.lock().faults);
    }

    /// What it has seen so far.
    pub fn report(&self) -> Report {
        self.shared.lock().report.clone()
    }

    /// The records so far, in the order in which the requests came.
    pub fn records(&self) -> Vec<Record> {
        self.shared
            .lock()
            .records
            .clone()
            .expect("started with CheckingSink::recording")
    }

    /// Which of a key's first `count` events have not been taken.
    pub fn missing(&self, key: &str, count: u64) -> Vec<u64> {
        self.shared.lock().missing(key, count)
    }

    /// How many events it took between two instants, again or not, up to 10 ms around them.
    pub fn taken_between(&self, from: Instant, to: Instant) -> u64 {
        self.shared.lock().pace.between(from, to)
    }

    /// Waits until what it has seen satisfies `done`. Blocks the thread; panics after `limit`.
    pub fn wait(&self, limit: Duration, done: impl Fn(&Report) -> bool) {
        let state = self.shared.lock();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, limit, |state| !done(&state.report));
        let (state, timeout) = waited.expect("no holder panics");
        let report = state.report.clone();
        drop(state);
        assert!(!timeout.timed_out(), "not within {limit:?}: {report:#?}");
    }

    /// The same for tasks. Waits for ever: put a timeout around it.
    pub async fn reached(&self, done: impl Fn(&Report) -> bool) {
        loop {
            let changed = self.shared.notify.notified();
            if done(&self.shared.lock().report) {
                return;
            }
            changed.await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn tell(&self) {
        self.changed.notify_all();
        self.notify.notify_waiters();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped, and with it every connection, when the sink is.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(connection(stream, Arc::clone(&shared)));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Closing from our side then resets the connection, which is what Answer::Reset means.
    if stream.set_nodelay(true).is_err() || stream.set_zero_linger().is_err() {
        return;
    }
    let service = service_fn(move |request| respond(request, Arc::clone(&shared)));
    // An error is the client's end or a reset that was asked for.
    drop(
        auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// A request as long as it is dealt with; ends also when the client closes the connection before it
/// is answered.
struct Pending<'a> {
    plan: Plan,
    shared: &'a Shared,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.shared.lock().leave(&self.plan);
        self.shared.tell();
    }
}

async fn respond(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map_err(|_| "the client is gone")?
        .to_bytes();
    let with_attributes = shared.lock().records.is_some();
    let messages = match message::parse(&head.headers, &body, with_attributes) {
        Ok(messages) => messages,
        Err(reason) => {
            let mut state = shared.lock();
            state.report.invalid += 1;
            state.report.defect(|| format!("invalid request: {reason}"));
            return Ok(response(400, None));
        }
    };
    let plan = shared.lock().arrive(head.uri.path(), messages);
    let pending = Pending {
        plan,
        shared: &shared,
    };
    shared.tell();
    if !pending.plan.delay.is_zero() {
        tokio::time::sleep(pending.plan.delay).await;
    }
    let (status, retry_after) = match &pending.plan.answer {
        Answer::Accept => (204, None),
        Answer::Reply => {
            shared.lock().answered(&pending.plan, 200);
            return Ok(reply(&head.headers, body));
        }
        Answer::Status(status) => (*status, None),
        Answer::RetryAfter(status, after) => (*status, Some(after.as_str())),
        Answer::Slow(delay) => {
            tokio::time::sleep(*delay).await;
            (204, None)
        }
        Answer::Stall => std::future::pending().await,
        Answer::Reset => return Err("reset"),
    };
    shared.lock().answered(&pending.plan, status);
    Ok(response(status, retry_after))
}

fn reply(event: &HeaderMap, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    for (name, value) in event {
        if name.as_str().starts_with("ce-") || name == "content-type" {
            response.headers_mut().insert(name, value.clone());
        }
    }
    let id = event
        .get("ce-id")
        .map(|id| [b"re:", id.as_bytes()].concat());
    let id = id.and_then(|id| HeaderValue::from_bytes(&id).ok());
    response
        .headers_mut()
        .insert("ce-id", id.expect("a request in binary mode has an id"));
    response
}

fn response(status: u16, retry_after: Option<&str>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::from_u16(status).expect("the test gives a valid status");
    if let Some(after) = retry_after {
        response.headers_mut().insert(
            "retry-after",
            after.parse().expect("the test gives a valid header"),
        );
    }
    response
}
