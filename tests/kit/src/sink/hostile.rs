//! The endpoint that answers what no server should.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Faults, Report,
    act::{Act, Then, When},
    check::{Plan, State},
    message,
};

/// An HTTP/1.1 endpoint that checks like [`CheckingSink`](super::CheckingSink), answers some
/// requests as it is told to, byte for byte, can be restarted under its address, and can vanish.
#[derive(Debug)]
pub struct HostileSink {
    address: SocketAddr,
    network: watch::Sender<Network>,
    shared: Arc<Shared>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Network {
    down: bool,
    /// Connections of earlier ones are dead, and nobody has told their clients.
    generation: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<Hostile>,
    changed: Condvar,
}

#[derive(Debug)]
struct Hostile {
    check: State,
    acts: Vec<Act>,
    every: u64,
    /// Of requests, and of connections.
    turns: [u64; 2],
    played: BTreeMap<&'static str, u64>,
    unconfirmed: u64,
}

impl HostileSink {
    /// An endpoint on a free port, at first a good one, whose requests take so long.
    pub fn start(delay: Range<Duration>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("sink: a free port");
        listener
            .set_nonblocking(true)
            .expect("a listener can be made non-blocking");
        let address = listener.local_addr().expect("a listener has an address");
        let (network, state) = watch::channel(Network::default());
        let faults = Faults {
            delay,
            ..Faults::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(Hostile {
                check: State::new(faults),
                acts: Vec::new(),
                every: 1,
                turns: [0, 0],
                played: BTreeMap::new(),
                unconfirmed: 0,
            }),
            changed: Condvar::new(),
        });
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("sink: runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("sink: listener");
                serve(listener, served, state).await;
            });
        });
        Self {
            address,
            network,
            shared,
        }
    }

    /// Where it is: `http://127.0.0.1:40123/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, every so many requests one is dealt with by the next of these acts. None of
    /// them: a good endpoint again.
    pub fn play(&self, acts: Vec<Act>, every: u64) {
        let mut state = self.shared.lock();
        (state.acts, state.every) = (acts, every.max(1));
    }

    /// Closes the port and every connection.
    pub fn go_down(&self) {
        self.network.send_modify(|network| network.down = true);
    }

    /// Opens the port again.
    pub fn come_up(&self) {
        self.network.send_modify(|network| network.down = false);
    }

    /// Leaves all connections of this moment as a machine does that loses its power: they are
    /// never closed, and nobody reads or writes there any more. New ones are served.
    pub fn vanish(&self) {
        self.network.send_modify(|network| network.generation += 1);
    }

    /// What it has seen so far.
    pub fn report(&self) -> Report {
        self.shared.lock().check.report.clone()
    }

    /// How many requests it has taken without a good answer, or with one that came too late for a
    /// client: each of them may come again, once. A client that ends counts, too: ask before that.
    pub fn unconfirmed(&self) -> u64 {
        self.shared.lock().unconfirmed
    }

    /// How often each act was played.
    pub fn played(&self) -> BTreeMap<&'static str, u64> {
        self.shared.lock().played.clone()
    }

    /// How many events it has taken between two instants, again or not; up to 10 ms more each way.
    pub fn taken_between(&self, from: Instant, to: Instant) -> u64 {
        self.shared.lock().check.pace.between(from, to)
    }

    /// Which of a key's first `count` events have not been taken.
    pub fn missing(&self, key: &str, count: u64) -> Vec<u64> {
        self.shared.lock().check.missing(key, count)
    }

    /// Waits until what it has seen satisfies `done`. Blocks the thread; panics after `limit`.
    pub fn wait(&self, limit: Duration, done: impl Fn(&Report) -> bool) {
        let state = self.shared.lock();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, limit, |state| !done(&state.check.report));
        let (state, timeout) = waited.expect("no holder panics");
        let report = state.check.report.clone();
        drop(state);
        assert!(!timeout.timed_out(), "not within {limit:?}: {report:#?}");
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Hostile> {
        self.state.lock().expect("no holder panics")
    }

    /// The act for a connection that was accepted, or for a request that begins.
    fn act(&self, accepted: bool) -> Option<Act> {
        let mut state = self.lock();
        let acts: Vec<_> = (state.acts.iter())
            .filter(|act| (act.when == When::Accepted) == accepted)
            .cloned()
            .collect();
        // Connections are few.
        let every = if accepted { 2 } else { state.every };
        let turn = state.turns[usize::from(accepted)];
        let last = acts.len().checked_sub(1)?;
        state.turns[usize::from(accepted)] += 1;
        if !turn.is_multiple_of(every) {
            return None;
        }
        let act = acts.into_iter().nth((turn / every) as usize % (last + 1))?;
        *state.played.entry(act.name).or_default() += 1;
        Some(act)
    }
}

/// A request as long as it is dealt with; ends also with its connection.
struct Pending<'a> {
    plan: Plan,
    shared: &'a Shared,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.shared.lock().check.leave(&self.plan);
        self.shared.changed.notify_all();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, mut network: watch::Receiver<Network>) {
    let address = listener.local_addr().expect("a listener has an address");
    let mut listener = Some(listener);
    let connections_network = network.clone();
    loop {
        let bound = match listener.take() {
            Some(listener) => listener,
            None => bind(address).await,
        };
        let mut connections = JoinSet::new();
        let gone = loop {
            tokio::select! {
                accepted = bound.accept() => if let Ok((stream, _)) = accepted {
                    let (shared, network) = (Arc::clone(&shared), connections_network.clone());
                    connections.spawn(live(stream, shared, network));
                },
                Some(_) = connections.join_next() => {}
                changed = network.wait_for(|network| network.down) => break changed.is_err(),
            }
        };
        drop((bound, connections));
        if gone || network.wait_for(|network| !network.down).await.is_err() {
            return;
        }
    }
}

/// Another process may have used the port meanwhile for a moment, as its own end of a connection.
async fn bind(address: SocketAddr) -> TcpListener {
    for _ in 0..500 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("sink: {address} is in use by somebody else");
}

/// A connection until it vanishes, and after that.
async fn live(mut stream: TcpStream, shared: Arc<Shared>, mut network: watch::Receiver<Network>) {
    let born = network.borrow().generation;
    // What is closed from here is reset, as by a process that dies.
    if stream.set_nodelay(true).is_err() || stream.set_zero_linger().is_err() {
        return;
    }
    tokio::select! {
        () = connection(&mut stream, &shared) => return,
        vanished = network.wait_for(|network| network.generation != born) => if vanished.is_err() {
            return;
        },
    }
    std::future::pending::<()>().await;
}

async fn connection(stream: &mut TcpStream, shared: &Shared) {
    if let Some(act) = shared.act(true)
        && !perform(stream, act).await
    {
        return;
    }
    let mut buffer = Vec::with_capacity(16 * 1024);
    let mut answered = None;
    loop {
        if buffer.is_empty() && !matches!(stream.peek(&mut [0]).await, Ok(1)) {
            // Clients keep a connection for longer than this, unless the answer came too late for them.
            if answered.is_some_and(|at: Instant| at.elapsed() < LATE) {
                shared.lock().unconfirmed += 1;
            }
            return;
        }
        let act = shared.act(false);
        if let Some(act) = &act
            && act.when == When::Begun
        {
            perform(stream, act.clone()).await;
            return;
        }
        let Some(plan) = read(stream, &mut buffer, shared).await else {
            return;
        };
        let is_good = act.is_none();
        let act = act.unwrap_or_else(good);
        let pending = Pending { plan, shared };
        sleep(pending.plan.delay).await;
        let takes = act.when == When::Taken;
        if takes {
            let mut state = shared.lock();
            state.check.answered(&pending.plan, 204);
            state.unconfirmed += u64::from(!act.confirms);
        }
        drop(pending);
        // Nothing is awaited between taking and the beginning of an answer: a connection that goes
        // down has answered all that it has taken.
        let (confirms, says) = (act.confirms, act.says.clone());
        if stream.write_all(&says).await.is_err() {
            shared.lock().unconfirmed += u64::from(takes && confirms);
            return;
        }
        if !go_on(stream, act.then).await {
            return;
        }
        answered = is_good.then(Instant::now);
    }
}

/// An answer after which a client closes the connection within this time has come too late for it.
const LATE: Duration = Duration::from_secs(5);

fn good() -> Act {
    Act::taken("", "HTTP/1.1 204 No Content\r\n\r\n", Then::Next).confirming()
}

/// Whether there is to be a next request.
async fn perform(stream: &mut TcpStream, act: Act) -> bool {
    stream.write_all(&act.says).await.is_ok() && go_on(stream, act.then).await
}

async fn go_on(stream: &mut TcpStream, then: Then) -> bool {
    match then {
        Then::Next => return true,
        Then::Reset => {}
        Then::Close => close(stream).await,
        Then::Hang => while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {},
        Then::Flood(what) => while stream.write_all(&what).await.is_ok() {},
        Then::Trickle(what, every) => {
            while stream.write_all(&what).await.is_ok() {
                sleep(every).await;
            }
        }
        Then::Later(what, after) => {
            sleep(after).await;
            if stream.write_all(&what).await.is_ok() {
                close(stream).await;
            }
        }
    }
    false
}

/// Ends in order, and not with a reset that could overtake what was said.
async fn close(stream: &mut TcpStream) {
    if stream.shutdown().await.is_ok() {
        let rest = async { while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {} };
        // A client need not close at once.
        drop(tokio::time::timeout(Duration::from_secs(5), rest).await);
    }
}

/// The next request, and the plan that the check has for it. `None` at the end of the connection.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>, shared: &Shared) -> Option<Plan> {
    let (headers, path, head, body) = loop {
        if let Some(head) = parse(buffer) {
            break head;
        }
        match stream.read_buf(buffer).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return None,
        }
    };
    while buffer.len() < head + body {
        if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
            return None;
        }
    }
    let messages = message::parse(&headers, &buffer[head..][..body], false);
    buffer.drain(..head + body);
    let mut state = shared.lock();
    match messages {
        Ok(messages) => Some(state.check.arrive(&path, messages)),
        Err(reason) => {
            state.check.report.invalid += 1;
            state
                .check
                .report
                .defect(|| format!("invalid request: {reason}"));
            None
        }
    }
}

/// Headers, path, length of the head, length of the body; `None` as long as the head is not whole.
fn parse(buffer: &[u8]) -> Option<(HeaderMap, String, usize, usize)> {
    let mut parsed = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut parsed);
    let httparse::Status::Complete(head) = request.parse(buffer).expect("sink: a request") else {
        return None;
    };
    let headers: HeaderMap = (request.headers.iter())
        .map(|header| {
            let name = HeaderName::from_bytes(header.name.as_bytes()).expect("a name");
            (
                name,
                HeaderValue::from_bytes(header.value).expect("a value"),
            )
        })
        .collect();
    let body = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    Some((headers, request.path?.to_owned(), head, body))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn post(sink: &HostileSink, seq: u64) -> TcpStream {
        let mut stream = TcpStream::connect(sink.address()).unwrap();
        send(&mut stream, seq);
        stream
    }

    fn send(stream: &mut TcpStream, seq: u64) {
        let body = format!(r#"{{"key":"a","seq":{seq}}}"#);
        let head =
            "POST / HTTP/1.1\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /\r\nce-type: t\r\n";
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
    }

    fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        drop(stream.read_to_string(&mut text));
        text
    }

    #[test]
    fn says_what_it_is_told_and_counts_what_it_takes() {
        let sink = HostileSink::start(Duration::ZERO..Duration::ZERO);
        let acts = [
            Act::taken("garbage", "garbage", Then::Close),
            Act::taken("busy", "HTTP/1.1 503 No\r\n\r\n", Then::Close).when(When::Refused),
            Act::taken("early", "HTTP/1.1 408 Slow\r\n\r\n", Then::Close).when(When::Begun),
            Act::taken(
                "torn",
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
                Then::Reset,
            )
            .confirming(),
        ];
        sink.play(acts.into(), 1);
        let said: Vec<_> = (0..4).map(|seq| rest(post(&sink, seq))).collect();
        assert_eq!(said[0], "garbage");
        assert!(said[1].contains("503") && said[2].contains("408") && said[3].contains("200"));
        let seen = sink.report();
        assert_eq!(
            (seen.distinct, seen.requests, sink.unconfirmed()),
            (2, 3, 1)
        );
        assert_eq!(sink.played().values().sum::<u64>(), 4);
    }

    #[test]
    fn goes_down_comes_up_and_vanishes() {
        let sink = HostileSink::start(Duration::ZERO..Duration::ZERO);
        let mut first = post(&sink, 0);
        sink.wait(LIMIT, |seen| seen.distinct == 1);
        sink.vanish();
        let second = post(&sink, 1);
        sink.wait(LIMIT, |seen| seen.distinct == 2);
        // It goes on with a new connection, and says nothing on the old one, not even goodbye.
        send(&mut first, 2);
        first
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let mut answer = [0; 100];
        let read = first.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 204"));
        assert!(first.read(&mut answer).is_err());
        sink.go_down();
        assert!(rest(second).starts_with("HTTP/1.1 204"));
        crate::eventually(LIMIT, "refused", || {
            TcpStream::connect(sink.address()).err()
        });
        sink.come_up();
        crate::eventually(LIMIT, "back", || TcpStream::connect(sink.address()).ok());
        drop(post(&sink, 2));
        sink.wait(LIMIT, |seen| seen.distinct == 3);
    }
}
