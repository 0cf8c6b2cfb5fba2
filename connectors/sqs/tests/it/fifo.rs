//! FIFO queues.

use std::time::Duration;

use eventlane::{ErrorKind, queue::QueueBackend};
use tokio::time::sleep;

use crate::support::{Server, bodies, handles, now, on_every_server, take};

on_every_server! {
    a_group_is_key_and_binding
    a_group_is_locked_while_one_of_it_is_on_lease
    a_group_that_is_given_back_begins_again
    a_head_that_is_given_back_comes_before_its_tail
    a_lease_that_ends_keeps_the_order
    a_handle_dies_with_its_lease
}

async fn a_group_is_key_and_binding(server: &Server) {
    let made = server.queue(true, 30).await;
    let queue = made.connect().await;
    assert!(queue.is_fifo());
    made.send_to("customer-7", "x").await;
    let message = take(&queue, 1).await.remove(0);
    assert_eq!(message.key.as_deref(), Some(&b"customer-7"[..]));
    assert_eq!(message.binding, message.key);
    let event = &message.event;
    assert_eq!(
        event.extension("partitionkey").unwrap().as_str(),
        "customer-7"
    );
    // ElasticMQ does not pad it.
    assert_eq!(event.extension("sequence").unwrap().as_str().len(), 20);
}

async fn a_group_is_locked_while_one_of_it_is_on_lease(server: &Server) {
    let made = server.queue(true, 30).await;
    let queue = made.connect().await;
    for body in ["a1", "a2", "a3"] {
        made.send_to("a", body).await;
    }
    made.send_to("b", "b1").await;
    let two = queue.receive(2, Duration::from_secs(1)).await.unwrap();
    assert_eq!(bodies(&two), ["a1", "a2"]);
    assert_eq!(bodies(&now(&queue).await), ["b1"]);
    assert_eq!(now(&queue).await.len(), 0);
    for result in queue.delete(&handles(&two)).await.unwrap() {
        result.unwrap();
    }
    assert_eq!(bodies(&take(&queue, 1).await), ["a3"]);
}

async fn a_group_that_is_given_back_begins_again(server: &Server) {
    let made = server.queue(true, 30).await;
    let queue = made.connect().await;
    for body in ["a1", "a2", "a3"] {
        made.send_to("a", body).await;
    }
    let messages = take(&queue, 3).await;
    queue
        .delete(&handles(&messages[..1]))
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let back: Vec<_> = handles(&messages[1..])
        .into_iter()
        .map(|handle| (handle, Duration::ZERO))
        .collect();
    for result in queue.change_visibility(&back).await.unwrap() {
        result.unwrap();
    }
    let again = take(&queue, 2).await;
    assert_eq!(bodies(&again), ["a2", "a3"]);
    assert_eq!((again[0].attempt, again[1].attempt), (2, 2));
}

async fn a_head_that_is_given_back_comes_before_its_tail(server: &Server) {
    let made = server.queue(true, 30).await;
    let queue = made.connect().await;
    for body in ["a1", "a2", "a3"] {
        made.send_to("a", body).await;
    }
    let messages = take(&queue, 2).await;
    let head = [(handles(&messages).remove(0), Duration::ZERO)];
    queue
        .change_visibility(&head)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let next = bodies(&now(&queue).await);
    if server.goes_on_with_the_head() {
        assert_eq!(next, ["a1"]);
    } else {
        assert_eq!(next, [""; 0]);
    }
}

async fn a_lease_that_ends_keeps_the_order(server: &Server) {
    let made = server.queue(true, 2).await;
    let queue = made.connect().await;
    for body in ["a1", "a2", "a3"] {
        made.send_to("a", body).await;
    }
    assert_eq!(bodies(&take(&queue, 2).await), ["a1", "a2"]);
    // Both leases, which end one after the other: in between, the first alone would come.
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(bodies(&now(&queue).await), ["a1", "a2", "a3"]);
}

async fn a_handle_dies_with_its_lease(server: &Server) {
    let made = server.queue(true, 1).await;
    let queue = made.connect().await;
    made.send_to("a", "x").await;
    let message = take(&queue, 1).await.remove(0);
    sleep(Duration::from_millis(1300)).await;
    let result = queue.delete(&[message.handle]).await.unwrap().remove(0);
    if server.refuses_expired_handles() {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Fenced);
    } else {
        result.unwrap();
    }
}
