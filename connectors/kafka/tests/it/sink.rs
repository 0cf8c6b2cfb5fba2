//! A topic as a sink: what becomes of events, and what fails.

use std::time::Duration;

use eventlane::{
    ErrorKind, Event, Pipeline, Sink,
    event::Data,
    memory::MemoryLog,
    sink::{Batch, DeadLetter, DeadLetterSink, Failure, FunctionSink, Outcome, Verdict},
};
use eventlane_kafka::{ContentMode, KafkaConfig, KafkaSink, KafkaSinkConfig, Sasl};
use eventlane_testkit::Kafka;
use rdkafka::{
    mocking::MockCluster, producer::DefaultProducerContext, types::RDKafkaApiKey as Api,
    types::RDKafkaRespErr as Code,
};
use tokio::time::Instant;

use crate::support::{Reader, config, special};

fn event(id: &str, key: Option<&str>, data: Option<&str>) -> Event {
    let mut event = Event::builder()
        .id(id)
        .source("/scores?q=a%20b")
        .ty("score")
        .subject("Ünï");
    if let Some(key) = key {
        event = event.extension("partitionkey", key);
    }
    if let Some(data) = data {
        let data = Data::json(data.to_owned()).unwrap();
        event = event.data_content_type("application/json").data(data);
    }
    event.build().unwrap()
}

async fn send(sink: &KafkaSink, events: impl IntoIterator<Item = Event>) -> Vec<Verdict> {
    match sink.send(Batch::new(events)).await {
        Outcome::Each(verdicts) => verdicts,
        Outcome::All(verdict) => panic!("one verdict: {verdict:?}"),
    }
}

fn taken(verdicts: &[Verdict]) -> bool {
    let delivered = |verdict: &Verdict| matches!(verdict, Verdict::Delivered);
    !verdicts.is_empty() && verdicts.iter().all(delivered)
}

#[tokio::test]
async fn events_come_back_as_what_they_were() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    for mode in [ContentMode::Binary, ContentMode::Structured] {
        let topic = kafka.topic(4);
        let source = config(kafka, &topic, &topic);
        let sink = KafkaSink::connect(source.sink(&topic).with_mode(mode))
            .await
            .unwrap();
        let sent = [
            event("1", Some("ann"), Some(r#"{"score": 1.10}"#)),
            event("2", Some("ann"), None),
            event("3", None, Some("[]")),
            event("4", Some("ann"), Some("null")),
        ];
        assert!(taken(&send(&sink, sent.clone()).await));
        let mut reader = Reader::open(source).await;
        let mut read = reader.read(4).await;
        let partition = read
            .iter()
            .find(|delivery| delivery.event.id() == "1")
            .unwrap()
            .receipt
            .partition;
        let of_ann = read.iter().filter(|d| d.receipt.partition == partition);
        let ids: Vec<_> = of_ann.map(|delivery| delivery.event.id()).collect();
        let of_ann: Vec<_> = ids.into_iter().filter(|id| *id != "3").collect();
        assert_eq!(of_ann, ["1", "2", "4"], "{mode:?}");
        read.sort_by(|one, other| one.event.id().cmp(other.event.id()));
        for (delivery, sent) in read.iter().zip(&sent) {
            assert_eq!(delivery.event, *sent, "{mode:?}");
            let key = sent.extension("partitionkey").map(ToString::to_string);
            assert_eq!(
                delivery.key.as_deref(),
                key.as_deref().map(str::as_bytes),
                "the record's key"
            );
        }
        reader.close().await;
    }
}

#[tokio::test]
async fn dead_letters_are_kept_in_a_topic() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(1);
    let config = config(kafka, &topic, &topic);
    let sink = KafkaSink::connect(config.sink(&topic)).await.unwrap();
    let letter = DeadLetter::new(
        event("1", Some("ann"), None),
        Failure::new("status_400", "no"),
        "http://a",
    );
    let kept = sink.keep(&[letter.clone(), letter]).await;
    assert!(
        kept.len() == 2 && kept.iter().all(Result::is_ok),
        "{kept:?}"
    );
    let mut reader = Reader::open(config).await;
    for delivery in reader.read(2).await {
        let reason = delivery.event.extension("eventlanereason").unwrap();
        assert_eq!(
            (delivery.event.id(), &*reason.as_str()),
            ("1", "status_400")
        );
    }
    reader.close().await;
}

/// The error of a connection that can't work, in one line.
async fn refused(config: KafkaSinkConfig) -> (ErrorKind, String) {
    let error = KafkaSink::connect(config).await.expect_err("can't work");
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.contains("secret"), "{text}");
    (error.kind(), text)
}

#[tokio::test]
async fn what_can_not_work_says_so_at_once() {
    let new = |topic: &str| KafkaSinkConfig::new("localhost:9092", topic);
    for (config, hint) in [
        (KafkaSinkConfig::new("", "t"), "bootstrap_servers"),
        (new(""), "no topic"),
        (new("t").with_property("acks", "0"), "acks can't be set"),
        (
            new("t").with_property("transactional.id", "x"),
            "outside of transactions",
        ),
        (
            new("t")
                .with_sasl(Sasl::plain("a", "secret"))
                .with_property("sasl.username", "b"),
            "either those or properties",
        ),
        (
            new("t").with_delivery_timeout(Duration::ZERO),
            "at least 1 ms",
        ),
        (new("t").with_property("linger.mss", "1"), "linger.mss"),
    ] {
        let (kind, text) = refused(config).await;
        assert_eq!(kind, ErrorKind::Config, "{text}");
        assert!(text.contains(hint), "{text}");
    }
    let nobody =
        KafkaSinkConfig::new("127.0.0.1:1", "t").with_connect_timeout(Duration::from_millis(700));
    let start = Instant::now();
    let (kind, text) = refused(nobody).await;
    assert_eq!(kind, ErrorKind::Unavailable, "{text}");
    assert!(text.contains("127.0.0.1:1"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// Brokers learn of a topic one after the other, so that one may not know it yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_has_just_been_created_is_found() {
    let Some(kafka) = special() else { return };
    let config = KafkaSinkConfig::new(kafka.sasl_bootstrap(), "just-created")
        .with_sasl(Sasl::scram_sha_512("alice", "alice-secret"));
    let connecting = tokio::spawn(KafkaSink::connect(config));
    tokio::task::block_in_place(|| kafka.create_topic("just-created", 1, &[]));
    connecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn brokers_say_what_is_missing() {
    let Some(kafka) = special() else { return };
    let topic = kafka.topic(1);
    let as_user = |user: &str, password: &str, topic: &str| {
        KafkaSinkConfig::new(kafka.sasl_bootstrap(), topic)
            .with_sasl(Sasl::scram_sha_512(user, password))
    };
    let alice = as_user("alice", "alice-secret", &topic);
    let sink = KafkaSink::connect(alice.clone()).await.unwrap();
    assert!(taken(&send(&sink, [event("1", None, None)]).await));
    let (kind, text) = refused(as_user("alice", "wrong-secret", &topic)).await;
    assert_eq!(kind, ErrorKind::Unauthorized, "{text}");
    let (kind, text) = refused(as_user("bob", "bob-secret", &topic)).await;
    assert_eq!(kind, ErrorKind::Unauthorized, "{text}");
    assert!(text.contains("Write on the topic"), "{text}");
    let (kind, text) = refused(as_user("alice", "alice-secret", "no-such-topic")).await;
    assert_eq!(kind, ErrorKind::Config, "{text}");
    assert!(text.contains("does not exist"), "{text}");

    // By the topic, and by what is set here; but not what is on its way with it.
    kafka.create_topic("small", 1, &[("max.message.bytes", "2000")]);
    let small = as_user("alice", "alice-secret", "small");
    let large = format!("\"{}\"", "x".repeat(4000));
    let by_topic = KafkaSink::connect(small.clone()).await.unwrap();
    let by_us = small.with_property("message.max.bytes", "3000");
    let by_us = KafkaSink::connect(by_us).await.unwrap();
    for sink in [by_topic, by_us] {
        let large = event("large", Some("ann"), Some(&large));
        let verdicts = send(&sink, [large, event("small", Some("bob"), None)]).await;
        let [Verdict::Reject(failure), Verdict::Delivered] = &verdicts[..] else {
            panic!("{verdicts:?}");
        };
        assert!(failure.message.contains("max.message.bytes"), "{failure:?}");
    }
}

/// A cluster in this process that fails as it is told.
fn mock() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("scores", 1, 1).unwrap();
    cluster
}

fn scores(cluster: &MockCluster<'static, DefaultProducerContext>) -> KafkaSinkConfig {
    KafkaSinkConfig::new(cluster.bootstrap_servers(), "scores")
        .with_property("retry.backoff.ms", "20")
}

#[tokio::test]
async fn what_fails_on_the_way_is_neither_lost_nor_repeated_nor_reordered() {
    let cluster = mock();
    let sink = KafkaSink::connect(scores(&cluster)).await.unwrap();
    cluster.request_errors(
        Api::Produce,
        &[
            Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            Code::RD_KAFKA_RESP_ERR__TRANSPORT,
            Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            Code::RD_KAFKA_RESP_ERR_NO_ERROR,
            Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        ],
    );
    for number in 0..20 {
        let verdicts = send(&sink, [event(&number.to_string(), Some("ann"), None)]).await;
        assert!(taken(&verdicts), "{verdicts:?}");
    }
    let config = KafkaConfig::new(cluster.bootstrap_servers(), "g", ["scores"]);
    let mut reader = Reader::open(config).await;
    let read = reader.read(20).await;
    let ids: Vec<u32> = read.iter().map(|d| d.event.id().parse().unwrap()).collect();
    assert!(ids.into_iter().eq(0..20));
    assert!(reader.read_all().await.is_empty());
    reader.close().await;
}

#[tokio::test]
async fn an_outage_is_tried_again_and_a_missing_permission_holds() {
    let cluster = mock();
    let config = scores(&cluster).with_delivery_timeout(Duration::from_millis(300));
    let sink = KafkaSink::connect(config).await.unwrap();
    cluster.broker_down(1).unwrap();
    let verdicts = send(&sink, [event("1", None, None)]).await;
    let [Verdict::Retry(failure)] = &verdicts[..] else {
        panic!("{verdicts:?}");
    };
    assert_eq!(failure.reason, "unavailable", "{}", failure.message);
    cluster.broker_up(1).unwrap();
    recovers(&sink).await;

    let denied = [Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    cluster.request_errors(Api::Produce, &denied);
    let verdicts = send(&sink, [event("1", None, None)]).await;
    assert!(matches!(verdicts[..], [Verdict::Hold(_)]), "{verdicts:?}");
    recovers(&sink).await;
}

async fn recovers(sink: &KafkaSink) {
    let end = Instant::now() + Duration::from_secs(20);
    while !taken(&send(sink, [event("1", None, None)]).await) {
        assert!(Instant::now() < end, "it does not recover");
    }
}

/// An idempotent producer whose records the broker has lost track of refuses everything from then
/// on.
#[tokio::test]
async fn a_producer_that_has_failed_for_good_is_replaced() {
    let cluster = mock();
    let sink = KafkaSink::connect(scores(&cluster)).await.unwrap();
    assert!(taken(&send(&sink, [event("1", None, None)]).await));
    let lost = [Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER];
    cluster.request_errors(Api::Produce, &lost);
    let verdicts = send(&sink, [event("2", None, None)]).await;
    assert!(matches!(verdicts[..], [Verdict::Retry(_)]), "{verdicts:?}");
    assert!(taken(&send(&sink, [event("2", None, None)]).await));
}

#[tokio::test]
async fn a_pipeline_goes_into_a_topic() {
    let cluster = mock();
    let sink = KafkaSink::connect(scores(&cluster)).await.unwrap();
    assert_eq!(
        Sink::destination(&sink).split_once("//").unwrap().0,
        "kafka:"
    );
    let log = MemoryLog::new(1);
    for number in 0..300 {
        let key = format!("k{}", number % 30);
        let event = event(&number.to_string(), Some(&key), Some("{}"));
        log.append(0, event, Some(&key));
    }
    log.finish();
    let pipeline = Pipeline::new(log.source("g"), sink.clone());
    assert_eq!(pipeline.run().await.unwrap().delivered, 300);
    // Clones share a producer, which works until the last of them is gone.
    let source = KafkaConfig::new(cluster.bootstrap_servers(), "g", ["scores"]);
    let source = eventlane_kafka::KafkaSource::connect(source).await.unwrap();
    let count = FunctionSink::new(|_: Event| async {});
    let back = Pipeline::new(source, count).with_idle_timeout(Duration::from_secs(1));
    assert_eq!(back.run().await.unwrap().delivered, 300);
    assert!(taken(&send(&sink, [event("last", None, None)]).await));
}
