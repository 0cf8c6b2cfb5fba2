//! Health, metrics, readiness.

use std::{thread, time::Duration};

use eventlane_testkit::{
    CheckingSink, Kafka, Process, eventually,
    kafka::Options,
    sink::{Answer, Faults},
};
use tokio::time::Instant;

use crate::support::{Files, LIMIT, broker, get, logged, pipeline, run};

pub(crate) const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

pub(crate) fn readiness(process: &Process, status: u16, word: &str) {
    eventually(LIMIT, &format!("readiness {status}: {word}"), || {
        let (got, body) = get(process, "/readyz");
        (got == status && body.contains(word)).then_some(())
    });
}

/// What a metric's line says that has all of this in it.
fn metric(process: &Process, words: &[&str]) -> Option<f64> {
    let (status, body) = get(process, "/metrics");
    assert_eq!(status, 200);
    let line = body
        .lines()
        .find(|line| words.iter().all(|word| line.contains(word)))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn readiness_follows_the_destination() {
    let (topic, files) = (broker().topic(1), Files::new());
    let sink = CheckingSink::start(Faults::default());
    let retry = "retry: {attempts: null, initial: 50ms, max: 200ms, timeout: 2s}";
    let config = format!(
        "pipelines:\n{}",
        pipeline("orders", &topic, &sink.url(), retry)
    );
    let process = run(&files, &config, &LISTEN);
    readiness(&process, 200, "running");
    assert_eq!(get(&process, "/healthz").0, 200);

    // Everybody is refused.
    sink.set(|faults| faults.answer = Answer::Status(401));
    broker().produce(&topic, &["a"], 0..1);
    readiness(&process, 503, "refuses");
    sink.set(|faults| faults.answer = Answer::Accept);
    readiness(&process, 200, "running");

    // An event that is rejected, and waits, says nothing of the destination.
    sink.set(|faults| {
        faults.keys.insert("poison".to_owned(), Answer::Status(422));
    });
    broker().produce(&topic, &["poison"], 0..1);
    sink.wait(LIMIT, |report| report.status(422) > 0);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(12) {
        let (status, body) = get(&process, "/readyz");
        assert_eq!(status, 200, "{body}");
        thread::sleep(Duration::from_millis(200));
    }
    assert!(sink.report().status(422) > 3, "it is tried on");

    // Every lane is held, or in an attempt that hangs.
    sink.set(|faults| faults.answer = Answer::Stall);
    broker().produce(&topic, &["a", "b"], 1..2);
    readiness(&process, 503, "every lane is held: timeout");
    assert_eq!(get(&process, "/healthz").0, 200, "a restart would not help");
    sink.set(|faults| {
        faults.answer = Answer::Accept;
        faults.keys.clear();
    });
    readiness(&process, 200, "running");

    let delivered = ["eventlane_delivered_total", "orders"];
    eventually(LIMIT, "metrics", || {
        (metric(&process, &delivered)? == 4.0).then_some(())
    });
    let seconds = ["eventlane_send_seconds_bucket", "orders", "+Inf"];
    assert!(metric(&process, &seconds).unwrap() >= 4.0);
    process.signal("TERM");
    assert_eq!(process.wait(LIMIT).0.code(), Some(0));
}

#[test]
fn a_source_that_cannot_be_reached_is_tried_on_and_not_ready() {
    let (topic, files) = (broker().topic(1), Files::new());
    let sink = CheckingSink::start(Faults::default());
    let good = pipeline("good", &topic, &sink.url(), "");
    let away = pipeline("away", &topic, &sink.url(), "")
        .replace(&broker().bootstrap, "127.0.0.1:1")
        .replace(
            "session_timeout",
            "connect_timeout: 500ms\n        session_timeout",
        );
    let process = run(&files, &format!("pipelines:\n{good}{away}"), &LISTEN);
    logged(&process, &["away", "can't connect; trying again"]);
    readiness(&process, 503, "127.0.0.1:1");
    assert_eq!(get(&process, "/healthz").0, 200);
    broker().produce(&topic, &["a"], 0..1);
    sink.wait(LIMIT, |report| report.distinct == 1);
    process.signal("TERM");
    assert_eq!(process.wait(LIMIT).0.code(), Some(0));
}

#[test]
fn readiness_follows_the_broker() {
    let Some(kafka) = Kafka::start_or_skip(Options::default()) else {
        return;
    };
    let (topic, files) = (kafka.topic(1), Files::new());
    let sink = CheckingSink::start(Faults::default());
    let config = pipeline("orders", &topic, &sink.url(), "")
        .replace(&broker().bootstrap, &kafka.bootstrap())
        .replace(
            "session_timeout",
            "properties: {statistics.interval.ms: 500}\n        session_timeout",
        );
    let process = run(&files, &format!("pipelines:\n{config}"), &LISTEN);
    kafka.produce(&topic, 1, 1, 100);
    sink.wait(LIMIT, |report| report.distinct == 1);
    readiness(&process, 200, "running");
    eventually(LIMIT, "the commit", || {
        (kafka.committed(&topic, &topic) == [Some(1)]).then_some(())
    });
    kafka.kill(1);
    readiness(&process, 503, "no connection to any Kafka broker");
    kafka.revive(1);
    // Without a record that would tell of it.
    readiness(&process, 200, "running");
    process.signal("TERM");
    assert_eq!(process.wait(LIMIT).0.code(), Some(0));
}

#[test]
fn a_pipeline_that_has_failed_is_not_healthy() {
    let (topic, files) = (broker().topic(1), Files::new());
    let sink = CheckingSink::start(Faults::default());
    let good = pipeline("good", &topic, &sink.url(), "");
    let gone = pipeline("gone", "no-such-topic", &sink.url(), "");
    let process = run(&files, &format!("pipelines:\n{good}{gone}"), &LISTEN);
    logged(&process, &["gone", "the pipeline has failed"]);
    let (status, body) = get(&process, "/healthz");
    assert!(
        status == 503 && body.contains("no-such-topic"),
        "{status} {body}"
    );
    process.signal("TERM");
    assert_eq!(process.wait(LIMIT).0.code(), Some(1));
}
