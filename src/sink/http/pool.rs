//! Connections of HTTP/1.1 without TLS, kept for the next request.
//!
//! hyper-util's client boxes a future for each request, hashes the destination and fills the
//! response's extensions: 7,900 of 51,000 instructions. For the one destination here a list does.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri, uri::PathAndQuery};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{AbortHandle, yield_now},
    time::{Instant, sleep_until},
};
use tower_service::Service;

use super::{
    TransportError,
    client::{Connector, classify},
};

type Sender = SendRequest<Full<Bytes>>;
type Connecting = Pin<Box<dyn Future<Output = Result<Sender, TransportError>> + Send>>;

/// So many connections may turn out to be closed under one request; then it gets a new one.
const STALE: usize = 3;

/// Connections to one address, used last in, first out: the surplus of a surge stays unused, and is
/// closed in time.
///
/// * **Once.** A request is sent on another connection only if hyper gives it back: nothing of it
///   has left.
/// * **Cancellation.** Dropping the future of [`send`](Self::send) closes the connection that it
///   uses.
pub(super) struct Pool {
    connector: Connector,
    path: Uri,
    idle_timeout: Duration,
    max_idle: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one that came back first stands first, so it is also the first to expire.
    idle: Vec<Idle>,
    /// Requests that have found no connection. Who waited longest gets the next one.
    waiting: VecDeque<oneshot::Sender<Sender>>,
    sweeper: Option<AbortHandle>,
}

struct Idle {
    sender: Sender,
    since: Instant,
}

impl Pool {
    pub(super) fn new(
        connector: Connector,
        to: &Uri,
        idle_timeout: Duration,
        max_idle: usize,
    ) -> Arc<Self> {
        let path = to.path_and_query().cloned();
        Arc::new(Self {
            connector,
            path: Uri::from(path.unwrap_or(PathAndQuery::from_static("/"))),
            idle_timeout,
            max_idle,
            state: Mutex::default(),
        })
    }

    /// Sends the request, with the path and query of the pool's URL, and brings the response's
    /// head. Its connection comes back when the body has been read; if the body is dropped before,
    /// it is closed.
    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TransportError> {
        request.uri_mut().clone_from(&self.path);
        let mut stale = 0;
        loop {
            let reused = if stale < STALE { self.take() } else { None };
            let (mut sender, is_new) = match reused {
                Some(sender) => (sender, false),
                // Boxed, since it is rare and its state is large.
                None if stale < STALE => Box::pin(self.wait_or_connect()).await?,
                None => (self.connect().await?, true),
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.give_back(sender);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => {
                        request = unsent;
                        stale += 1;
                    }
                    _ => return Err(classify(&error.into_error(), false)),
                },
            }
        }
    }

    /// The connection that was used last, if it is open.
    fn take(&self) -> Option<Sender> {
        let now = Instant::now();
        let mut state = self.lock();
        while let Some(Idle { sender, since }) = state.idle.pop() {
            if now.duration_since(since) >= self.idle_timeout {
                // Those before it have been here for longer.
                state.idle.clear();
            } else if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// A new connection, or one that comes back earlier; and whether it is a new one.
    async fn wait_or_connect(self: &Arc<Self>) -> Result<(Sender, bool), TransportError> {
        if !self.keeps() {
            return Ok((self.connect().await?, true));
        }
        // A connection whose response was just read comes back through a task of its own. Without
        // its turn, the request that follows would open another one.
        yield_now().await;
        if let Some(sender) = self.take() {
            return Ok((sender, false));
        }
        let mut turn = Turn::new(self);
        let mut connecting = self.connect();
        tokio::select! {
            biased;
            Ok(sender) = &mut turn.receiver => {
                // To give it up half-made might go on for ever, one for each request.
                let pool = Arc::downgrade(self);
                tokio::spawn(async move {
                    if let Ok(sender) = connecting.await && let Some(pool) = pool.upgrade() {
                        pool.put(sender);
                    }
                });
                Ok((sender, false))
            }
            sender = &mut connecting => Ok((sender?, true)),
        }
    }

    fn connect(&self) -> Connecting {
        let mut connector = self.connector.clone();
        Box::pin(async move {
            let connection = async {
                poll_fn(|cx| connector.poll_ready(cx)).await?;
                connector.call(Uri::default()).await
            };
            let stream = connection.await.map_err(|error| classify(&*error, true))?;
            let failed = |error| classify(&error, false);
            let (mut sender, connection) = handshake(stream).await.map_err(failed)?;
            let (failing, failure) = oneshot::channel();
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    let _nobody_waits = failing.send(error);
                }
            });
            match sender.ready().await {
                Ok(()) => Ok(sender),
                // That it is closed is all that the sender knows; why, the connection does.
                Err(closed) => Err(failed(failure.await.unwrap_or(closed))),
            }
        })
    }

    /// Puts it back when it is ready for another request: most often at once.
    fn give_back(self: &Arc<Self>, mut sender: Sender) {
        if sender.is_ready() {
            return self.put(sender);
        }
        if sender.is_closed() || !self.keeps() {
            return;
        }
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            if sender.ready().await.is_ok()
                && let Some(pool) = pool.upgrade()
            {
                pool.put(sender);
            }
        });
    }

    fn put(self: &Arc<Self>, mut sender: Sender) {
        if !self.keeps() {
            return;
        }
        let since = Instant::now();
        let mut state = self.lock();
        while let Some(waiting) = state.waiting.pop_front() {
            match waiting.send(sender) {
                Ok(()) => return,
                Err(unwanted) => sender = unwanted,
            }
        }
        if state.idle.len() >= self.max_idle {
            state.idle.retain(|idle| !idle.sender.is_closed());
            if state.idle.len() >= self.max_idle {
                return;
            }
        }
        state.idle.push(Idle { sender, since });
        // Finished also if the runtime that it was started on is gone.
        if state.sweeper.as_ref().is_none_or(AbortHandle::is_finished)
            && let Ok(runtime) = Handle::try_current()
        {
            let sweep = sweep(Arc::downgrade(self), since + self.idle_timeout);
            state.sweeper = Some(runtime.spawn(sweep).abort_handle());
        }
    }

    /// Closes what has been unused for too long; says when to come again, if there is more.
    fn expire(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let expired = (state.idle.iter())
            .take_while(|idle| now.duration_since(idle.since) >= self.idle_timeout)
            .count();
        state.idle.drain(..expired);
        let next = state.idle.first().map(|idle| idle.since);
        if next.is_none() {
            state.sweeper = None;
        }
        next.map(|since| since + self.idle_timeout)
    }

    fn keeps(&self) -> bool {
        self.max_idle > 0 && !self.idle_timeout.is_zero()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(sweeper) = &self.lock().sweeper {
            sweeper.abort();
        }
    }
}

/// Closes unused connections also when there are no requests.
async fn sweep(pool: Weak<Pool>, mut due: Instant) {
    loop {
        sleep_until(due).await;
        match pool.upgrade().and_then(|pool| pool.expire()) {
            Some(next) => due = next,
            None => return,
        }
    }
}

/// A place among those that wait for a connection.
struct Turn<'a> {
    pool: &'a Arc<Pool>,
    receiver: oneshot::Receiver<Sender>,
}

impl<'a> Turn<'a> {
    fn new(pool: &'a Arc<Pool>) -> Self {
        let (sender, receiver) = oneshot::channel();
        let mut state = pool.lock();
        // As long as no connection comes about, nobody else removes those that gave up.
        state.waiting.retain(|waiting| !waiting.is_closed());
        state.waiting.push_back(sender);
        Self { pool, receiver }
    }
}

impl Drop for Turn<'_> {
    /// A connection that came too late is for somebody else.
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(sender) = self.receiver.try_recv() {
            self.pool.put(sender);
        }
    }
}
