//! Secrets that are exchanged while a source runs.

use eventlane_testkit::{CheckingSink, Process, eventually, kafka::Keys, sink::Faults};

use super::{host::Host, real::Stage};
use crate::{
    fakes::FakeSqs,
    support::{LIMIT, get, logged},
};

/// Waits until so many lines of the log have this in them.
fn said(adapter: &Process, what: &str, times: usize) {
    eventually(LIMIT, &format!("{what:?} {times} times in the log"), || {
        (adapter.said(what).len() >= times).then_some(())
    });
}

/// A pair of keys is exchanged for another. A pair that is refused changes nothing.
#[test]
fn an_sqs_source_takes_new_keys() {
    let (sqs, server) = FakeSqs::start();
    let sink = CheckingSink::start(Faults::default());
    let mut host = Host::new();
    let write = |host: &Host, id: &str, secret: &str| {
        host.secret("sqs", "id", id.as_bytes());
        host.secret("sqs", "secret", secret.as_bytes());
    };
    write(&host, "AKIAGOOD", "hush");
    host.resource(&format!(
        "apiVersion: eventlane.dev/v1alpha1\nkind: SqsSource\nmetadata: {{name: orders}}\nspec:\n  \
         queueURL: \"{server}/000000000000/orders\"\n  region: us-east-1\n  \
         endpoint: \"{server}\"\n  auth:\n    \
         accessKeyId: {{secretKeyRef: {{name: sqs, key: id}}}}\n    \
         secretAccessKey: {{secretKeyRef: {{name: sqs, key: secret}}}}\n  sink: {{uri: \"{}\"}}\n",
        sink.url(),
    ));
    let mut number = 0;
    let mut send = |count: u64| {
        for seq in number..number + count {
            let body = format!("{{\"key\":\"{seq}\",\"seq\":0}}");
            sqs.send(&seq.to_string(), &body);
        }
        number += count;
        number
    };
    let adapter = host.start();
    said(&adapter, "running", 1);
    sink.wait(LIMIT, {
        let sent = send(20);
        move |report| report.distinct == sent
    });

    write(&host, "AKIANEW", "hush");
    adapter.signal("HUP");
    let refused = logged(
        &adapter,
        &["not reloaded", "orders", "InvalidClientTokenId"],
    );
    assert!(!refused.contains("hush"), "{refused}");
    let sent = send(20);
    sink.wait(LIMIT, move |report| report.distinct == sent);

    sqs.accept(&["AKIAGOOD", "AKIANEW"]);
    send(50);
    adapter.signal("HUP");
    send(50);
    said(&adapter, "started anew", 2);
    let line = logged(&adapter, &["started anew", "credentials.id"]);
    assert!(!line.contains("AKIA"), "{line}");
    said(&adapter, " running ", 2);
    sqs.accept(&["AKIANEW"]);
    let sent = send(20);
    sink.wait(LIMIT, move |report| report.distinct == sent);
    assert_eq!(get(&adapter, "/readyz").0, 200);

    // Of the pair, only the secret: this server does not look at it.
    write(&host, "AKIANEW", "new");
    adapter.signal("HUP");
    logged(
        &adapter,
        &["started anew", "changed=\"source.sqs.credentials.secret\""],
    );
    said(&adapter, " running ", 3);
    adapter.signal("TERM");
    adapter.succeed(LIMIT);
    sink.report().assert_exactly(sent);
    eventually(LIMIT, "all are deleted", || {
        (sqs.deleted.lock().unwrap().len() as u64 == sent).then_some(())
    });
}

/// A password is exchanged while records flow, and nobody but its source notices.
#[test]
fn a_kafka_source_takes_a_new_password() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    let write = |stage: &Stage, ty: &str, password: &str| {
        stage.secret("rotated", "user", b"alice");
        stage.secret("rotated", "type", ty.as_bytes());
        stage.secret("rotated", "password", password.as_bytes());
    };
    write(&stage, "PLAIN", "alice-secret");
    let sink = CheckingSink::start(Faults::default());
    let secret = |key| format!("{{secretKeyRef: {{name: rotated, key: {key}}}}}");
    let spec = format!(
        "bootstrapServers: [\"{}\"]\nsink: {{uri: \"{}\"}}\n\
         net: {{sasl: {{enable: true, user: {}, password: {}, type: {}}}}}",
        stage.kafka.sasl_bootstrap(),
        sink.url(),
        secret("user"),
        secret("password"),
        secret("type"),
    );
    let annotations = "annotations: {eventlane.dev/ordering: key}";
    stage.source("rotated", 4, annotations, &spec);
    let other = CheckingSink::start(Faults::default());
    let spec = format!("sink: {{uri: \"{}\"}}", other.url());
    stage.source("undisturbed", 2, annotations, &spec);
    let adapter = stage.start();
    said(&adapter, " running ", 2);

    let producers = ["rotated", "undisturbed"];
    let mut producers = producers.map(|topic| stage.kafka.producer(topic, Keys::InTurn(16)));
    let mut flow_until = |what: &str, done: &dyn Fn() -> bool| {
        eventually(LIMIT, what, || {
            for producer in &mut producers {
                producer.send(10, 100);
            }
            done().then_some(())
        });
        producers.each_mut().map(|producer| {
            producer.flush();
            producer.total()
        })
    };
    flow_until("records", &|| sink.report().distinct > 100);

    write(&stage, "PLAIN", "wrong");
    adapter.signal("HUP");
    flow_until("a refusal", &|| {
        !adapter.said("not reloaded, since").is_empty()
    });
    let refused = logged(&adapter, &["not reloaded", "rotated"]);
    assert!(!refused.contains("wrong"), "{refused}");

    write(&stage, "SCRAM-SHA-512", "alice-secret");
    adapter.signal("HUP");
    flow_until("a new consumer", &|| adapter.said(" running ").len() == 3);
    let before = sink.report().distinct;
    let [rotated, undisturbed] =
        flow_until("its records", &|| sink.report().distinct > before + 100);
    sink.wait(LIMIT, |report| report.distinct == rotated);
    other.wait(LIMIT, |report| report.distinct == undisturbed);
    adapter.signal("TERM");
    let log = adapter.succeed(LIMIT);
    sink.report().assert_exactly(rotated);
    other.report().assert_exactly(undisturbed);
    let names = log.lines().filter(|line| line.contains(" running "));
    let anew = names.filter(|line| line.contains("undisturbed")).count();
    assert_eq!(anew, 1, "{log}");
}
