//! What is found before anything is consumed, and where consumption starts.

use std::time::Duration;

use eventlane::{
    ErrorKind,
    source::{Demand, Signal},
};
use eventlane_kafka::{KafkaConfig, KafkaSource, Sasl, StartOffset, Tls, Token, TokenProvider};
use eventlane_testkit::{Kafka, eventually};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::support::{PATIENCE, Reader, config, offsets, produce, refused, special};

fn brief(config: KafkaConfig) -> KafkaConfig {
    config.with_connect_timeout(Duration::from_secs(4))
}

#[tokio::test]
async fn no_broker() {
    // Bound, and closed again: nobody listens there.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let config = KafkaConfig::new(format!("127.0.0.1:{port}"), "g", ["t"]);
    let (kind, text) = refused(config.with_connect_timeout(Duration::from_secs(1))).await;
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(
        text.contains("refused") && text.contains(&port.to_string()),
        "{text}"
    );
}

#[tokio::test]
async fn a_broker_that_accepts_and_is_silent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = KafkaConfig::new(listener.local_addr().unwrap().to_string(), "g", ["t"]);
    let (kind, _) = refused(config.with_connect_timeout(Duration::from_secs(1))).await;
    assert_eq!(kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn no_topic_and_none_is_made() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    for _ in 0..2 {
        let (kind, text) = refused(brief(config(kafka, "no-topic", "no-such-topic"))).await;
        assert_eq!(kind, ErrorKind::Config, "{text}");
        assert!(
            text.contains("no-such-topic") && text.contains("does not exist"),
            "{text}"
        );
    }
    let (kind, _) = refused(brief(config(kafka, "no-topic", "a bad name"))).await;
    assert_eq!(kind, ErrorKind::Config);
}

#[tokio::test]
async fn wrong_password_and_wrong_mechanism() {
    let Some(kafka) = special() else { return };
    let topic = kafka.topic(1);
    let at = KafkaConfig::new(kafka.sasl_bootstrap(), "password", [topic.as_str()]);
    for sasl in [
        Sasl::scram_sha_512("alice", "wrong"),
        Sasl::scram_sha_256("nobody", "alice-secret"),
        Sasl::plain("alice", "wrong"),
    ] {
        let (kind, text) = refused(brief(at.clone().with_sasl(sasl))).await;
        assert_eq!(kind, ErrorKind::Unauthorized, "{text}");
        assert!(text.contains("check the user"), "{text}");
        assert!(!text.contains("wrong"), "{text}");
    }
    // Nothing at all: the broker hangs up.
    let (kind, _) = refused(brief(at)).await;
    assert_eq!(kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn wrong_certificates() {
    let Some(kafka) = special() else { return };
    let topic = kafka.topic(1);
    let at = |bootstrap: String| KafkaConfig::new(bootstrap, "certificates", [topic.as_str()]);
    let rogue = Tls::new().with_ca(kafka.tls_file("rogue-ca.pem").into());
    let (kind, text) = refused(brief(at(kafka.tls_bootstrap()).with_tls(rogue))).await;
    assert_eq!(kind, ErrorKind::Unauthorized, "{text}");
    assert!(text.contains("certificate"), "{text}");

    let ours = Tls::new().with_ca(kafka.tls_file("ca.pem").into());
    let expired = at(kafka.expired_tls_bootstrap()).with_tls(ours.clone());
    let (kind, text) = refused(brief(expired)).await;
    assert_eq!(kind, ErrorKind::Unauthorized, "{text}");
    assert!(text.contains("certificate"), "{text}");

    // TLS to a port that speaks none.
    let (kind, _) = refused(brief(at(kafka.bootstrap()).with_tls(ours))).await;
    assert!(
        matches!(kind, ErrorKind::Unauthorized | ErrorKind::Unavailable),
        "{kind:?}"
    );
}

#[tokio::test]
async fn no_permission() {
    let Some(kafka) = special() else { return };
    // bob may do nothing.
    let topic = kafka.topic(1);
    let at = KafkaConfig::new(kafka.sasl_bootstrap(), "permissions", [topic.as_str()]);
    let bob = brief(at.with_sasl(Sasl::scram_sha_256("bob", "bob-secret")));
    let (kind, text) = refused(bob).await;
    assert_eq!(kind, ErrorKind::Unauthorized, "{text}");
    assert!(text.contains("permission"), "{text}");
}

#[tokio::test]
async fn all_mechanisms_and_tls_work() {
    let Some(kafka) = special() else { return };
    let topic = kafka.topic(1);
    produce(kafka, &topic, 0, 0..3);
    let pem = |name: &str| std::fs::read_to_string(kafka.tls_file(name)).unwrap();
    let ca = Tls::new().with_ca(kafka.tls_file("ca.pem").into());
    let text = Tls::new()
        .with_ca(pem("ca.pem").into())
        .with_identity(pem("client.pem").into(), pem("client.key").into());
    let unsecured = serde_json::from_str::<Sasl>(
        r#"{"mechanism": "OAUTHBEARER", "unsecured": "principal=alice"}"#,
    );
    let cases = [
        (
            kafka.sasl_bootstrap(),
            Some(Sasl::plain("alice", "alice-secret")),
            None,
        ),
        (
            kafka.sasl_bootstrap(),
            Some(Sasl::scram_sha_256("alice", "alice-secret")),
            None,
        ),
        (kafka.sasl_bootstrap(), Some(unsecured.unwrap()), None),
        (
            kafka.sasl_tls_bootstrap(),
            Some(Sasl::scram_sha_512("alice", "alice-secret")),
            Some(ca),
        ),
        (
            kafka.sasl_tls_bootstrap(),
            Some(Sasl::plain("alice", "alice-secret")),
            Some(text),
        ),
    ];
    for (at, (bootstrap, sasl, tls)) in cases.into_iter().enumerate() {
        let mut config = KafkaConfig::new(bootstrap, format!("secure-{at}"), [topic.as_str()]);
        (config.sasl, config.tls) = (sasl, tls);
        let mut reader = Reader::open(config).await;
        assert_eq!(offsets(&reader.read(3).await), [0, 1, 2], "case {at}");
        reader.close().await;
    }
}

/// An unsigned token, as the broker of the tests takes it.
struct Unsigned;

impl TokenProvider for Unsigned {
    fn token(&self) -> Result<Token, Box<dyn std::error::Error + Send + Sync>> {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
        let now = std::time::SystemTime::now();
        let seconds = now.duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let claims = format!(
            r#"{{"sub":"alice","iat":{seconds},"exp":{}}}"#,
            seconds + 600
        );
        let token = format!(
            "{}.{}.",
            B64.encode(r#"{"alg":"none"}"#),
            B64.encode(claims)
        );
        Ok(Token {
            value: token.into(),
            principal: "alice".to_owned(),
            expires: now + Duration::from_secs(600),
        })
    }
}

/// Has none.
struct Empty;

impl TokenProvider for Empty {
    fn token(&self) -> Result<Token, Box<dyn std::error::Error + Send + Sync>> {
        Err("the vault is sealed".into())
    }
}

#[tokio::test]
async fn tokens_come_from_a_provider() {
    let Some(kafka) = special() else { return };
    let topic = kafka.topic(1);
    produce(kafka, &topic, 0, 0..1);
    let config = KafkaConfig::new(kafka.sasl_bootstrap(), "tokens", [topic.as_str()])
        .with_sasl(Sasl::oauth_bearer());
    let mut reader = Reader::open(config.clone().with_token_provider(Unsigned)).await;
    reader.read(1).await;
    reader.close().await;
    let (kind, text) = refused(brief(config.with_token_provider(Empty))).await;
    assert_eq!(kind, ErrorKind::Unauthorized, "{text}");
    assert!(text.contains("the vault is sealed"), "{text}");
}

#[tokio::test]
async fn starts_at_a_time() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(2);
    let producer: ThreadedProducer<DefaultProducerContext> = kafka.client().create().unwrap();
    for offset in 0..10 {
        let record = BaseRecord::<str, str>::to(&topic).partition(0).payload("x");
        let _ = producer.send(record.timestamp(1_700_000_000_000 + offset * 1000));
    }
    producer.flush(PATIENCE).unwrap();
    let at = config(kafka, "time", &topic).with_start(StartOffset::Timestamp(1_700_000_006_500));
    let mut reader = Reader::open(at).await;
    assert_eq!(offsets(&reader.read(3).await), [7, 8, 9]);
    // Both positions are known before anything is read, and so are committed.
    reader.advanced.sort_by_key(|position| position.next);
    assert_eq!(
        reader.advanced.iter().map(|p| p.next).collect::<Vec<_>>(),
        [0, 7]
    );
    reader.close().await;
}

#[tokio::test]
async fn starts_at_the_end_and_stays_there() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(1);
    produce(kafka, &topic, 0, 0..5);
    let latest = config(kafka, "latest", &topic).with_start(StartOffset::Latest);
    let mut reader = Reader::open(latest.clone()).await;
    let position = reader
        .wait("the start", |signal| match signal {
            Signal::Advanced(positions) => positions.first().copied(),
            _ => None,
        })
        .await;
    assert_eq!(position.next, 5);
    let receipt = eventlane::source::Receipt {
        partition: position.partition,
        epoch: position.epoch,
        seq: position.next,
    };
    reader.settle(receipt, &[]).await.unwrap();
    reader.close().await;

    // What comes while nobody listens is not lost.
    produce(kafka, &topic, 0, 5..8);
    let mut reader = Reader::open(latest).await;
    assert_eq!(offsets(&reader.read(3).await), [5, 6, 7]);
    reader.close().await;
}

#[tokio::test]
async fn a_pattern_finds_topics_that_come_later() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let pattern = config(kafka, "pattern", "^pattern-[0-9]+$")
        .with_property("topic.metadata.refresh.interval.ms", "500");
    let mut reader = Reader::open(pattern).await;
    kafka.create_topic("pattern-1", 1, &[]);
    kafka.create_topic("pattern-x", 1, &[]);
    produce(kafka, "pattern-x", 0, 0..1);
    produce(kafka, "pattern-1", 0, 0..2);
    let read = reader.read(2).await;
    assert!(
        read.iter()
            .all(|delivery| delivery.event.source().ends_with("#pattern-1"))
    );
    reader.close().await;
}

#[tokio::test]
async fn the_lag_can_be_read() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(1);
    produce(kafka, &topic, 0, 0..10);
    let mut reader = Reader::open(config(kafka, "lag", &topic)).await;
    let monitor = reader.source.monitor();
    let read = reader.read(4).await;
    let receipt = read[3].receipt;
    reader.settle(receipt, &[]).await.unwrap();
    assert_eq!(monitor.lag(), Some(7));
    reader.read(6).await;
    reader
        .settle(eventlane::source::Receipt { seq: 10, ..receipt }, &[])
        .await
        .unwrap();
    assert_eq!(monitor.lag(), Some(0));
    produce(kafka, &topic, 0, 10..13);
    eventually(PATIENCE, "the lag of what has come", || {
        (monitor.lag() == Some(3)).then_some(())
    });
    let partition = &monitor.partitions()[0];
    assert_eq!((partition.committed, partition.end), (Some(10), Some(13)));
    reader.signal(Demand::NONE, Duration::ZERO).await;
    reader.close().await;
    assert_eq!(monitor.lag(), None);
}

#[tokio::test]
async fn a_source_that_is_dropped_leaves_the_group() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(1);
    // A session timeout that the test would not survive.
    let config = config(kafka, "dropped", &topic).with_session_timeout(Duration::from_secs(60));
    for _ in 0..2 {
        let mut source = KafkaSource::connect(config.clone()).await.unwrap();
        let signal =
            tokio::time::timeout(PATIENCE, eventlane::Source::poll(&mut source, Demand::NONE));
        assert!(matches!(signal.await, Ok(Ok(Signal::Assigned(_)))));
    }
}
