//! `display`: an endpoint that shows what it is sent, for finding out what a pipeline delivers.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        Html, IntoResponse, Sse,
        sse::{Event as Message, KeepAlive},
    },
    routing::{get, post},
};
use bytes::Bytes;
use eventlane::{
    Event,
    event::{
        http::{self as binding, Message as Received},
        json,
    },
};
use futures_util::{Stream, StreamExt, stream};
use tokio::{net::TcpListener, sync::broadcast};
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;

/// How many events the page shows to somebody who comes later.
const KEPT: usize = 200;
const LARGEST: usize = 8 << 20;

const PAGE: &str = include_str!("display.html");
/// The page needs nothing but itself, and what is delivered must not act in it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
     frame-ancestors 'none'",
);

/// How it answers, and what else it does.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The status that events are answered.
    pub status: StatusCode,
    /// Whether each event is also printed, as a line of JSON.
    pub print: bool,
}

#[derive(Debug)]
struct Shown {
    kept: Mutex<VecDeque<Arc<str>>>,
    news: broadcast::Sender<Arc<str>>,
    options: Options,
}

impl Shown {
    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<str>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, event: &Event) {
        let mut line = Vec::new();
        json::write_line(event, &mut line);
        let line: Arc<str> = String::from_utf8_lossy(line.trim_ascii_end()).into();
        if self.options.print {
            println!("{line}");
        }
        let mut kept = self.kept();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&line));
        // Nobody may be looking.
        self.news.send(line).ok();
    }
}

/// Listens, and serves until `stop`. `ready` is told the address.
///
/// # Errors
/// If the address can't be had, or the server fails.
pub async fn serve(
    address: SocketAddr,
    options: Options,
    stop: CancellationToken,
    ready: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let shown = Arc::new(Shown {
        kept: Mutex::default(),
        news: broadcast::Sender::new(KEPT),
        options,
    });
    let router = Router::new()
        .route("/", get(page).post(receive))
        .route("/shown", get(events))
        .route("/{*path}", post(receive))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(shown);
    let listener = TcpListener::bind(address).await?;
    ready(listener.local_addr()?);
    // Pages that are open would keep a graceful end waiting.
    tokio::select! {
        served = axum::serve(listener, router) => served,
        () = stop.cancelled() => Ok(()),
    }
}

async fn page() -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE))
}

/// What is kept, then what comes.
async fn events(
    State(shown): State<Arc<Shown>>,
) -> Sse<impl Stream<Item = Result<Message, Infallible>>> {
    let (kept, news) = {
        let kept = shown.kept();
        (Vec::from_iter(kept.iter().cloned()), shown.news.subscribe())
    };
    // Whoever is too slow misses some.
    let news = BroadcastStream::new(news).filter_map(async |line| line.ok());
    let lines = stream::iter(kept).chain(news);
    Sse::new(lines.map(|line| Ok(Message::default().data(&*line)))).keep_alive(KeepAlive::default())
}

async fn receive(
    State(shown): State<Arc<Shown>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    match binding::read(&headers, body) {
        Ok(Received::One(event)) => shown.show(&event),
        Ok(Received::Batch(events)) => events.iter().for_each(|event| shown.show(event)),
        Ok(Received::NotCloudEvent(_)) => {
            return (StatusCode::BAD_REQUEST, "not a CloudEvent\n".to_owned());
        }
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
    (shown.options.status, String::new())
}
