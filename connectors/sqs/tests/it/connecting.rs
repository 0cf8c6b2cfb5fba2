//! What is said when it can't work.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use eventlane::{Error, ErrorKind, queue::QueueBackend};
use eventlane_sqs::{SqsConfig, SqsQueue, StaticCredentials};
use tokio::{net::TcpListener, time::Instant};

use crate::{
    fake::{Fake, FakeOptions, Fault, Kind},
    support::{Server, bodies, on_every_server, take},
};

on_every_server! {
    a_queue_that_is_missing_is_named
    a_wrong_key_is_refused
    a_poisonous_message_goes_to_the_dead_letter_queue
}

async fn refusal(config: SqsConfig) -> Error {
    let error = SqsQueue::connect(config).await.unwrap_err();
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.contains("hush"), "{text}");
    error
}

async fn a_queue_that_is_missing_is_named(server: &Server) {
    let mut config = server.queue(false, 30).await.config;
    config.queue_url.push_str("-not");
    let error = refusal(config.clone()).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let text = error.to_string();
    assert!(text.contains(&config.queue_url), "{text}");
    assert!(
        text.contains("QueueDoesNotExist") || text.contains("NonExistentQueue"),
        "{text}"
    );
    assert!(text.contains("create the queue"), "{text}");
}

async fn a_wrong_key_is_refused(server: &Server) {
    let config = server.queue(false, 30).await.config;
    let config = config.with_credentials(StaticCredentials::new("wrong", "hush"));
    if !server.checks_keys() {
        SqsQueue::connect(config).await.unwrap();
        return;
    }
    let error = refusal(config).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let text = error.to_string();
    assert!(text.contains("the access key's id is unknown"), "{text}");
    assert!(text.contains("request: fake-request"), "{text}");
}

async fn a_poisonous_message_goes_to_the_dead_letter_queue(server: &Server) {
    let (made, dead) = (server.queue(false, 30).await, server.queue(false, 30).await);
    let arn = format!("arn:aws:sqs:us-east-1:000000000000:{}", dead.name);
    let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"1"}}"#);
    // A queue of its own, since the fake can't change one.
    let name = format!("{}-poisoned", made.name);
    let create = made.client.create_queue().queue_name(&name);
    create
        .attributes(QueueAttributeName::RedrivePolicy, policy)
        .send()
        .await
        .unwrap();
    let mut config = made.config.clone();
    config.queue_url.push_str("-poisoned");
    let queue = SqsQueue::connect(config.clone()).await.unwrap();
    let send = made.client.send_message().queue_url(&config.queue_url);
    send.message_body("x").send().await.unwrap();
    let message = take(&queue, 1).await.remove(0);
    let back = [(message.handle, Duration::ZERO)];
    queue
        .change_visibility(&back)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    // It is moved by the receive that would have brought it once too often.
    assert_eq!(
        queue
            .receive(1, Duration::from_secs(1))
            .await
            .unwrap()
            .len(),
        0
    );
    assert_eq!(bodies(&take(&dead.connect().await, 1).await), ["x"]);
}

#[tokio::test]
async fn an_endpoint_where_nobody_listens_is_unavailable() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let config = SqsConfig::new(format!("{endpoint}/000000000000/q"))
        .with_endpoint(endpoint)
        .with_credentials(StaticCredentials::new("test", "hush"));
    let start = Instant::now();
    let error = refusal(config).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let fake = Fake::start(FakeOptions::default());
    fake.faults().always(Kind::Attributes, Fault::Hang);
    let config = fake
        .config("q")
        .with_request_timeout(Duration::from_secs(1));
    let start = Instant::now();
    let error = refusal(config).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("no answer in time"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_refused_is_explained() {
    let fake = Fake::start(FakeOptions::default());
    for (fault, kind, text) in [
        (
            Fault::Code("ExpiredTokenException"),
            ErrorKind::Unauthorized,
            "renew the credentials",
        ),
        (Fault::Code("InvalidAddress"), ErrorKind::Config, "region"),
        (
            Fault::Code("SomethingNew"),
            ErrorKind::Unexpected,
            "SomethingNew",
        ),
        (
            Fault::Status(404),
            ErrorKind::Config,
            "is the endpoint one of SQS?",
        ),
        (Fault::Malformed, ErrorKind::Unavailable, "can't be read"),
    ] {
        fake.faults().always(Kind::Attributes, fault);
        let error = refusal(fake.config("q")).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn the_attributes_need_not_be_readable() {
    let fake = Fake::start(FakeOptions {
        visibility: Duration::from_secs(1),
        ..FakeOptions::default()
    });
    fake.faults()
        .always(Kind::Attributes, Fault::Code("AccessDeniedException"));
    let config = fake.config("q.fifo");
    let url = config.queue_url.clone();
    let queue = SqsQueue::connect(config).await.unwrap();
    assert!(queue.is_fifo());
    assert_eq!(queue.source(), url);
    assert_eq!(queue.depth().await.unwrap(), None);
    // The lease that is assumed is asked for.
    assert_eq!(queue.limits().lease, Duration::from_secs(30));
    fake.send("q.fifo", "x", Some("a"));
    let message = take(&queue, 1).await.remove(0);
    assert_eq!(message.event.source(), url);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(fake.in_flight("q.fifo"), 1);
}

#[tokio::test]
async fn a_queue_shows_itself_in_short_and_without_secrets() {
    let fake = Fake::start(FakeOptions::default());
    let config = fake
        .config("q")
        .with_credentials(StaticCredentials::new(crate::fake::KEY, "hush"));
    let shown = format!("{:?}", SqsQueue::connect(config).await.unwrap());
    assert!(shown.len() < 2000 && !shown.contains("hush"), "{shown}");
}
