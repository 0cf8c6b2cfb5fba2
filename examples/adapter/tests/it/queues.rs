//! A queue as the source, and the names of metrics that dashboard and alerts go by.

use std::{collections::BTreeSet, fs, path::Path};

use eventlane_testkit::{
    CheckingSink, eventually,
    sink::{Answer, Faults},
};

use crate::{
    fakes::FakeSqs,
    support::{Files, LIMIT, broker, get, logged, pipeline, run},
};

#[test]
fn a_queue_is_delivered_and_every_metric_of_dashboard_and_alerts_is_there() {
    let (topic, files) = (broker().topic(1), Files::new());
    let sink = CheckingSink::start(Faults::default());
    let (sqs, endpoint) = FakeSqs::start();
    // One of each: a failed attempt, a refusal, a dead letter, an event that is dropped, and a
    // dead letter that can't be kept.
    sink.set(|faults| {
        faults.keys.insert("bad".to_owned(), Answer::Status(400));
        faults.keys.insert("worse".to_owned(), Answer::Status(400));
        faults
            .next
            .extend([Answer::Status(503), Answer::Status(401)]);
    });
    let second = broker().topic(1);
    let kept = format!(
        "dead_letter: {{file: {}}}",
        files.path("dead.jsonl").display()
    );
    let nowhere = "dead_letter: {http: {endpoint: {url: \"http://127.0.0.1:1/\"}}}";
    let third = broker().topic(1);
    let config = format!(
        "pipelines:\n{}{}{}  queue:
    source:
      sqs:
        queue_url: {endpoint}/000000000000/orders
        endpoint: {endpoint}
        credentials: {{id: AKIAGOOD, secret: hush}}
        wait: 1s
      poller: {{max_receivers: 2}}
    sink: {{http: {{url: \"{}queue\"}}}}
",
        pipeline("kept", &topic, &sink.url(), &kept),
        pipeline("dropped", &second, &sink.url(), "on_exhausted: drop"),
        pipeline("nowhere", &third, &sink.url(), nowhere),
        sink.url(),
    );
    let flags = ["--listen", "127.0.0.1:0", "--grace", "1s"];
    let process = run(&files, &config, &flags);
    broker().produce(&topic, &["good", "bad"], 0..1);
    broker().produce(&second, &["worse"], 0..1);
    broker().produce(&third, &["bad"], 0..1);
    sqs.send("m-1", r#"{"key":"q","seq":0}"#);
    for line in [
        "dead-lettered",
        "dropped, as configured",
        "the dead letter failed",
    ] {
        logged(&process, &[line]);
    }
    eventually(LIMIT, "the message is deleted", || {
        (*sqs.deleted.lock().unwrap() == ["m-1"]).then_some(())
    });
    sink.wait(LIMIT, |report| {
        report.distinct == 2 && report.status(503) == 1
    });

    // What a run like this one does not bring about.
    let rare = [
        eventlane::metrics::SETTLE_FAILED,
        eventlane_kafka::metrics::EXPIRED,
    ];
    let observability = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/observability");
    let mut missing = BTreeSet::new();
    for name in ["dashboard.json", "alerts.yaml"] {
        let text = fs::read_to_string(observability.join(name)).unwrap();
        let used = metrics(&text);
        assert!(used.len() > 8, "{name}: {used:?}");
        missing.extend(
            used.into_iter()
                .filter(|name| !rare.contains(&name.as_str())),
        );
    }
    eventually(LIMIT, "every metric", || {
        let (_, exported) = get(&process, "/metrics");
        let exported = metrics(&exported);
        missing.retain(|name| !exported.contains(name));
        if !missing.is_empty() {
            eprintln!("not exported yet: {missing:?}");
        }
        missing.is_empty().then_some(())
    });
    process.signal("TERM");
    drop(process.wait(LIMIT));
}

/// The names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let part = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let names = text
        .split(part)
        .filter(|word| word.starts_with("eventlane_"));
    names.map(str::to_owned).collect()
}
