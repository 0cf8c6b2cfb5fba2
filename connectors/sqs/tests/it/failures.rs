//! What goes wrong under way.

use std::{sync::Arc, time::Duration};

use eventlane::{Error, ErrorKind, queue::QueueBackend};
use eventlane_sqs::SqsQueue;
use eventlane_testkit::sqs::Ministack;
use tokio::time::{Instant, sleep};

use crate::{
    fake::{Fake, FakeOptions, Fault, Kind},
    support::{Is, Server, bodies, handles, take},
};

const SECOND: Duration = Duration::from_secs(1);

async fn start(queue: &str) -> (Fake, SqsQueue) {
    let fake = Fake::start(FakeOptions::default());
    let config = fake.config(queue).with_request_timeout(SECOND);
    let queue = SqsQueue::connect(config).await.unwrap();
    (fake, queue)
}

async fn receive_error(queue: &SqsQueue) -> Error {
    queue.receive(10, SECOND).await.unwrap_err()
}

#[tokio::test]
async fn a_failed_receive_is_made_once_and_says_why() {
    let (fake, queue) = start("q").await;
    for (fault, kind) in [
        (Fault::Status(500), ErrorKind::Unavailable),
        (Fault::Status(503), ErrorKind::Unavailable),
        (Fault::Status(429), ErrorKind::Throttled),
        (Fault::Code("InternalError"), ErrorKind::Unavailable),
        (Fault::Code("RequestThrottled"), ErrorKind::Throttled),
        (Fault::Code("OverLimit"), ErrorKind::Throttled),
        (Fault::Code("KmsThrottled"), ErrorKind::Throttled),
        (Fault::Code("KmsAccessDenied"), ErrorKind::Unauthorized),
        (Fault::Code("QueueDoesNotExist"), ErrorKind::Config),
        (Fault::Malformed, ErrorKind::Unavailable),
    ] {
        let before = fake.requests(Kind::Receive);
        fake.faults().next(Kind::Receive, fault.clone());
        let error = receive_error(&queue).await;
        assert_eq!(error.kind(), kind, "{fault:?}: {error}");
        assert!(error.to_string().contains("/000000000000/q"), "{error}");
        assert_eq!(fake.requests(Kind::Receive), before + 1, "{fault:?}");
    }
}

#[tokio::test]
async fn an_empty_answer_is_no_error() {
    let (fake, queue) = start("q").await;
    fake.send("q", "x", None);
    fake.faults().next(Kind::Receive, Fault::Empty);
    assert!(queue.receive(10, SECOND).await.unwrap().is_empty());
    assert_eq!(bodies(&take(&queue, 1).await), ["x"]);
}

#[tokio::test]
async fn a_receive_that_hangs_ends_soon_after_its_wait() {
    let (fake, queue) = start("q").await;
    for wait in [Duration::ZERO, SECOND] {
        fake.faults().next(Kind::Receive, Fault::Hang);
        let start = Instant::now();
        let error = queue.receive(10, wait).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("no answer in time"), "{error}");
        let took = start.elapsed();
        assert!(
            took >= wait + SECOND && took < wait + 2 * SECOND,
            "{took:?}"
        );
    }
}

#[tokio::test]
async fn deletes_and_changes_are_tried_again() {
    let (fake, queue) = start("q").await;
    fake.send("q", "x", None);
    let handle = take(&queue, 1).await.remove(0).handle;
    fake.faults().next(Kind::Change, Fault::Status(500));
    fake.faults()
        .next(Kind::Change, Fault::Code("RequestThrottled"));
    let change = [(Arc::clone(&handle), 20 * SECOND)];
    queue
        .change_visibility(&change)
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(fake.requests(Kind::Change), 3);
    // Also one that was done and not answered: deleting twice is deleting.
    fake.faults().next(Kind::Delete, Fault::Lost);
    queue.delete(&[handle]).await.unwrap().remove(0).unwrap();
    assert_eq!((fake.requests(Kind::Delete), fake.len("q")), (2, 0));
}

#[tokio::test]
async fn a_request_that_keeps_failing_tells_nothing_of_its_entries() {
    let (fake, queue) = start("q").await;
    fake.faults().always(Kind::Delete, Fault::Hang);
    let start = Instant::now();
    let error = queue.delete(&["x#1".into()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() < 4 * SECOND);
    fake.faults()
        .always(Kind::Change, Fault::Code("AccessDeniedException"));
    let error = queue.change_visibility(&[("x#1".into(), SECOND)]).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(
        error.to_string().contains("sqs:ChangeMessageVisibility"),
        "{error}"
    );
    fake.faults().clear();
    let results = queue.delete(&["x#1".into()]).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::Fenced);
}

#[tokio::test]
async fn entries_fail_one_by_one() {
    let (fake, queue) = start("q").await;
    for body in ["a", "b", "c"] {
        fake.send("q", body, None);
    }
    let messages = take(&queue, 3).await;
    let handles = handles(&messages);
    fake.faults()
        .next(Kind::Delete, Fault::Entries(2, "InternalError"));
    let results = queue.delete(&handles).await.unwrap();
    let kinds: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().err().map(Error::kind))
        .collect();
    let unavailable = Some(ErrorKind::Unavailable);
    assert_eq!(kinds, [unavailable, unavailable, None]);
    assert_eq!(fake.len("q"), 2);
}

#[tokio::test]
async fn a_lost_receive_of_a_fifo_queue_is_made_again_under_its_id() {
    let (fake, queue) = start("q.fifo").await;
    for body in ["a1", "a2"] {
        fake.send("q.fifo", body, Some("a"));
    }
    for fault in [Fault::Lost, Fault::Malformed] {
        fake.faults().next(Kind::Receive, fault);
        receive_error(&queue).await;
        assert_eq!(fake.in_flight("q.fifo"), 2);
    }
    // Without it, the group would be locked until its leases end.
    let messages = queue.receive(10, SECOND).await.unwrap();
    assert_eq!(bodies(&messages), ["a1", "a2"]);
    assert_eq!(messages[0].attempt, 1);
    let attempts = fake.attempts();
    assert_eq!((attempts.len(), &attempts[0]), (3, &attempts[2]));
    let handles = handles(&messages);
    for result in queue.delete(&handles).await.unwrap() {
        result.unwrap();
    }

    // What was answered, be it with an error, is not made again.
    fake.faults().next(Kind::Receive, Fault::Status(500));
    receive_error(&queue).await;
    queue.receive(10, SECOND).await.unwrap();
    queue.receive(10, SECOND).await.unwrap();
    let mut attempts = fake.attempts().split_off(2);
    attempts.sort_unstable();
    attempts.dedup();
    assert_eq!(attempts.len(), 4);
}

#[tokio::test]
async fn a_long_poll_that_is_abandoned_takes_a_message() {
    let (fake, queue) = start("q").await;
    let poll = queue.receive(10, SECOND);
    assert!(tokio::time::timeout(SECOND / 2, poll).await.is_err());
    fake.send("q", "x", None);
    sleep(SECOND / 2).await;
    // The reason why the poller never drops one.
    assert_eq!(fake.in_flight("q"), 1);
}

#[tokio::test]
async fn a_real_server_that_hangs_is_survived() {
    let Some(ministack) = Ministack::start_or_skip() else {
        return;
    };
    let server = Server::real(Is::Ministack, ministack.endpoint());
    let mut made = server.queue(false, 30).await;
    made.config = made.config.with_request_timeout(SECOND);
    let queue = made.connect().await;
    made.send("x").await;
    ministack.pause();
    let handles = ["x".into()];
    let results = tokio::join!(receive_error(&queue), queue.delete(&handles), queue.depth());
    ministack.resume();
    assert_eq!(results.0.kind(), ErrorKind::Unavailable);
    assert_eq!(results.1.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(results.2.unwrap_err().kind(), ErrorKind::Unavailable);
    // The receive that was given up may take what is there, until its wait is over.
    sleep(2 * SECOND).await;
    made.send("y").await;
    assert!(!take(&queue, 1).await.is_empty());
}
