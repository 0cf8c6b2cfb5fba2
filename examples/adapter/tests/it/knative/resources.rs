//! What resources become.

use std::{fs, path::Path, time::Duration};

use eventlane::{Growth, Keyless, OnExhausted, Ordering, event::http::Mode};
use eventlane_adapter::{
    config::{DeadLetterConfig, Loaded, PipelineConfig},
    explain::explain,
};
use eventlane_kafka::{KeyType, Pem, Sasl, StartOffset};

use super::load;

const SOURCE: &str = "
apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata:
  name: orders
  namespace: shop
spec:
  bootstrapServers: [one:9092, two:9092]
  topics: [orders, refunds]
  consumerGroup: billing
";
const SINK: &str = "  sink: {uri: http://scoring/}\n";

fn read(text: &str) -> Loaded {
    load("source.yaml", text, None, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn only(loaded: &Loaded) -> &PipelineConfig {
    let mut pipelines = loaded.config.pipelines.values();
    let only = pipelines.next().expect("a pipeline");
    assert!(pipelines.next().is_none(), "more than one pipeline");
    only
}

fn deploy(path: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    fs::read_to_string(directory.join(path)).unwrap()
}

#[test]
fn what_is_not_said_is_as_in_knative() {
    let loaded = read(&format!("{SOURCE}{SINK}"));
    let pipeline = only(&loaded);
    let kafka = pipeline.source.kafka.as_ref().unwrap();
    assert_eq!(kafka.bootstrap_servers, "one:9092,two:9092");
    assert_eq!(kafka.topics, ["orders", "refunds"]);
    assert_eq!(
        (kafka.group.as_str(), kafka.start),
        ("billing", StartOffset::Latest)
    );
    assert_eq!(
        (kafka.event.namespace.as_str(), kafka.event.name.as_str()),
        ("shop", "orders")
    );
    assert_eq!(kafka.event.key_type, KeyType::String);
    assert_eq!(pipeline.sink.http.url, "http://scoring/");
    assert_eq!(pipeline.sink.http.mode, Mode::Binary);
    let delivery = &pipeline.delivery;
    assert_eq!(delivery.ordering, Ordering::Partition);
    assert_eq!(delivery.exhausted(), OnExhausted::Block);
    let retry = &delivery.retry;
    assert_eq!((retry.attempts, retry.jitter), (Some(11), 0.0));
    assert_eq!(retry.growth, Growth::KnativeExponential);
    assert_eq!(retry.initial, Duration::from_millis(300));
    assert_eq!(retry.timeout, Duration::from_secs(600));
    assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
}

#[test]
fn every_version_and_both_ways_to_write_lists_mean_the_same() {
    let meant = explain(&read(&format!("{SOURCE}{SINK}")));
    for version in ["v1", "v1beta1", "v1alpha1"] {
        let listed = format!("{SOURCE}{SINK}").replace("dev/v1", &format!("dev/{version}"));
        let text = listed
            .replace("[one:9092, two:9092]", "\"one:9092, two:9092\"")
            .replace("[orders, refunds]", "orders,refunds");
        for written in [listed, text] {
            assert_eq!(explain(&read(&written)), meant, "{written}");
        }
    }
    let one = format!("{SOURCE}{SINK}").replace("[orders, refunds]", "42");
    assert_eq!(
        only(&read(&one)).source.kafka.as_ref().unwrap().topics,
        ["42"]
    );
}

#[test]
fn what_only_a_cluster_needs_is_named_and_left_alone() {
    let text = "
apiVersion: sources.knative.dev/v1alpha1
kind: KafkaSource
metadata:
  name: orders
  uid: 6a2f
  generation: 3
  creationTimestamp: \"2026-01-31T12:00:00Z\"
  managedFields: [{manager: kubectl}]
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{}'
    autoscaling.eventing.knative.dev/max-scale: \"10\"
    k8s.aliyun.com/min-replicas: \"1\"
spec:
  bootstrapServers: kafka:9092
  topics: orders
  serviceAccountName: kafka
  resources: {limits: {cpu: 100m}}
  sink: {uri: http://scoring/, audience: scoring}
  delivery: {backoffDelay: PT5S}
status:
  conditions: [{type: Ready, status: \"True\"}]
";
    let loaded = read(text);
    let named = [
        "spec.serviceAccountName",
        "spec.resources",
        "spec.consumerGroup is not set: it is knative-kafka-source-default-orders",
        "autoscaling.eventing.knative.dev/max-scale",
        "k8s.aliyun.com/min-replicas",
        "spec.sink.audience",
        "spec.delivery.backoffDelay",
    ];
    assert_eq!(loaded.notes.len(), named.len(), "{:#?}", loaded.notes);
    for name in named {
        let said = loaded.notes.iter().any(|note| note.contains(name));
        assert!(said, "{name} in {:#?}", loaded.notes);
    }
    let pipeline = only(&loaded);
    let group = &pipeline.source.kafka.as_ref().unwrap().group;
    assert_eq!(group, "knative-kafka-source-default-orders");
    // As without any `delivery`.
    assert_eq!(pipeline.delivery.retry.attempts, Some(11));
    assert_eq!(pipeline.delivery.retry.initial, Duration::from_millis(300));
}

#[test]
fn annotations_say_what_delivery_does_not() {
    let annotated = |annotations: &str, spec: &str| {
        let annotations = format!("  annotations: {annotations}\nspec:");
        let text = SOURCE.replace("spec:", &annotations);
        only(&read(&format!("{text}{SINK}{spec}"))).clone()
    };
    let all = annotated(
        "{k8s.aliyun.com/domain: a.example.com, k8s.aliyun.com/retry-count: \"5\", \
         k8s.aliyun.com/retry-interval: \"2\", k8s.aliyun.com/req-timeout: \"60\"}",
        "",
    );
    let retry = &all.delivery.retry;
    assert_eq!(
        (retry.attempts, retry.timeout),
        (Some(6), Duration::from_secs(60))
    );
    // The interval is always the same.
    assert_eq!(
        (retry.initial, retry.max),
        (Duration::from_secs(2), Duration::from_secs(2))
    );
    assert!(all.sink.http.headers.contains_key("Host"));
    let part = annotated(
        "{k8s.aliyun.com/req-timeout: \"1.5\"}",
        "  delivery: {retry: 2, backoffPolicy: linear, backoffDelay: PT3S}\n",
    );
    let retry = &part.delivery.retry;
    assert_eq!(
        (retry.attempts, retry.timeout),
        (Some(3), Duration::from_millis(1500))
    );
    assert_eq!(
        (retry.growth, retry.initial),
        (Growth::Linear, Duration::from_secs(3))
    );
    let ours = annotated(
        "{eventlane.dev/ordering: key, eventlane.dev/on-exhausted: drop}",
        "",
    );
    assert_eq!(ours.delivery.ordering, Ordering::Key);
    assert_eq!(ours.delivery.exhausted(), OnExhausted::Drop);
}

#[test]
fn delivery_reaches_sink_and_dead_letters() {
    let text = format!(
        "{SOURCE}  sink: {{uri: http://scoring/}}\n  ordering: unordered\n  delivery:\n    \
         retryAfterMax: PT0S\n    format: json\n    deadLetterSink: {{uri: http://letters/}}\n"
    );
    let loaded = read(&text);
    let pipeline = only(&loaded);
    assert_eq!(pipeline.delivery.ordering, Ordering::None);
    assert_eq!(pipeline.delivery.retry.attempts, Some(1));
    assert_eq!(pipeline.sink.http.mode, Mode::Structured);
    assert_eq!(pipeline.sink.http.max_retry_after, Duration::ZERO);
    let Some(DeadLetterConfig::Http(letters)) = &pipeline.delivery.dead_letter else {
        panic!("{pipeline:?}");
    };
    assert_eq!(letters.endpoint.url, "http://letters/");
    assert_eq!(pipeline.delivery.exhausted(), OnExhausted::DeadLetter);
}

#[test]
fn consumers_are_pipelines() {
    let loaded = read(&format!("{SOURCE}{SINK}  consumers: 3\n"));
    let names: Vec<_> = loaded.config.pipelines.keys().collect();
    assert_eq!(names, ["orders-1", "orders-2", "orders-3"]);
}

#[test]
fn secrets_are_files() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("kafka");
    fs::create_dir(&secret).unwrap();
    for (key, value) in [
        ("user", "orders\n"),
        ("password", "hush"),
        ("saslType", "SCRAM-SHA-512"),
    ] {
        fs::write(secret.join(key), value).unwrap();
    }
    fs::write(secret.join("ca.crt"), "whatever").unwrap();
    let text = deploy("resources/kafka-source.yaml");
    let loaded = load("source.yaml", &text, Some(directory.path()), &[]);
    let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
    let pipeline = &loaded.config.pipelines["orders-1"];
    let kafka = pipeline.source.kafka.as_ref().unwrap();
    assert!(
        matches!(&kafka.sasl, Some(Sasl::ScramSha512 { username, .. }) if username == "orders")
    );
    let tls = kafka.tls.as_ref().unwrap();
    assert!(matches!(&tls.ca, Some(Pem::Path(path)) if *path == secret.join("ca.crt")));
    // `optional`, and not there.
    assert!(tls.certificate.is_none() && tls.key.is_none());
    assert!(!explain(&loaded).contains("hush"));

    fs::remove_file(secret.join("password")).unwrap();
    let error = load("source.yaml", &text, Some(directory.path()), &[]).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("there is no file") && error.contains("kafka/password"),
        "{error}"
    );
    assert!(error.contains("in spec.net.sasl.password"), "{error}");
}

#[test]
fn queues_are_told_the_same_way() {
    let directory = tempfile::tempdir().unwrap();
    for (name, keys) in [
        ("rocketmq", vec!["accessKey", "secretKey", "ca.crt"]),
        ("mns", vec!["accessKeyId", "accessKeySecret"]),
    ] {
        fs::create_dir(directory.path().join(name)).unwrap();
        for key in keys {
            let value = match key {
                "accessKey" | "accessKeyId" => "who",
                _ => "hush",
            };
            fs::write(directory.path().join(name).join(key), value).unwrap();
        }
    }
    let read = |path: &str| {
        let loaded = load(path, &deploy(path), Some(directory.path()), &[]);
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
        assert!(!explain(&loaded).contains("hush"), "{path}");
        loaded
    };
    let loaded = read("resources/rocketmq-source.yaml");
    assert_eq!(loaded.config.pipelines.len(), 2);
    let pipeline = &loaded.config.pipelines["orders-1"];
    let rocketmq = pipeline.source.rocketmq.as_ref().unwrap();
    assert_eq!(rocketmq.endpoint, "rocketmq-proxy.rocketmq:8081");
    assert_eq!(rocketmq.topics[1].tags.as_deref(), Some("card || cash"));
    assert!(rocketmq.credentials.is_some() && rocketmq.tls.as_ref().unwrap().ca.is_some());
    assert_eq!(pipeline.extensions["tenant"], "shop");
    // What has no message group has no order to lose.
    let delivery = &pipeline.delivery;
    assert_eq!(
        (delivery.ordering, delivery.keyless),
        (Ordering::Key, Keyless::Unordered)
    );

    let loaded = read("resources/mns-source.yaml");
    let mns = only(&loaded).source.mns.as_ref().unwrap();
    assert_eq!(
        (mns.queue.as_str(), mns.region.as_deref()),
        ("orders", Some("cn-hangzhou"))
    );
    assert!(mns.credentials.is_some());
    assert_eq!(only(&loaded).delivery.retry.growth, Growth::Linear);
    assert!(matches!(
        only(&loaded).delivery.exhausted(),
        OnExhausted::Release { .. }
    ));

    let loaded = read("resources/sqs-source.yaml");
    let sqs = only(&loaded).source.sqs.as_ref().unwrap();
    assert!(sqs.queue_url.ends_with("/orders.fifo") && sqs.credentials.is_none());
}

const PEM: &str = "-----BEGIN CERTIFICATE-----
MIIBdDCCARmgAwIBAgIUfD1fQ0cF1Yp2W6s0bqyf6mC0cOIwCgYIKoZIzj0EAwIw
-----END CERTIFICATE-----
";

#[test]
fn knative_tells_where_events_go() {
    let bound = [
        ("K_SINK", "https://broker.example/default"),
        (
            "K_CE_OVERRIDES",
            r#"{"extensions":{"tenant":"shop","region":"eu"}}"#,
        ),
    ];
    let load = |text: &str, variables: &[(&str, &str)]| load("a.yaml", text, None, variables);
    // Instead of a `ref` that only a cluster can look up, and where nothing is said.
    let reference = "  sink: {ref: {apiVersion: v1, kind: Service, name: scoring}}\n";
    for sink in ["", reference] {
        let own = "  ceOverrides: {extensions: {tenant: mine}}\n";
        let loaded = load(&format!("{SOURCE}{sink}{own}"), &bound).unwrap();
        let pipeline = only(&loaded);
        assert_eq!(pipeline.sink.http.url, "https://broker.example/default");
        assert_eq!(pipeline.extensions["tenant"], "mine");
        assert_eq!(pipeline.extensions["region"], "eu");
    }
    // Not instead of what is said.
    let loaded = load(&format!("{SOURCE}{SINK}"), &bound).unwrap();
    assert_eq!(only(&loaded).sink.http.url, "http://scoring/");

    let text = "
pipelines:
  bound:
    source: {sqs: {queue_url: \"https://sqs.eu-west-1.amazonaws.com/1/orders\"}}
    extensions: {tenant: mine, team: a}
  own:
    source: {sqs: {queue_url: \"https://sqs.eu-west-1.amazonaws.com/1/orders\"}}
    sink: {http: {url: \"http://scoring/\"}}
";
    let loaded = load(text, &bound).unwrap();
    let pipeline = &loaded.config.pipelines["bound"];
    assert_eq!(pipeline.sink.http.url, "https://broker.example/default");
    // The binding overrides.
    assert_eq!(pipeline.extensions["tenant"], "shop");
    assert_eq!(pipeline.extensions["team"], "a");
    let own = &loaded.config.pipelines["own"];
    assert_eq!(
        (own.sink.http.url.as_str(), own.extensions.len()),
        ("http://scoring/", 0)
    );

    // The certificates are looked at.
    let with = [bound[0], ("K_CA_CERTS", PEM)];
    let error = load(text, &with).unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    let error = load(text, &[bound[0], ("K_CE_OVERRIDES", "{\"ext\":{}}")]).unwrap_err();
    assert!(error.to_string().contains("K_CE_OVERRIDES"), "{error}");
    let error = load(text, &[]).unwrap_err().to_string();
    assert!(error.contains("`sink` is missing"), "{error}");
}
