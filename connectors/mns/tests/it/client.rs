//! What the client can do.

use std::time::Duration;

use eventlane::ErrorKind;
use eventlane_mns::{
    Signing,
    client::{MnsClient, OutgoingMessage, Property, PropertyKind, ReceiptHandle, ReceivedMessage},
};
use tokio::time::{Instant, sleep};

use crate::fake::{Fake, FakeOptions, Kind};

const SECOND: Duration = Duration::from_secs(1);

fn client(fake: &Fake) -> MnsClient {
    MnsClient::new(&fake.config("orders")).unwrap()
}

async fn one(client: &MnsClient) -> ReceivedMessage {
    let mut messages = client.receive(1, SECOND).await.unwrap();
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

#[tokio::test]
async fn what_is_sent_is_received() {
    let fake = Fake::start(FakeOptions::default()).await;
    let client = client(&fake);
    let body = " <a href=\"x\">&amp;</a>\r\n\t中😀 ]]> ";
    let message = OutgoingMessage::new(body)
        .with_group("customer <9>")
        .with_priority(3)
        .with_property(Property::new("k&", "<v>", PropertyKind::String))
        .with_property(Property::new("n", "7", PropertyKind::Number));
    let id = client.send(&message).await.unwrap();
    let received = one(&client).await;
    assert_eq!(received.id, id);
    assert_eq!(received.body, body);
    assert_eq!(received.group.as_deref(), Some("customer <9>"));
    assert_eq!(received.priority, Some(3));
    assert_eq!(received.user_properties, message.properties);
    assert_eq!(received.dequeue_count, Some(1));
    let lease = received.lease.unwrap();
    assert!((29.0..=31.0).contains(&lease.as_secs_f64()), "{lease:?}");

    client.delete(&[received.handle]).await.unwrap();
    assert_eq!(fake.len("orders"), 0);
}

#[tokio::test]
async fn an_empty_queue_is_waited_for() {
    let fake = Fake::start(FakeOptions::default()).await;
    let client = client(&fake);
    let start = Instant::now();
    assert!(client.receive(16, SECOND).await.unwrap().is_empty());
    assert!(start.elapsed() >= SECOND);

    // A message that comes meanwhile ends the wait.
    let start = Instant::now();
    let receive = client.receive(16, 10 * SECOND);
    let send = async {
        sleep(SECOND / 5).await;
        fake.send("orders", "late", None);
    };
    let (messages, ()) = tokio::join!(receive, send);
    assert_eq!(messages.unwrap().len(), 1);
    assert!(start.elapsed() < 3 * SECOND);
    assert_eq!(fake.requests(Kind::Receive), 2);
}

#[tokio::test]
async fn a_receive_takes_as_many_as_there_may_be() {
    let fake = Fake::start(FakeOptions::default()).await;
    for number in 0..20 {
        fake.send("orders", format!("{number}"), None);
    }
    let client = client(&fake);
    assert_eq!(client.receive(3, SECOND).await.unwrap().len(), 3);
    // More than 16 at once would be refused.
    assert_eq!(client.receive(100, SECOND).await.unwrap().len(), 16);
    assert_eq!(client.receive(0, SECOND).await.unwrap().len(), 1);
    assert_eq!(fake.in_flight("orders"), 20);
}

#[tokio::test]
async fn a_lease_that_is_changed_has_a_new_handle() {
    let fake = Fake::start(FakeOptions::default()).await;
    fake.send("orders", "a", None);
    let client = client(&fake);
    let old = one(&client).await.handle;
    let new = client.change_visibility(&old, 20 * SECOND).await.unwrap();
    assert_ne!(new, old);

    let error = client.change_visibility(&old, SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    let results = client.delete(&[old]).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::Fenced);
    client.delete(&[new]).await.unwrap().remove(0).unwrap();
}

#[tokio::test]
async fn a_lease_given_back_ends_after_a_second() {
    let fake = Fake::start(FakeOptions::default()).await;
    fake.send("orders", "a", None);
    let client = client(&fake);
    let first = one(&client).await;
    let start = Instant::now();
    let given_back = client
        .change_visibility(&first.handle, Duration::ZERO)
        .await;
    given_back.unwrap();
    let mut messages = client.receive(1, 5 * SECOND).await.unwrap();
    assert!(start.elapsed() >= SECOND);
    let second = messages.remove(0);
    assert_eq!((second.id, second.dequeue_count), (first.id, Some(2)));
}

#[tokio::test]
async fn a_batch_may_be_deleted_in_part() {
    let fake = Fake::start(FakeOptions {
        lease: SECOND,
        ..FakeOptions::default()
    })
    .await;
    let client = client(&fake);
    fake.send("orders", "too late", None);
    let late = one(&client).await.handle;
    sleep(SECOND + SECOND / 10).await;
    fake.set_lease("orders", 30 * SECOND);
    fake.send("orders", "x", None);
    fake.send("orders", "y", None);
    let mut handles = vec![late, ReceiptHandle::from("<no handle> & nothing else")];
    let messages = client.receive(16, SECOND).await.unwrap();
    assert_eq!(messages.len(), 3);
    handles.extend(messages.into_iter().skip(1).map(|message| message.handle));

    let results = client.delete(&handles).await.unwrap();
    let kind = |at: usize| results[at].as_ref().err().map(eventlane::Error::kind);
    let fenced = Some(ErrorKind::Fenced);
    assert_eq!([0, 1, 2, 3].map(kind), [fenced, fenced, None, None]);
    assert_eq!(fake.len("orders"), 1);
    assert!(client.delete(&[]).await.unwrap().is_empty());
    assert_eq!(fake.requests(Kind::Delete), 1);
}

#[tokio::test]
async fn attributes_are_known() {
    let fake = Fake::start(FakeOptions::default()).await;
    let attributes = client(&fake).queue_attributes().await.unwrap();
    assert_eq!(attributes.visibility_timeout, Some(30 * SECOND));
    assert_eq!(attributes.maximum_message_size, Some(65_536));
}

#[tokio::test]
async fn bodies_may_be_as_large_as_the_service_takes() {
    let fake = Fake::start(FakeOptions::default()).await;
    let client = client(&fake);
    // Each of these characters takes six bytes in XML.
    let large = "\"".repeat(65_536);
    for _ in 0..16 {
        client.send(&OutgoingMessage::new(&large)).await.unwrap();
    }
    let messages = client.receive(16, SECOND).await.unwrap();
    assert_eq!(messages.len(), 16);
    assert!(messages.iter().all(|message| message.body == large));

    let error = client.send(&OutgoingMessage::new(large + "x")).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Rejected);
}

#[tokio::test]
async fn what_xml_can_not_carry_is_not_sent() {
    let fake = Fake::start(FakeOptions::default()).await;
    let client = client(&fake);
    let control = Property::new("k", "\u{1b}", PropertyKind::String);
    for message in [
        OutgoingMessage::new("\0"),
        OutgoingMessage::new("").with_group("\u{b}"),
        OutgoingMessage::new("").with_property(control),
    ] {
        let error = client.send(&message).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(error.to_string().contains("base64"), "{error}");
    }
    assert_eq!(fake.requests(Kind::Send), 0);
}

#[tokio::test]
async fn priority_and_delay_are_kept() {
    let fake = Fake::start(FakeOptions::default()).await;
    let client = client(&fake);
    let send = async |message| client.send(&message).await.unwrap();
    send(OutgoingMessage::new("usual")).await;
    send(OutgoingMessage::new("urgent").with_priority(1)).await;
    send(OutgoingMessage::new("later").with_delay(SECOND)).await;
    let bodies = async || {
        let messages = client.receive(16, 5 * SECOND).await.unwrap();
        let bodies = messages.into_iter().map(|message| message.body);
        bodies.collect::<Vec<_>>()
    };
    assert_eq!(bodies().await, ["urgent", "usual"]);
    assert_eq!(bodies().await, ["later"]);
}

#[tokio::test]
async fn every_signature_and_prefix_is_taken() {
    for (signing, prefix) in [
        (Signing::V2, ""),
        (Signing::V4, ""),
        (Signing::ApsaraV4, ""),
        (Signing::V2, "/gateway/mns v1"),
        (Signing::V4, "/gateway/mns v1"),
        (Signing::V4, "/ä*~"),
    ] {
        let fake = Fake::start(FakeOptions {
            prefix: prefix.to_owned(),
            apsara: signing == Signing::ApsaraV4,
            ..FakeOptions::default()
        })
        .await;
        fake.send("orders", "a", None);
        assert!(fake.endpoint().ends_with(prefix));
        let config = fake.config("orders").with_signing(signing);
        let client = MnsClient::new(&config).unwrap();
        client.queue_attributes().await.unwrap();
        client.send(&OutgoingMessage::new("b")).await.unwrap();
        let messages = client.receive(16, SECOND).await.unwrap();
        for message in messages {
            let handle = client.change_visibility(&message.handle, SECOND).await;
            let results = client.delete(&[handle.unwrap()]).await.unwrap();
            assert!(results[0].is_ok(), "{signing:?} {prefix}");
        }
        assert_eq!(fake.len("orders"), 0);
    }
}
