//! The web server: the endpoint's URL, and the page that shows what happens.

use std::{convert::Infallible, io, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{
        Html, IntoResponse, Response, Sse,
        sse::{Event as Message, KeepAlive},
    },
    routing::{get, post},
    serve::ListenerExt,
};
use bytes::Bytes;
use eventlane_example_room::{
    faults::Behaviour,
    page::{POLICY, complete},
};
use futures_util::{Stream, StreamExt};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;

use crate::{endpoint::Endpoint, snapshot::Snapshot};

#[derive(Clone)]
struct Shared {
    endpoint: Arc<Endpoint>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
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
    let page = complete(include_str!("page.html"));
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page))
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
