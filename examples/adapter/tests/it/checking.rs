//! `check`: what is said of targets that work, and of every kind that doesn't.

use std::{net::TcpListener, process::Output};

use eventlane_testkit::{
    CheckingSink, Kafka,
    kafka::Options,
    sink::{Answer, Faults},
};

use crate::{
    fakes::{self, FakeSqs},
    support::{Files, broker, command},
};

/// A source and a sink in one configuration, as YAML in one line each.
fn config(source: &str, sink: &str, delivery: &str) -> String {
    format!(
        "pipelines: {{orders: {{source: {source}, sink: {{http: {sink}}}, delivery: {{{delivery}}}}}}}"
    )
}

fn check(config: &str) -> (Option<i32>, String) {
    let files = Files::new();
    let file = files.write("adapter.yaml", config);
    let Output {
        status,
        stdout,
        stderr,
        ..
    } = command(["check"])
        .arg(file)
        .output()
        .expect("the program runs");
    let shown = [stdout, stderr].concat();
    (status.code(), String::from_utf8(shown).unwrap())
}

fn works(config: &str, said: &[&str]) {
    let (code, shown) = check(config);
    assert_eq!(code, Some(0), "{shown}");
    for text in said {
        assert!(shown.contains(text), "{text} in:\n{shown}");
    }
}

/// The part of which something is wrong is named, with all of `said` in its line.
fn fails(config: &str, part: &str, said: &[&str]) {
    let (code, shown) = check(config);
    assert_eq!(code, Some(1), "{shown}");
    let failed: Vec<_> = shown
        .lines()
        .filter(|line| line.contains("FAILED"))
        .collect();
    let [line] = *failed else {
        panic!("one part fails:\n{shown}");
    };
    assert!(
        line.trim_start().starts_with(part),
        "{part} fails:\n{shown}"
    );
    for text in said {
        assert!(line.contains(text), "{text} in:\n{shown}");
    }
}

fn kafka(topic: &str) -> String {
    let bootstrap = &broker().bootstrap;
    format!("{{kafka: {{bootstrap_servers: \"{bootstrap}\", group: g, topics: [{topic}]}}}}")
}

/// A port of this machine at which nobody listens.
fn refused() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn what_works_is_described_and_nothing_is_touched() {
    let (topic, files) = (broker().topic(3), Files::new());
    broker().produce(&topic, &["a"], 0..3);
    let sink = CheckingSink::start(Faults::default());
    let letters = files.path("dead.jsonl");
    let delivery = format!("dead_letter: {{file: {}}}", letters.display());
    works(
        &config(
            &kafka(&topic),
            &format!("{{url: \"{}\"}}", sink.url()),
            &delivery,
        ),
        &[
            &format!("{topic} (3 partitions), group g"),
            "answers",
            "can be written",
            "in order by key",
            "dead letter",
        ],
    );
    assert!(!letters.exists(), "the file is not made");
    assert_eq!(sink.report().distinct, 0, "nothing is delivered");
}

#[test]
fn sinks() {
    let topic = broker().topic(1);
    let sink = |http: &str| config(&kafka(&topic), http, "");
    fails(
        &sink(&format!("{{url: \"http://{}/\"}}", refused())),
        "sink",
        &["refused"],
    );
    fails(
        &sink("{url: \"http://no-such-host.invalid/\"}"),
        "sink",
        &["no-such-host.invalid"],
    );
    for (status, said) in [(401, "401"), (403, "403"), (503, "503")] {
        let answer = axum::http::StatusCode::from_u16(status).unwrap();
        let address = fakes::serve(axum::Router::new().fallback(async move || answer));
        fails(
            &sink(&format!("{{url: \"http://{address}/\"}}")),
            "sink",
            &[said],
        );
    }
    // No TLS there.
    let plain = CheckingSink::start(Faults {
        answer: Answer::Accept,
        ..Faults::default()
    });
    fails(
        &sink(&format!("{{url: \"https://{}/\"}}", plain.address())),
        "sink",
        &["tls"],
    );
}

#[test]
fn dead_letters() {
    let (topic, files) = (broker().topic(1), Files::new());
    let sink = CheckingSink::start(Faults::default());
    let url = format!("{{url: \"{}\"}}", sink.url());
    let letters = |to: &str| config(&kafka(&topic), &url, &format!("dead_letter: {to}"));
    let nowhere = files.path("no/such/directory/dead.jsonl");
    fails(
        &letters(&format!("{{file: {}}}", nowhere.display())),
        "dead letter",
        &["No such file"],
    );
    fails(
        &letters("{file: /proc/dead.jsonl}"),
        "dead letter",
        &["/proc/dead.jsonl"],
    );
    fails(
        &letters(&format!("{{file: {}}}", files.path("").display())),
        "dead letter",
        &["directory"],
    );
    let endpoint = format!("{{http: {{endpoint: {{url: \"http://{}/\"}}}}}}", refused());
    fails(&letters(&endpoint), "dead letter", &["refused"]);
    let fake = fakes::mns();
    let mns = fake.endpoint();
    let queue = |name: &str, key: &str| {
        format!(
            "{{mns: {{endpoint: \"{mns}\", queue: {name}, credentials: {{access_key_id: {key}, access_key_secret: hush}}}}}}"
        )
    };
    works(&letters(&queue("orders", "LTAIGOOD")), &["orders"]);
    fails(
        &letters(&queue("none", "LTAIGOOD")),
        "dead letter",
        &["queue"],
    );
}

#[test]
fn sources() {
    let sink = CheckingSink::start(Faults::default());
    let url = format!("{{url: \"{}\"}}", sink.url());
    let source = |source: &str| config(source, &url, "");
    fails(
        &source(&kafka("no-such-topic")),
        "source",
        &["no-such-topic"],
    );
    let away = |servers: &str| {
        source(&format!(
            "{{kafka: {{bootstrap_servers: \"{servers}\", group: g, topics: [t], connect_timeout: 2s}}}}"
        ))
    };
    fails(&away(&refused()), "source", &["refused"]);
    fails(
        &away("no-such-host.invalid:9092"),
        "source",
        &["no-such-host.invalid"],
    );

    let (_, sqs) = FakeSqs::start();
    let queue = |endpoint: &str, name: &str, key: &str| {
        source(&format!(
            "{{sqs: {{queue_url: \"{sqs}/000000000000/{name}\", endpoint: \"{endpoint}\", request_timeout: 2s, \
             credentials: {{id: {key}, secret: s}}}}}}"
        ))
    };
    works(&queue(&sqs, "orders", "AKIAGOOD"), &["on lease for 30 s"]);
    fails(&queue(&sqs, "none", "AKIAGOOD"), "source", &["queue"]);
    fails(
        &queue(&sqs, "orders", "AKIABAD"),
        "source",
        &["InvalidClientTokenId"],
    );
    fails(
        &queue(&format!("http://{}", refused()), "orders", "AKIAGOOD"),
        "source",
        &["SQS"],
    );

    let fake = fakes::mns();
    let mns = fake.endpoint();
    let queue = |endpoint: &str, name: &str, key: &str| {
        source(&format!(
            "{{mns: {{endpoint: \"{endpoint}\", queue: {name}, wait: 10s, request_timeout: 2s, connect_timeout: 2s, \
             credentials: {{access_key_id: {key}, access_key_secret: hush}}}}}}"
        ))
    };
    works(&queue(mns, "orders", "LTAIGOOD"), &["on lease for 30 s"]);
    fails(&queue(mns, "none", "LTAIGOOD"), "source", &["queue"]);
    fails(
        &queue(mns, "orders", "LTAIBAD"),
        "source",
        &["InvalidAccessKeyId"],
    );
    fails(
        &queue(&format!("http://{}", refused()), "orders", "LTAIGOOD"),
        "source",
        &["refused"],
    );

    let rocketmq = |endpoint: &str| {
        source(&format!(
            "{{rocketmq: {{endpoint: \"{endpoint}\", group: g, topics: [{{topic: t}}], connect_timeout: 2s, request_timeout: 2s}}}}"
        ))
    };
    fails(&rocketmq(&refused()), "source", &["refused"]);
    fails(
        &rocketmq("no-such-host.invalid:8081"),
        "source",
        &["no-such-host.invalid"],
    );
}

#[test]
fn a_kafka_that_wants_credentials_and_tls() {
    let options = Options {
        sasl: true,
        tls: true,
        ..Options::default()
    };
    let Some(kafka) = Kafka::start_or_skip(options) else {
        return;
    };
    let topic = kafka.topic(2);
    let sink = CheckingSink::start(Faults::default());
    let url = format!("{{url: \"{}\"}}", sink.url());
    let source = |servers: &str, more: &str| {
        let source = format!(
            "{{kafka: {{bootstrap_servers: \"{servers}\", group: g, topics: [{topic}], connect_timeout: 5s, {more}}}}}"
        );
        config(&source, &url, "")
    };
    let login = |user: &str, password: &str| {
        format!("sasl: {{mechanism: PLAIN, username: {user}, password: {password}}}")
    };
    let sasl = kafka.sasl_bootstrap();
    works(
        &source(&sasl, &login("alice", "alice-secret")),
        &["(2 partitions)"],
    );
    fails(
        &source(&sasl, &login("alice", "wrong")),
        "source",
        &["uthenti"],
    );
    fails(
        &source(&sasl, &login("bob", "bob-secret")),
        "source",
        &["uthoriz"],
    );
    let tls = |ca: &str| format!("tls: {{ca: {}}}", kafka.tls_file(ca).display());
    works(
        &source(&kafka.tls_bootstrap(), &tls("ca.pem")),
        &["(2 partitions)"],
    );
    fails(
        &source(&kafka.tls_bootstrap(), &tls("rogue-ca.pem")),
        "source",
        &["certificate"],
    );
    // An endpoint whose certificate nobody here trusts.
    let https = format!("{{url: \"https://{}/\"}}", kafka.tls_bootstrap());
    let plain = format!(
        "{{kafka: {{bootstrap_servers: \"{}\", group: g, topics: [{topic}]}}}}",
        kafka.bootstrap()
    );
    fails(&config(&plain, &https, ""), "sink", &["tls"]);
}
