//! What can't work ends with one line that says what to do, before anything is consumed.

use std::sync::OnceLock;

use eventlane_testkit::{CheckingSink, Kafka, Process, kafka::Options, sink::Faults};

use crate::adapter::LIMIT;

/// Runs the program with these flags and expects it to fail with a line that has all of `said` in
/// it.
fn refused(flags: &[&str], said: &[&str]) {
    let process = Process::start(env!("CARGO_BIN_EXE_kafka-to-http"), flags);
    let (status, stderr) = process.wait(LIMIT);
    assert_eq!(status.code(), Some(1), "{stderr}");
    // What librdkafka has to say of a broker that refuses us comes before it, as warnings.
    let line = stderr.lines().last().expect("an error");
    assert!(line.starts_with("kafka-to-http: "), "{stderr}");
    assert!(
        said.iter().all(|text| line.contains(text)),
        "expected {said:?} in:\n{stderr}"
    );
    assert_eq!(
        stderr
            .lines()
            .filter(|line| line.starts_with("kafka-to-http: "))
            .count(),
        1,
        "{stderr}"
    );
}

/// Flags that need no broker to be found wrong.
fn refused_offline(flags: &[&str], said: &[&str]) {
    let usual = [
        "--brokers",
        "127.0.0.1:1",
        "--topic",
        "orders",
        "--group",
        "billing",
    ];
    let flags: Vec<_> = usual.into_iter().chain(flags.iter().copied()).collect();
    refused(&flags, said);
}

#[test]
fn an_unknown_flag() {
    refused_offline(
        &["--sink", "http://127.0.0.1:1/", "--sinks", "x"],
        &["--sinks", "--help"],
    );
    refused(
        &["--brokers", "127.0.0.1:1"],
        &["--topic", "--group", "--sink", "required"],
    );
    refused_offline(
        &["--sink", "http://127.0.0.1:1/", "--linger", "soon"],
        &["--linger", "milliseconds"],
    );
}

#[test]
fn a_wrong_url() {
    for url in [
        "127.0.0.1:8080",
        "ftp://127.0.0.1/",
        "http://",
        "http://user:secret@127.0.0.1/",
    ] {
        refused_offline(&["--sink", url], &["http"]);
    }
}

#[test]
fn a_wrong_property() {
    let with = |property| ["--sink", "http://127.0.0.1:1/", "--set", property];
    refused_offline(&with("no.such.property=1"), &["no.such.property"]);
    refused_offline(&with("fetch.min.bytes=many"), &["fetch.min.bytes"]);
    refused_offline(&with("enable.auto.commit=true"), &["enable.auto.commit"]);
    refused_offline(&with("no-value"), &["KEY=VALUE"]);
}

#[test]
fn a_dead_letter_that_goes_nowhere() {
    let with = |place| ["--sink", "http://127.0.0.1:1/", "--dead-letter", place];
    refused_offline(
        &with("file:/no/such/directory/dead.jsonl"),
        &["/no/such/directory", "directory"],
    );
    refused_offline(&with("dead.jsonl"), &["http"]);
}

#[test]
fn no_broker() {
    refused_offline(&["--sink", "http://127.0.0.1:1/"], &["127.0.0.1:1"]);
}

/// Flags for the cluster that has every way in.
struct Cluster {
    kafka: &'static Kafka,
    topic: String,
    sink: CheckingSink,
}

impl Cluster {
    fn new() -> Option<Self> {
        static KAFKA: OnceLock<Option<Kafka>> = OnceLock::new();
        let options = Options {
            sasl: true,
            tls: true,
            ..Options::default()
        };
        let kafka = KAFKA
            .get_or_init(|| Kafka::start_or_skip(options))
            .as_ref()?;
        let topic = kafka.topic(1);
        kafka.produce(&topic, 10, 10, 100);
        Some(Self {
            kafka,
            topic,
            sink: CheckingSink::start(Faults::default()),
        })
    }

    fn refused(self, bootstrap: &str, flags: &[&str], said: &[&str]) {
        let sink = self.sink.url();
        let usual = [
            "--brokers",
            bootstrap,
            "--topic",
            &self.topic,
            "--group",
            &self.topic,
            "--sink",
            &sink,
        ];
        let flags: Vec<_> = usual.into_iter().chain(flags.iter().copied()).collect();
        refused(&flags, said);
        assert_eq!(self.sink.report().requests, 0);
        assert_eq!(self.kafka.committed(&self.topic, &self.topic), [None]);
    }
}

fn login(user: &str) -> [String; 8] {
    let (name, password) = user.split_once(':').expect("name:password");
    let set = |property: String| ["--set".to_owned(), property];
    let all = [
        set("security.protocol=SASL_PLAINTEXT".to_owned()),
        set("sasl.mechanisms=SCRAM-SHA-256".to_owned()),
        set(format!("sasl.username={name}")),
        set(format!("sasl.password={password}")),
    ];
    all.concat().try_into().expect("four properties")
}

#[test]
fn no_such_topic() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let bootstrap = cluster.kafka.bootstrap();
    cluster.refused(
        &bootstrap,
        &["--topic", "no-such-topic"],
        &["no-such-topic"],
    );
}

#[test]
fn a_wrong_password() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let bootstrap = cluster.kafka.sasl_bootstrap();
    let flags = login("alice:wrong-secret");
    let flags = flags.each_ref().map(String::as_str);
    cluster.refused(&bootstrap, &flags, &["password"]);
}

#[test]
fn no_permission() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let bootstrap = cluster.kafka.sasl_bootstrap();
    let flags = login("bob:bob-secret");
    let flags = flags.each_ref().map(String::as_str);
    let topic = cluster.topic.clone();
    cluster.refused(&bootstrap, &flags, &[&topic, "permission"]);
}

#[test]
fn an_expired_certificate() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let bootstrap = cluster.kafka.expired_tls_bootstrap();
    let ca = format!(
        "ssl.ca.location={}",
        cluster.kafka.tls_file("ca.pem").display()
    );
    cluster.refused(
        &bootstrap,
        &["--set", "security.protocol=SSL", "--set", &ca],
        &["expired"],
    );
}

#[test]
fn a_certificate_that_nobody_vouches_for() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let bootstrap = cluster.kafka.tls_bootstrap();
    let ca = format!(
        "ssl.ca.location={}",
        cluster.kafka.tls_file("rogue-ca.pem").display()
    );
    cluster.refused(
        &bootstrap,
        &["--set", "security.protocol=SSL", "--set", &ca],
        &["certificate"],
    );
}
