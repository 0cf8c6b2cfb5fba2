//! `/healthz`, `/readyz` and `/metrics`.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::status::{Statuses, Told};

/// From a fast endpoint to a slow one.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
const EVENTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// How often metrics that nobody asks for are put away.
const UPKEEP: Duration = Duration::from_secs(5);

/// Collects what the library measures, from now on.
///
/// # Errors
/// If somebody else does so already.
pub fn record() -> Result<PrometheusHandle, String> {
    use eventlane::metrics as names;
    let buckets = [
        (names::SEND_SECONDS, SECONDS),
        (names::SETTLE_SECONDS, SECONDS),
        (names::BATCH_EVENTS, EVENTS),
    ];
    let mut builder = PrometheusBuilder::new();
    for (name, bounds) in buckets {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)
            .map_err(|error| error.to_string())?;
    }
    let recorder = builder
        .install_recorder()
        .map_err(|error| error.to_string())?;
    let upkeep = recorder.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(recorder)
}

#[derive(Clone)]
struct Shared {
    statuses: Statuses,
    metrics: PrometheusHandle,
    stopping: CancellationToken,
}

/// Serves until the process ends. `stopping` takes readiness away.
///
/// # Errors
/// If the address can't be had.
pub async fn serve(
    address: SocketAddr,
    statuses: Statuses,
    metrics: PrometheusHandle,
    stopping: CancellationToken,
) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    info!(%address, "health and metrics: /healthz, /readyz, /metrics");
    let router = Router::new()
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .route("/metrics", get(render))
        .with_state(Shared {
            statuses,
            metrics,
            stopping,
        });
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

/// 200 unless a pipeline has failed: then a restart may help.
async fn health(State(shared): State<Shared>) -> Response {
    let told = shared.statuses.told();
    let healthy = told.iter().all(|told| told.phase != "failed");
    answer(healthy, &told)
}

/// 200 as long as every pipeline carries messages. A pipeline that has ended as it was told to
/// (`idle_timeout`) is none of it any more.
async fn readiness(State(shared): State<Shared>) -> Response {
    let told = shared.statuses.told();
    let mut running = told
        .iter()
        .filter(|told| told.phase != "stopped")
        .peekable();
    let ready = running.peek().is_some() && running.all(|told| told.ready);
    answer(ready && !shared.stopping.is_cancelled(), &told)
}

fn answer(good: bool, told: &[Told]) -> Response {
    let status = match good {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = serde_json::to_string(told).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn render(State(shared): State<Shared>) -> Response {
    let text = "text/plain; version=0.0.4; charset=utf-8";
    let body = shared.metrics.render();
    ([(header::CONTENT_TYPE, text)], body).into_response()
}
