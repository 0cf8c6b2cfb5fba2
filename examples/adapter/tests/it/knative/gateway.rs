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
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use crate::support::LIMIT;

/// What came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) at: Instant,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
    /// When the other side had waited long enough for [`Answer::never`].
    pub(super) given_up: Option<Instant>,
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
    never: bool,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            headers: "",
            body: b"",
            after: Duration::ZERO,
            never: false,
        }
    }

    /// None, for as long as the other side waits.
    pub(super) fn never() -> Self {
        Self {
            never: true,
            ..Self::new(0)
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
    scheme: &'static str,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Gateway {
    pub(super) fn start() -> Self {
        Self::accept("http", |stream| stream)
    }

    /// With this certificate and key. What comes without TLS is not answered.
    pub(super) fn start_tls(
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        let config = Arc::new(config.unwrap());
        Self::accept("https", move |stream| {
            let server = ServerConnection::new(Arc::clone(&config)).unwrap();
            StreamOwned::new(server, stream)
        })
    }

    fn accept<S: Read + Write>(
        scheme: &'static str,
        open: impl Fn(TcpStream) -> S + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (open, state) = (open.clone(), Arc::clone(&accepting));
                thread::spawn(move || serve(open(stream), &state));
            }
        });
        Self {
            scheme,
            address,
            state,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
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
fn serve(stream: impl Read + Write, state: &Mutex<State>) -> Option<()> {
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
            given_up: None,
        };
        let (number, answer) = {
            let mut state = state.lock().unwrap();
            let requests = state.requests.entry(path.clone()).or_default();
            let (number, body) = (requests.len(), request.body.clone());
            requests.push(request);
            let answers = state.answers.get(&path);
            let answer = answers.map_or_else(|| Answer::new(204), |answers| answers(number, &body));
            (number, answer)
        };
        if answer.never {
            let end = reader.fill_buf().map_or(0, <[u8]>::len);
            assert_eq!(end, 0, "nothing comes before the answer");
            let mut state = state.lock().unwrap();
            state.requests.get_mut(&path)?[number].given_up = Some(Instant::now());
            return None;
        }
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
        let writer = reader.get_mut();
        writer.write_all(&[head.as_bytes(), body].concat()).ok()?;
        writer.flush().ok()?;
    }
}
