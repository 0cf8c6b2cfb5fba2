//! The web server: the endpoint's URL, and the page that shows what happens.

use std::{convert::Infallible, io, net::Ipv4Addr, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        Html, IntoResponse, Response, Sse,
        sse::{Event as Message, KeepAlive},
    },
    routing::{get, post},
    serve::ListenerExt,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;

use crate::{
    endpoint::{Behaviour, Endpoint},
    snapshot::Snapshot,
};

/// How many ports are tried.
const PORTS: u16 = 50;

const PAGE: &str = include_str!("page.html");
/// The page needs nothing but itself, and nobody needs to show it in a frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
     img-src data:; frame-ancestors 'none'",
);

#[derive(Clone)]
struct Shared {
    endpoint: Arc<Endpoint>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

/// Listens on a port of this machine, or on the next one that is free.
///
/// # Errors
/// If none can be had, or for another reason than that they are in use.
pub(crate) async fn listen(port: u16) -> Result<TcpListener, String> {
    let ports = match port {
        0 => 0..=0,
        _ => port..=port.saturating_add(PORTS - 1),
    };
    for port in ports.clone() {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(format!("can't listen on 127.0.0.1:{port}: {error}")),
        }
    }
    let (first, last) = ports.into_inner();
    Err(format!(
        "the ports {first} to {last} are all in use: choose another one with --port"
    ))
}

/// Serves until `stop`, then until the requests under way are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    stop: CancellationToken,
) -> io::Result<()> {
    let shared = Shared {
        endpoint,
        snapshots,
    };
    let router = Router::new()
        .route("/", get(page))
        .route("/snapshots", get(snapshots_as_they_come))
        .route("/behaviour", post(behave))
        .route("/events", post(receive))
        .layer(DefaultBodyLimit::max(64 << 10))
        .with_state(shared);
    let listener = listener.tap_io(|stream| {
        // Without it small answers wait for others to come along; if it can't be had, they do.
        stream.set_nodelay(true).ok();
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn page() -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE))
}

async fn snapshots_as_they_come(
    State(shared): State<Shared>,
) -> Sse<impl Stream<Item = Result<Message, Infallible>>> {
    let messages = WatchStream::new(shared.snapshots)
        .filter_map(async |snapshot| Message::default().json_data(&*snapshot).ok().map(Ok));
    Sse::new(messages).keep_alive(KeepAlive::default())
}

async fn behave(State(shared): State<Shared>, Json(behaviour): Json<Behaviour>) -> StatusCode {
    shared.endpoint.behave(behaviour);
    StatusCode::NO_CONTENT
}

async fn receive(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    shared.endpoint.receive(&headers, body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_gives_the_next_one() {
        let first = listen(0).await.unwrap();
        let taken = first.local_addr().unwrap().port();
        let second = listen(taken).await.unwrap();
        assert!(second.local_addr().unwrap().port() > taken);
    }

    #[tokio::test]
    async fn the_last_port_is_the_end() {
        let last = listen(u16::MAX).await;
        let error = listen(u16::MAX).await.unwrap_err();
        // Somebody else may have it, which is as good.
        drop(last);
        assert_eq!(
            error,
            "the ports 65535 to 65535 are all in use: choose another one with --port"
        );
    }
}
