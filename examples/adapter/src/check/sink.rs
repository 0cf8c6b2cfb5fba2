//! Whether the endpoint answers.

use std::time::Duration;

use eventlane::{
    Error, ErrorKind,
    sink::{HttpSink, HttpSinkConfig},
};
use tokio::time::timeout;

use super::Found;

/// Beyond the time that the connection may take.
const ANSWER: Duration = Duration::from_secs(10);

pub(super) async fn check(config: &HttpSinkConfig) -> Found {
    let sink = HttpSink::new(config.clone())?;
    let limit = config.connect_timeout + ANSWER;
    let Ok(probed) = timeout(limit, sink.probe()).await else {
        let reason = format!("no answer within {} s", limit.as_secs_f64());
        let error = Error::new(ErrorKind::Unavailable, "probe HTTP sink", reason);
        return Err(error.with_context("url", sink.url()));
    };
    let status = probed?;
    if status.is_server_error() && status.as_u16() != 501 {
        let reason = format!("the endpoint answers {status}");
        let error = Error::new(ErrorKind::Unavailable, "probe HTTP sink", reason);
        return Err(error.with_context("url", sink.url()));
    }
    // What it says of OPTIONS is not what it says of events.
    Ok(format!(
        "{} answers ({} to OPTIONS)",
        sink.url(),
        status.as_u16()
    ))
}
