//! An HTTP endpoint that answers as it is told and keeps everything that came.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use eventlane_testkit::eventually;
use tokio::time::Instant;

use crate::support::LIMIT;

/// What came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) at: Instant,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    }
}

/// What the n-th request to a path gets, from 0, and one with such a body.
type Answers = Box<dyn Fn(usize, &str) -> Answer + Send>;

#[derive(Clone, Debug)]
pub(super) struct Answer {
    status: u16,
    headers: &'static str,
    body: &'static [u8],
    after: Duration,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            headers: "",
            body: b"",
            after: Duration::ZERO,
        }
    }

    /// With further headers, each with its end of line.
    pub(super) fn with(mut self, headers: &'static str, body: &'static [u8]) -> Self {
        (self.headers, self.body) = (headers, body);
        self
    }

    pub(super) fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }
}

#[derive(Default)]
struct State {
    requests: HashMap<String, Vec<Request>>,
    answers: HashMap<String, Answers>,
}

/// Answers 204 to whatever has no other answer.
pub(super) struct Gateway {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Gateway {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&accepting);
                thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address, state }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn answer(
        &self,
        path: &str,
        answers: impl Fn(usize, &str) -> Answer + Send + 'static,
    ) {
        let mut state = self.state.lock().unwrap();
        state.answers.insert(path.to_owned(), Box::new(answers));
    }

    pub(super) fn requests(&self, path: &str) -> Vec<Request> {
        let state = self.state.lock().unwrap();
        state.requests.get(path).cloned().unwrap_or_default()
    }

    /// Waits until so many requests have come to a path.
    pub(super) fn wait(&self, path: &str, count: usize) -> Vec<Request> {
        eventually(LIMIT, &format!("{count} requests to {path}"), || {
            let requests = self.requests(path);
            (requests.len() >= count).then_some(requests)
        })
    }
}

/// One connection, until the other side has enough.
fn serve(stream: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers
            .get("content-length")
            .map_or(Some(0), |length| length.parse().ok())?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let request = Request {
            at: Instant::now(),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let answer = {
            let mut state = state.lock().unwrap();
            let requests = state.requests.entry(path.clone()).or_default();
            let (number, body) = (requests.len(), request.body.clone());
            requests.push(request);
            let answers = state.answers.get(&path);
            answers.map_or_else(|| Answer::new(204), |answers| answers(number, &body))
        };
        thread::sleep(answer.after);
        let Answer {
            status,
            headers,
            body,
            ..
        } = answer;
        let length = match status {
            204 => String::new(),
            _ => format!("content-length: {}\r\n", body.len()),
        };
        let head = format!("HTTP/1.1 {status} Said\r\n{length}{headers}\r\n");
        let mut writer = stream;
        writer.write_all(&[head.as_bytes(), body].concat()).ok()?;
    }
}
