//! The web server: the scoring service, the endpoint of the results, and the page that shows what
//! happens.

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

use crate::snapshot::{Scene, Snapshot};

#[derive(Clone)]
struct Shared {
    scene: Scene,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

/// Serves until `stop`, then until the requests under way are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    scene: Scene,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    stop: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/", get(page))
        .route("/snapshots", get(snapshots_as_they_come))
        .route("/behaviour", post(behave))
        .route("/surge", post(surge))
        .route("/kill", post(kill))
        .route("/score", post(score))
        .route("/results", post(result))
        .layer(DefaultBodyLimit::max(64 << 10))
        .with_state(Shared { scene, snapshots });
    let listener = listener.tap_io(|stream| {
        // Without it small answers wait for others to come along; if it can't be had, they do.
        stream.set_nodelay(true).ok();
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn page() -> impl IntoResponse {
    let page =
        complete(include_str!("page.html")).replace("{{own script}}", include_str!("page.js"));
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
    shared.scene.front.faults.behave(behaviour);
    StatusCode::NO_CONTENT
}

async fn surge(State(shared): State<Shared>) -> StatusCode {
    shared.scene.stream.surge();
    StatusCode::NO_CONTENT
}

async fn kill(State(shared): State<Shared>) -> StatusCode {
    shared.scene.fleet.kill_one();
    StatusCode::NO_CONTENT
}

async fn score(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    shared.scene.front.receive(headers, body).await
}

async fn result(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    shared.scene.results.receive(&headers, body)
}
