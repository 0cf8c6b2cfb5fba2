//! Standard queues.

use std::{collections::HashSet, sync::Arc, time::Duration};

use eventlane::{ErrorKind, queue::QueueBackend};
use eventlane_sqs::SqsQueue;
use tokio::time::{Instant, sleep};

use crate::support::{Server, bodies, body, handles, now, on_every_server, take};

on_every_server! {
    a_message_becomes_an_event_and_is_deleted
    a_cloud_event_passes
    a_lease_that_ends_brings_the_message_again
    the_visibility_configured_wins
    a_lease_can_be_extended_and_given_up
    ten_are_received_and_deleted_at_once
    one_bad_handle_does_not_spoil_a_batch
    an_empty_queue_is_waited_on
    a_tenant_is_no_key
    the_depth_is_what_waits
    any_text_arrives
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn a_message_becomes_an_event_and_is_deleted(server: &Server) {
    let made = server.queue(false, 30).await;
    let queue = made.connect().await;
    assert!(!queue.is_fifo());
    assert_eq!(queue.name(), made.name);
    let limits = queue.limits();
    assert_eq!((limits.receive, limits.batch), (10, 10));
    assert_eq!((limits.lease, limits.wait), (seconds(30), seconds(1)));

    let attributes = [
        ("Tenant-Id", "t1"),
        ("traceparent", "00-1"),
        ("content-type", "text/csv"),
    ];
    made.send_with("a,b", &attributes).await;
    let [message] = &take(&queue, 1).await[..] else {
        unreachable!()
    };
    let event = &message.event;
    assert_eq!(event.id(), &*message.id);
    assert_eq!(event.ty(), "com.amazon.sqs.message");
    assert_eq!(
        event.source(),
        format!("arn:aws:sqs:us-east-1:000000000000:{}", made.name)
    );
    assert!(event.time().is_some());
    assert_eq!(event.data_content_type(), Some("text/csv"));
    assert_eq!(event.extension("sqsmsgtenantid").unwrap().as_str(), "t1");
    assert_eq!(event.extension("traceparent").unwrap().as_str(), "00-1");
    assert_eq!(body(message), "a,b");
    assert_eq!(message.attempt, 1);
    assert!(message.key.is_none() && message.binding.is_none() && message.invalid.is_none());

    let results = queue.delete(std::slice::from_ref(&message.handle));
    let results = results.await.unwrap();
    assert!(matches!(results[..], [Ok(())]), "{results:?}");
    assert_eq!(now(&queue).await.len(), 0);
}

async fn a_cloud_event_passes(server: &Server) {
    let made = server.queue(false, 30).await;
    let queue = made.connect().await;
    made.send(r#"{"specversion":"1.0","id":"7","source":"/shop","type":"t","data":1.10}"#)
        .await;
    let messages = take(&queue, 1).await;
    let event = &messages[0].event;
    assert_eq!((event.id(), event.source()), ("7", "/shop"));
    assert_eq!(body(&messages[0]), "1.10");
    // The message's id, not the event's, tells messages apart.
    assert_ne!(&*messages[0].id, "7");
}

async fn a_lease_that_ends_brings_the_message_again(server: &Server) {
    let made = server.queue(false, 1).await;
    let queue = made.connect().await;
    assert_eq!(queue.limits().lease, seconds(1));
    made.send("x").await;
    let first = take(&queue, 1).await.remove(0);
    let again = take(&queue, 1).await.remove(0);
    assert_eq!((first.attempt, again.attempt), (1, 2));
    assert_eq!(first.id, again.id);
    assert_eq!(first.event, again.event);
    assert_ne!(first.handle, again.handle);
}

async fn the_visibility_configured_wins(server: &Server) {
    let made = server.queue(false, 30).await;
    let config = made.config.clone().with_visibility(seconds(1));
    let queue = eventlane_sqs::SqsQueue::connect(config).await.unwrap();
    assert_eq!(queue.limits().lease, seconds(1));
    made.send("x").await;
    take(&queue, 1).await;
    assert_eq!(take(&queue, 1).await[0].attempt, 2);
}

async fn a_lease_can_be_extended_and_given_up(server: &Server) {
    let made = server.queue(false, 1).await;
    let queue = made.connect().await;
    made.send("x").await;
    let handle = take(&queue, 1).await.remove(0).handle;
    // Less than a second is a second: rounding down would end the lease at once.
    let changes = [(Arc::clone(&handle), Duration::from_millis(2500))];
    let results = queue.change_visibility(&changes).await.unwrap();
    let Ok(kept) = &results[0] else {
        panic!("{results:?}")
    };
    assert_eq!(*kept, handle);
    sleep(Duration::from_millis(1200)).await;
    assert_eq!(now(&queue).await.len(), 0);

    let results = queue.change_visibility(&[(handle, Duration::ZERO)]).await;
    assert!(results.unwrap()[0].is_ok());
    assert_eq!(take(&queue, 1).await[0].attempt, 2);
}

async fn ten_are_received_and_deleted_at_once(server: &Server) {
    let made = server.queue(false, 30).await;
    let queue = made.connect().await;
    let sent: Vec<_> = (0..10).map(|number| number.to_string()).collect();
    for body in &sent {
        made.send(body).await;
    }
    let mut messages = take(&queue, 10).await;
    if !server.keeps_order() {
        messages.sort_by_key(body);
    }
    assert_eq!(bodies(&messages), sent);
    let ids: HashSet<_> = messages.iter().map(|message| &message.id).collect();
    assert_eq!(ids.len(), 10);
    let handles = handles(&messages);
    let results = queue.delete(&handles).await.unwrap();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    depth_becomes(&queue, 0).await;
    assert!(queue.delete(&[]).await.unwrap().is_empty());
    assert!(queue.change_visibility(&[]).await.unwrap().is_empty());
}

async fn one_bad_handle_does_not_spoil_a_batch(server: &Server) {
    let made = server.queue(false, 30).await;
    let queue = made.connect().await;
    made.send("a").await;
    made.send("b").await;
    let messages = take(&queue, 2).await;
    let [first, second] = &handles(&messages)[..] else {
        unreachable!()
    };
    let (first, second) = (Arc::clone(first), Arc::clone(second));
    let bad = || "bad".into();

    let changes = [(bad(), seconds(20)), (Arc::clone(&first), seconds(20))];
    let results = queue.change_visibility(&changes).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::Fenced);
    assert!(results[1].is_ok());

    let results = queue.delete(&[first, bad(), second]).await.unwrap();
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(error.to_string().contains(&made.url), "{error}");
}

async fn an_empty_queue_is_waited_on(server: &Server) {
    let made = server.queue(false, 30).await;
    let queue = made.connect().await;
    let start = Instant::now();
    assert_eq!(now(&queue).await.len(), 0);
    assert!(start.elapsed() >= Duration::from_millis(900));

    let start = Instant::now();
    assert_eq!(queue.receive(10, Duration::ZERO).await.unwrap().len(), 0);
    assert!(start.elapsed() < Duration::from_millis(900));

    let send = async {
        sleep(Duration::from_millis(300)).await;
        made.send("x").await;
    };
    let (messages, ()) = tokio::join!(take(&queue, 1), send);
    assert_eq!(bodies(&messages), ["x"]);
}

async fn a_tenant_is_no_key(server: &Server) {
    let made = server.queue(false, 30).await;
    let queue = made.connect().await;
    made.send_to("tenant-7", "x").await;
    let message = take(&queue, 1).await.remove(0);
    assert!(message.key.is_none() && message.binding.is_none());
    let tenant = message.event.extension("partitionkey").unwrap();
    assert_eq!(tenant.as_str(), "tenant-7");
}

async fn the_depth_is_what_waits(server: &Server) {
    let made = server.queue(false, 30).await;
    let queue = made.connect().await;
    for body in ["a", "b", "c"] {
        made.send(body).await;
    }
    depth_becomes(&queue, 3).await;
    take(&queue, 1).await;
    depth_becomes(&queue, 2).await;
}

/// The depth is approximate: what has just been sent may be counted a little later.
async fn depth_becomes(queue: &SqsQueue, expected: u64) {
    let start = Instant::now();
    loop {
        let depth = queue.depth().await.unwrap();
        if depth == Some(expected) {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{depth:?}, not {expected}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

async fn any_text_arrives(server: &Server) {
    let made = server.queue(false, 30).await;
    let queue = made.connect().await;
    let large = "é".repeat(100_000);
    // 256 KiB was the limit; now it is 1 MiB.
    let (former, most) = ("é".repeat(1 << 17), "x".repeat(1 << 20));
    for text in [
        "<a & \"b\">\r\n\t",
        "\u{1f600} Ünï",
        " ",
        &large,
        &former,
        &most,
    ] {
        made.send(text).await;
        let message = take(&queue, 1).await.remove(0);
        assert_eq!(body(&message), text);
        queue
            .delete(&[message.handle])
            .await
            .unwrap()
            .remove(0)
            .unwrap();
    }
}
