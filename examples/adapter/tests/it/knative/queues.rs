//! Sources of our own on what they read from: a server that speaks SQS, RocketMQ, and MNS as far as
//! it can be had, since there is none but Alibaba Cloud's.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use eventlane_rocketmq::{
    Credentials, RocketMqConfig, Tls,
    client::{Consumer, OutgoingMessage, Producer},
};
use eventlane_testkit::{
    eventually,
    rocketmq::{Options, RocketMq, TopicType},
    sqs::{ElasticMq, Queue},
};
use tokio::runtime;

use super::{
    gateway::{Answer, Request},
    host::Host,
};
use crate::{fakes, support::LIMIT};

/// A message, and its group.
fn body(group: &str, number: u64) -> String {
    format!("{{\"key\":\"{group}\",\"seq\":{number}}}")
}

/// The rest of a resource: with a dead letter at the third failure, and an attribute of its own.
fn rest(host: &Host) -> String {
    format!(
        "  sink: {{uri: \"{}\"}}\n  ceOverrides: {{extensions: {{tenant: shop}}}}\n  \
         delivery: {{retry: 2, backoffPolicy: linear, backoffDelay: PT0.1S, \
         deadLetterSink: {{uri: \"{}\"}}}}\n",
        host.gateway.url("/orders"),
        host.gateway.url("/letters"),
    )
}

/// What has to hold wherever messages come from. `send` sends [`body`] of a group and a number.
fn carries(host: &Host, source: &str, ty: &str, mut send: impl FnMut(&str, u64)) {
    let gateway = &host.gateway;
    gateway.answer("/orders", |_, body| {
        if body.contains("poison") {
            Answer::new(503).with("kne-reason: busy\r\n", b"later")
        } else if body.contains("slow") {
            Answer::new(204).after(Duration::from_secs(1))
        } else {
            Answer::new(204)
        }
    });
    send("poison", 0);
    for number in 0..3 {
        send("a", number);
        send("b", number);
    }
    let adapter = host.start_with(&[], &[]);
    let letter = &gateway.wait("/letters", 1)[0];
    let requests = gateway.wait("/orders", 9);
    let of = |group: &str| {
        let requests = requests.iter();
        let about = requests.filter(|request| request.header("ce-partitionkey") == group);
        about.collect::<Vec<_>>()
    };
    for group in ["a", "b"] {
        let bodies = of(group).into_iter().map(|request| request.body.clone());
        let expected = (0..3).map(|number| body(group, number));
        assert_eq!(bodies.collect::<Vec<_>>(), Vec::from_iter(expected));
    }
    let poison = of("poison");
    assert_eq!(poison.len(), 3, "{requests:?}");
    for (two, least) in poison.windows(2).zip([100, 200]) {
        let gap = two[1].at.saturating_duration_since(two[0].at);
        assert!(gap >= Duration::from_millis(least), "{gap:?}");
    }
    let is_ours = |request: &Request| {
        assert_eq!(request.header("ce-source"), source);
        assert_eq!(request.header("ce-type"), ty);
        assert_eq!(request.header("ce-tenant"), "shop");
        assert!(!request.header("ce-id").is_empty() && !request.header("ce-time").is_empty());
    };
    requests.iter().for_each(is_ours);
    is_ours(letter);
    assert_eq!(letter.body, body("poison", 0));
    assert_eq!(letter.header("ce-id"), poison[0].header("ce-id"));
    assert_eq!(letter.header("ce-knativeerrordest"), gateway.url("/orders"));
    assert_eq!(letter.header("ce-knativeerrorcode"), "503");
    assert_eq!(
        letter.header("ce-knativeerrordata"),
        BASE64_STANDARD.encode("later")
    );
    assert_eq!(letter.header("ce-reason"), "busy");

    // What is on its way at SIGTERM gets there, and is settled.
    send("slow", 0);
    gateway.wait("/orders", 10);
    adapter.signal("TERM");
    let log = adapter.succeed(LIMIT);
    for said in ["delivered 7", "dead-lettered 1", "unsettled 0"] {
        assert!(log.contains(said), "{said} in {log}");
    }
    assert_eq!(gateway.requests("/orders").len(), 10, "{log}");
    assert_eq!(gateway.requests("/letters").len(), 1, "{log}");
}

#[test]
fn an_sqs_source_carries_a_queue() {
    let Some(server) = ElasticMq::start_or_skip() else {
        return;
    };
    let queue = Queue::create(server.endpoint(), "orders", true, 30);
    let mut host = Host::new();
    host.secret("sqs", "id", b"AKIAGOOD\n");
    host.secret("sqs", "secret", b"hush\n");
    host.resource(&format!(
        "apiVersion: eventlane.dev/v1alpha1\nkind: SqsSource\nmetadata: {{name: orders}}\nspec:\n  \
         queueURL: \"{}\"\n  region: us-east-1\n  endpoint: \"{}\"\n  auth:\n    \
         accessKeyId: {{secretKeyRef: {{name: sqs, key: id}}}}\n    \
         secretAccessKey: {{secretKeyRef: {{name: sqs, key: secret}}}}\n{}",
        queue.url(),
        server.endpoint(),
        rest(&host),
    ));
    let source = "arn:aws:sqs:us-east-1:000000000000:orders.fifo";
    carries(&host, source, "com.amazon.sqs.message", |group, number| {
        queue.send(&[(group.to_owned(), number)]).unwrap();
    });
    assert_eq!(queue.counts(), Ok((0, 0)));
}

#[test]
fn an_mns_source_carries_a_queue() {
    let server = fakes::mns();
    let mut host = Host::new();
    host.secret("mns", "id", b"LTAIGOOD\n");
    host.secret("mns", "secret", b"hush\n");
    host.resource(&format!(
        "apiVersion: eventlane.dev/v1alpha1\nkind: MnsSource\nmetadata: {{name: orders}}\nspec:\n  \
         endpoint: \"{}\"\n  queue: orders\n  region: cn-hangzhou\n  auth:\n    \
         accessKeyId: {{secretKeyRef: {{name: mns, key: id}}}}\n    \
         accessKeySecret: {{secretKeyRef: {{name: mns, key: secret}}}}\n{}",
        server.endpoint(),
        rest(&host),
    ));
    carries(
        &host,
        "acs:mns",
        "mns:Queue:SendMessage",
        |group, number| {
            server.send("orders", body(group, number), Some(group));
        },
    );
    assert_eq!(server.len("orders"), 0);
}

#[test]
fn a_rocketmq_source_carries_a_topic() {
    let options = Options {
        acl: true,
        tls: true,
        short: true,
        ..Options::default()
    };
    let Some(broker) = RocketMq::start_or_skip(options) else {
        return;
    };
    broker.create_topic("orders", TopicType::Fifo, 2);
    broker.create_group("billing", true, 16);
    let mut host = Host::new();
    host.secret("rocketmq", "user", b"eventlane\n");
    host.secret("rocketmq", "password", b"eventlane-secret\n");
    host.secret("rocketmq", "ca.crt", &std::fs::read(broker.ca()).unwrap());
    host.resource(&format!(
        "apiVersion: eventlane.dev/v1alpha1\nkind: RocketMQSource\nmetadata: {{name: orders}}\n\
         spec:\n  endpoints: [\"{}\"]\n  topics: [{{name: orders}}]\n  consumerGroup: billing\n  \
         namespace: \"\"\n  net:\n    acl:\n      enable: true\n      \
         accessKey: {{secretKeyRef: {{name: rocketmq, key: user}}}}\n      \
         secretKey: {{secretKeyRef: {{name: rocketmq, key: password}}}}\n    \
         tls: {{enable: true, caCert: {{secretKeyRef: {{name: rocketmq, key: ca.crt}}}}}}\n{}",
        broker.endpoint(),
        rest(&host),
    ));
    let runtime = runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.unwrap();
    let config = RocketMqConfig::new(broker.endpoint(), "billing")
        .with_topic("orders")
        .with_wait(Duration::from_secs(1))
        .with_tls(Tls::new().with_ca(broker.ca()))
        .with_credentials(Credentials::new("eventlane", "eventlane-secret"));
    let producer = eventually(LIMIT, "a producer", || {
        runtime
            .block_on(Producer::connect(&config, &["orders"]))
            .ok()
    });
    let source = "rocketmq://127.0.0.1/orders";
    carries(
        &host,
        source,
        "org.apache.rocketmq.message",
        |group, number| {
            let message = OutgoingMessage::new(body(group, number)).with_group(group);
            runtime.block_on(producer.send("orders", &message)).unwrap();
        },
    );
    // A FIFO group gets nothing behind what is on lease: what comes is all that was left.
    runtime.block_on(async {
        for group in ["poison", "a", "b", "slow"] {
            let last = OutgoingMessage::new("last").with_group(group);
            producer.send("orders", &last).await.unwrap();
        }
        let consumer = Consumer::connect(&config).await.unwrap();
        let mut left = Vec::new();
        while left.len() < 4 {
            let received = consumer.receive(32, Duration::from_secs(1)).await.unwrap();
            let handles: Vec<_> = received.iter().map(|it| it.handle.clone()).collect();
            if !handles.is_empty() {
                consumer.ack(&handles).await.unwrap();
            }
            left.extend(received.into_iter().map(|it| it.body));
        }
        assert!(left.iter().all(|body| body[..] == *b"last"), "{left:?}");
    });
}
