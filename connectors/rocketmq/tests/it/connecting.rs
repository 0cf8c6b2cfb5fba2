//! What can be wrong is said when it connects, in one line.

use eventlane::{Error, ErrorKind};
use eventlane_rocketmq::{
    Credentials, RocketMqConfig, RocketMqQueue, Subscription, Tls,
    client::{Consumer, OutgoingMessage, Producer},
};
use eventlane_testkit::rocketmq::{Options, RocketMq, TopicType};
use tokio::{net::TcpListener, time::Instant};

use crate::support::{Is, SECOND, Topic, on_both};

on_both! {
    unknown_topics_groups_and_filters_are_named
}

async fn refused(config: RocketMqConfig) -> Error {
    let began = Instant::now();
    let error = RocketMqQueue::connect(config).await.unwrap_err();
    assert!(
        began.elapsed() < 10 * SECOND,
        "{error}: {:?}",
        began.elapsed()
    );
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}

fn assert_says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    let line = error.to_string();
    assert!(parts.iter().all(|part| line.contains(part)), "{line}");
}

async fn unknown_topics_groups_and_filters_are_named(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 1, 16).await;
    let unknown = refused(topic.config_for("no-such-topic")).await;
    assert_says(
        &unknown,
        ErrorKind::Config,
        &["no-such-topic", "create the topic"],
    );
    let mut config = topic.config();
    config.group = "no-such-group".into();
    assert_says(&refused(config).await, ErrorKind::Config, &["group"]);
    let bad = Subscription::new(&topic.name).with_sql("a === b");
    let bad = refused(topic.config_for(bad)).await;
    assert_says(
        &bad,
        ErrorKind::Config,
        &[&topic.name, "correct the filter"],
    );
    let short = refused(topic.config().with_lease(SECOND)).await;
    assert_says(&short, ErrorKind::Config, &[&topic.name, "lease"]);
    let delayed = OutgoingMessage::new("x").with_delay(SECOND);
    let error = topic
        .producer
        .send(&topic.name, &delayed)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("messages of another type"),
        "{error}"
    );
    let producer = Producer::connect(&topic.config(), &["no-such-topic"]).await;
    assert_says(
        &producer.unwrap_err(),
        ErrorKind::Config,
        &["no-such-topic"],
    );
}

#[tokio::test]
async fn endpoints_that_are_none_are_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    for endpoint in [
        silent.to_string(),
        address.to_string(),
        "no-such-host.invalid:1".into(),
    ] {
        let config = RocketMqConfig::new(&endpoint, "g")
            .with_topic("t")
            .with_request_timeout(SECOND)
            .with_connect_timeout(SECOND);
        assert_says(&refused(config).await, ErrorKind::Unavailable, &[&endpoint]);
    }
}

#[tokio::test]
async fn credentials_and_tls_are_checked() {
    let options = Options {
        acl: true,
        tls: true,
        ..Options::default()
    };
    let Some(broker) = RocketMq::start_or_skip(options) else {
        return;
    };
    broker.create_topic("t", TopicType::Normal, 1);
    broker.create_group("g", false, 16);
    broker.create_user("nobody", "nobody-secret");
    let config = RocketMqConfig::new(broker.endpoint(), "g").with_topic("t");
    let as_user = |name: &str, password: &str| {
        let credentials = Credentials::new(name, password);
        config.clone().with_credentials(credentials)
    };
    for config in [
        config.clone(),
        as_user("eventlane", "wrong"),
        as_user("stranger", "x"),
        as_user("nobody", "nobody-secret"),
    ] {
        let error = refused(config).await;
        assert_says(&error, ErrorKind::Unauthorized, &["credentials"]);
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    let tls = as_user("eventlane", "eventlane-secret").with_tls(Tls::new().with_ca(broker.ca()));
    let producer = Producer::connect(&tls, &["t"]).await.unwrap();
    let consumer = Consumer::connect(&tls).await.unwrap();
    producer
        .send("t", &OutgoingMessage::new("x"))
        .await
        .unwrap();
    assert_eq!(crate::support::receive(&consumer, 1).await.len(), 1);
    // Nobody in the system's store has signed it.
    let stranger = refused(as_user("eventlane", "eventlane-secret").with_tls(Tls::new())).await;
    assert_says(&stranger, ErrorKind::Unavailable, &["certificate"]);
    let missing = as_user("eventlane", "x").with_tls(Tls::new().with_ca("/nowhere/ca.pem"));
    assert_says(
        &refused(missing).await,
        ErrorKind::Config,
        &["/nowhere/ca.pem"],
    );
}
