//! Bodies of responses: no more of them is read than serves a purpose.

use std::time::Duration;

use eventlane::sink::{Batch, Sink};
use tokio::time::{Instant, timeout};

use crate::{
    server::{Raw, Then},
    support::{deliver, event, retried, sink, within},
};

const CHUNK: &str = "400\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n";

fn endless(status: &'static str) -> Then {
    Then::Repeat(status, CHUNK, Duration::ZERO)
}

#[tokio::test]
async fn an_endless_body_ends() {
    let mut server = Raw::start(|request| match request {
        0 => endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        _ => endless("HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n"),
    })
    .await;
    let sink = sink(&server.url());
    deliver(&sink, event()).await;
    // Not read to an end, so not used again.
    server.closed().await;
    let failure = retried(&sink, event()).await;
    assert_eq!(failure.body.len(), 1024);
    server.closed().await;
    assert_eq!(server.accepts(), 2);
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_after_a_while() {
    let trickle = |head| Then::Repeat(head, "1\r\na\r\n", Duration::from_millis(100));
    let mut server = Raw::start(move |request| match request {
        0 => trickle("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        _ => trickle("HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n"),
    })
    .await;
    let sink = sink(&server.url());
    let start = Instant::now();
    deliver(&sink, event()).await;
    let failure = retried(&sink, event()).await;
    assert!((2..20).contains(&failure.body.len()), "{:?}", failure.body);
    assert!(start.elapsed() < Duration::from_secs(10));
    server.closed().await;
    server.closed().await;
}

/// A head that never ends is the attempt's timeout's business: it drops the future, and all is
/// gone.
#[tokio::test]
async fn a_dropped_attempt_closes_its_connection() {
    let mut server =
        Raw::start(|_| Then::Repeat("HTTP/1.1 200 OK\r\nx-a: ", "a", Duration::from_millis(20)))
            .await;
    let sink = sink(&server.url());
    let attempt = timeout(Duration::from_millis(200), sink.send(Batch::one(event())));
    assert!(attempt.await.is_err());
    server.closed().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_does_not_change_the_verdict() {
    let server = Raw::start(|request| match request {
        0 => Then::Reset("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc"),
        _ => Then::Close("HTTP/1.1 503 No\r\ncontent-length: 100\r\n\r\nabc"),
    })
    .await;
    let sink = sink(&server.url());
    deliver(&sink, event()).await;
    assert_eq!(retried(&sink, event()).await.body, "abc");
}

/// An attempt may have less time than is spent on a body that does not come.
#[tokio::test]
async fn a_delivery_counts_before_its_body_has_come() {
    let mut server = Raw::start(|_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc";
        Then::Repeat(head, "d", Duration::from_millis(200))
    })
    .await;
    let sink = sink(&server.url());
    let mut in_time = false;
    // A machine under load may stand still for so long, but not each time.
    for _ in 0..5 {
        let attempt = timeout(Duration::from_millis(700), deliver(&sink, event()));
        in_time |= attempt.await.is_ok();
        server.closed().await;
    }
    assert!(in_time);
}

/// Small bodies are read to their end, of failures too: else every failure would cost a connection.
#[tokio::test]
async fn a_connection_survives_small_bodies() {
    let server = Raw::start(|request| match request % 2 {
        0 => Then::Answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"),
        _ => Then::Answer(
            "HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
    })
    .await;
    let sink = sink(&server.url());
    for _ in 0..50 {
        deliver(&sink, event()).await;
        assert_eq!(retried(&sink, event()).await.body, "hello");
    }
    assert!(server.accepts() <= 2, "{}", server.accepts());
    within(async {}).await;
}
