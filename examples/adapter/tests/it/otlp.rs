//! Traces by OTLP, at a collector that keeps what it is sent.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use eventlane_testkit::{
    CheckingSink, Process, eventually,
    sink::{Answer, Faults},
};

use crate::{
    fakes::serve,
    support::{Files, LIMIT, broker, command, pipeline},
};

/// The exports that came: their media types, and what is text in them.
type Exports = Arc<Mutex<Vec<(String, String)>>>;

async fn take(State(exports): State<Exports>, headers: HeaderMap, body: Bytes) {
    let media = headers["content-type"].to_str().unwrap().to_owned();
    let text = String::from_utf8_lossy(&body).into_owned();
    exports.lock().unwrap().push((media, text));
}

#[test]
fn each_attempt_is_a_span() {
    let exports = Exports::default();
    let router = Router::new().route("/v1/traces", post(take));
    let collector = format!("http://{}", serve(router.with_state(Arc::clone(&exports))));
    let (topic, files) = (broker().topic(1), Files::new());
    let sink = CheckingSink::start(Faults::default());
    sink.set(|faults| faults.next.push_back(Answer::Status(503)));
    broker().produce(&topic, &["a"], 0..1);
    let config = format!(
        "pipelines:\n{}",
        pipeline("orders", &topic, &sink.url(), "")
    );
    let mut command = command(["run", "--log-format", "text", "--listen", "127.0.0.1:0"]);
    command.arg(files.write("adapter.yaml", &config));
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector);
    let process = Process::spawn(command);
    sink.wait(LIMIT, |report| report.distinct == 1);
    // What has not been sent by then is sent at the end.
    process.signal("TERM");
    process.succeed(LIMIT);

    let texts = eventually(LIMIT, "both attempts", || {
        let exports = exports.lock().unwrap();
        let texts: String = exports.iter().map(|(_, text)| text.as_str()).collect();
        (texts.matches("attempt").count() >= 2).then_some(texts)
    });
    assert!(
        exports
            .lock()
            .unwrap()
            .iter()
            .all(|(media, _)| media == "application/x-protobuf")
    );
    for said in [
        "service.name",
        "eventlane-adapter",
        "pipeline",
        "orders",
        "partition:0/offset:0",
    ] {
        assert!(texts.contains(said), "{said} in {texts}");
    }
}
