//! The queue as the poller sees it.

use std::time::Duration;

use eventlane::{
    ErrorKind,
    queue::{Message, QueueBackend},
};
use eventlane_mns::{
    BodyEncoding, EventConfig, MnsQueue, OnInvalid, Signing,
    client::{OutgoingMessage, ReceiptHandle},
};
use tokio::time::{Instant, sleep};

use crate::fake::{Fake, FakeOptions, Fault, Kind};

const SECOND: Duration = Duration::from_secs(1);

async fn fake() -> Fake {
    Fake::start(FakeOptions::default()).await
}

async fn receive(queue: &MnsQueue) -> Vec<Message<ReceiptHandle>> {
    queue.receive(16, SECOND).await.unwrap()
}

fn bodies(messages: &[Message<ReceiptHandle>]) -> Vec<String> {
    let body = |message: &Message<_>| {
        let data = message.event.data().unwrap();
        String::from_utf8_lossy(data.as_bytes()).into_owned()
    };
    messages.iter().map(body).collect()
}

#[tokio::test]
async fn limits_are_those_of_the_service_and_the_queue() {
    let fake = Fake::start(FakeOptions {
        lease: 45 * SECOND,
        ..FakeOptions::default()
    })
    .await;
    let queue = MnsQueue::connect(fake.config("orders")).await.unwrap();
    let limits = queue.limits();
    assert_eq!((limits.receive, limits.batch), (16, 16));
    assert_eq!((limits.wait, limits.lease), (SECOND, 45 * SECOND));
    assert_eq!(limits.min_visibility, SECOND);
    assert_eq!(limits.max_visibility, 43_200 * SECOND);
    assert_eq!(queue.name(), "orders");
    assert_eq!(queue.depth().await.unwrap(), None);
    assert_eq!(fake.requests(Kind::Receive), 0);
}

#[tokio::test]
async fn a_message_becomes_an_event() {
    let fake = fake().await;
    fake.send("orders", r#"{"total":1.10}"#, Some("customer-9"));
    let config = fake.config("orders").with_account("7");
    let queue = MnsQueue::connect(config).await.unwrap();
    let message = receive(&queue).await.remove(0);
    assert_eq!(message.event.id(), &*message.id);
    let subject = message.event.subject();
    assert_eq!(subject, Some("acs:mns:cn-hangzhou:7:queues/orders"));
    assert_eq!(message.key.as_deref(), Some(&b"customer-9"[..]));
    assert_eq!(message.binding, message.key);
    assert_eq!((message.attempt, message.lease), (1, None));
    assert_eq!(message.invalid, None);
    let time = message.event.time().unwrap().unix_millis();
    let now = eventlane::event::Timestamp::now().unix_millis();
    assert!((now - 60_000..=now).contains(&time));
}

#[tokio::test]
async fn an_event_is_the_same_in_every_attempt() {
    let fake = Fake::start(FakeOptions {
        lease: SECOND,
        ..FakeOptions::default()
    })
    .await;
    fake.send("orders", "a", None);
    let config = fake.config("orders").with_wait(5 * SECOND);
    let queue = MnsQueue::connect(config).await.unwrap();
    let first = queue.receive(16, 5 * SECOND).await.unwrap().remove(0);
    let second = queue.receive(16, 5 * SECOND).await.unwrap().remove(0);
    assert_eq!((first.attempt, second.attempt), (1, 2));
    assert_eq!((first.key, first.binding), (None, None));
    assert_eq!(first.event, second.event);
    assert_eq!(first.id, second.id);
    assert_ne!(first.handle, second.handle);
}

#[tokio::test]
async fn a_group_stays_behind_what_is_on_lease() {
    let fake = fake().await;
    for (body, group) in [("1", "g"), ("2", "g"), ("3", "g"), ("x", "h")] {
        fake.send("orders", body, Some(group));
    }
    let queue = MnsQueue::connect(fake.config("orders")).await.unwrap();
    let first = queue.receive(2, SECOND).await.unwrap();
    assert_eq!(bodies(&first), ["1", "2"]);
    assert_eq!(bodies(&receive(&queue).await), ["x"]);

    // Given back together, they come again in order.
    let give_back = |message: &Message<ReceiptHandle>| (message.handle.clone(), Duration::ZERO);
    let changes: Vec<_> = first.iter().map(give_back).collect();
    let results = queue.change_visibility(&changes).await.unwrap();
    assert!(results.iter().all(Result::is_ok));
    sleep(SECOND + SECOND / 10).await;
    assert_eq!(bodies(&receive(&queue).await), ["1", "2", "3"]);
}

#[tokio::test]
async fn leases_are_changed_side_by_side_and_one_by_one() {
    let fake = fake().await;
    for number in 0..16 {
        fake.send("orders", format!("{number}"), None);
    }
    let queue = MnsQueue::connect(fake.config("orders")).await.unwrap();
    let messages = receive(&queue).await;
    let mut changes: Vec<_> = messages
        .into_iter()
        .map(|message| (message.handle, SECOND * 60))
        .collect();
    changes[3].0 = ReceiptHandle::from("1-gone==");
    let results = queue.change_visibility(&changes).await.unwrap();
    let failed: Vec<_> = (0..16).filter(|at| results[*at].is_err()).collect();
    assert_eq!(failed, [3]);
    let error = results[3].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");

    let renewed: Vec<_> = results.into_iter().filter_map(Result::ok).collect();
    let deleted = queue.delete(&renewed).await.unwrap();
    assert!(deleted.iter().all(Result::is_ok));
    assert_eq!(fake.len("orders"), 1);
}

#[tokio::test]
async fn a_lease_that_was_changed_meanwhile_is_noticed() {
    let fake = fake().await;
    let queue = MnsQueue::connect(fake.config("orders")).await.unwrap();
    fake.set_lease("orders", 5 * SECOND);
    fake.send("orders", "a", None);
    let lease = receive(&queue).await.remove(0).lease.unwrap();
    assert!((3 * SECOND..=5 * SECOND).contains(&lease), "{lease:?}");
}

#[tokio::test]
async fn bodies_that_are_not_base64_follow_the_policy() {
    let fake = fake().await;
    let send = || {
        fake.send_raw("orders", "not base64!", None);
        fake.send("orders", [0xff, 0x00], None);
    };
    let queue = async |encoding, policy| {
        let event = EventConfig::new().with_on_invalid(policy);
        let config = fake.config("orders").with_event(event);
        let config = config.with_body_encoding(encoding);
        MnsQueue::connect(config).await.unwrap()
    };
    send();
    let wrap = queue(BodyEncoding::Base64, OnInvalid::Wrap).await;
    let messages = receive(&wrap).await;
    assert_eq!(bodies(&messages), ["not base64!", "\u{fffd}\0"]);
    assert!(messages.iter().all(|message| message.invalid.is_none()));

    send();
    let reject = queue(BodyEncoding::Base64, OnInvalid::Reject).await;
    let messages = receive(&reject).await;
    let reason = messages[0].invalid.as_deref().unwrap();
    assert!(reason.contains("not base64"), "{reason}");
    assert_eq!(messages[1].invalid, None);

    send();
    let raw = queue(BodyEncoding::Raw, OnInvalid::Reject).await;
    assert_eq!(bodies(&receive(&raw).await), ["not base64!", "/wA="]);
}

#[tokio::test]
async fn a_cloud_event_passes_through() {
    let fake = fake().await;
    let event = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order","data":{"n":1}}"#;
    fake.send("orders", event, Some("g"));
    let config = fake.config("orders").with_signing(Signing::V2);
    let queue = MnsQueue::connect(config).await.unwrap();
    let message = receive(&queue).await.remove(0);
    assert_eq!((message.event.id(), message.event.ty()), ("7", "order"));
    assert_ne!(&*message.id, "7");
    assert_eq!(message.key.as_deref(), Some(&b"g"[..]));
}

#[tokio::test]
async fn one_bad_message_does_not_keep_others_back() {
    let fake = fake().await;
    let queue = MnsQueue::connect(fake.config("orders")).await.unwrap();
    let answer = "<Messages><Message><MessageId>1</MessageId><ReceiptHandle>a</ReceiptHandle><MessageBody>&#xD800;\u{1}</MessageBody>\
        <EnqueueTime>soon</EnqueueTime><NextVisibleTime>-7</NextVisibleTime><DequeueCount>many</DequeueCount></Message>\
        <Message><MessageId>2</MessageId></Message>\
        <Message><MessageId>3</MessageId><ReceiptHandle>c</ReceiptHandle><MessageBody>aGk=</MessageBody></Message></Messages>";
    let fault = Fault::Answer(200, answer.to_owned());
    fake.faults().inject(Kind::Receive, fault, 1);
    let messages = receive(&queue).await;
    assert_eq!(bodies(&messages), ["&#xD800;\u{1}", "hi"]);
    assert_eq!((messages[0].attempt, messages[0].lease), (1, None));
}

#[tokio::test]
async fn an_early_empty_answer_is_an_answer() {
    let fake = Fake::start(FakeOptions {
        long_polls: 0,
        ..FakeOptions::default()
    })
    .await;
    let config = fake.config("orders").with_wait(5 * SECOND);
    let queue = MnsQueue::connect(config).await.unwrap();
    let start = Instant::now();
    assert!(queue.receive(16, 5 * SECOND).await.unwrap().is_empty());
    fake.faults().inject(Kind::Receive, Fault::EarlyEmpty, 1);
    assert!(queue.receive(16, 5 * SECOND).await.unwrap().is_empty());
    assert!(start.elapsed() < SECOND);
}

#[tokio::test]
async fn a_queue_that_is_deleted_under_way_is_said_to_be_missing() {
    let fake = fake().await;
    let queue = MnsQueue::connect(fake.config("orders")).await.unwrap();
    fake.delete_queue("orders");
    let error = queue.receive(16, SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("QueueNotExist"), "{error}");
}

#[tokio::test]
async fn what_was_sent_with_the_client_arrives() {
    let fake = fake().await;
    let config = fake.config("orders").with_body_encoding(BodyEncoding::Auto);
    let queue = MnsQueue::connect(config).await.unwrap();
    let sent = OutgoingMessage::new("plain").with_priority(2);
    let id = queue.client().send(&sent).await.unwrap();
    let message = receive(&queue).await.remove(0);
    assert_eq!(*message.id, *id);
    let priority = message.event.extension("mnspriority").unwrap();
    assert_eq!(priority.as_str(), "2");
}
