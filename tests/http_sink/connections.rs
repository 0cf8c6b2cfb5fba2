//! Connections: made, kept, lost.

use std::time::Duration;

use eventlane::sink::{
    Verdict,
    http::{HttpSink, Protocol},
};
use tokio::net::TcpListener;

use crate::{
    server::{OK, Raw, Then},
    support::{config, deliver, event, retried, send, sink},
};

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Raw::start(|_| OK).await;
    let sink = sink(&server.url());
    for _ in 0..1000 {
        deliver(&sink, event()).await;
    }
    assert!(server.accepts() <= 2, "{}", server.accepts());
}

#[tokio::test]
async fn as_many_connections_are_kept_as_were_in_use() {
    const AT_ONCE: usize = 64;
    let server = Raw::start(|_| OK).await;
    let sink = sink(&server.url());
    for _ in 0..20 {
        let sends = (0..AT_ONCE).map(|_| deliver(&sink, event()));
        futures_util::future::join_all(sends).await;
    }
    assert!(
        server.accepts() <= AT_ONCE + AT_ONCE / 4,
        "{}",
        server.accepts()
    );
}

/// The server closes the idle connection after its answer; the next request finds that out before
/// it begins, or fails and is tried again.
#[tokio::test]
async fn a_connection_that_the_server_closed_costs_no_event() {
    let mut server =
        Raw::start(|_| Then::Close("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let sink = sink(&server.url());
    for _ in 0..50 {
        loop {
            match send(&sink, event()).await {
                Verdict::Delivered => break,
                Verdict::Retry(failure) => assert_eq!(failure.reason, "reset"),
                verdict => panic!("{verdict:?}"),
            }
        }
        server.closed().await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks_with_the_request_under_way_is_a_retry() {
    let server = Raw::start(|request| if request == 0 { OK } else { Then::Reset("") }).await;
    let sink = sink(&server.url());
    deliver(&sink, event()).await;
    assert_eq!(retried(&sink, event()).await.reason, "reset");
    // It was sent once: what might have arrived is not sent again behind the engine's back.
    assert!(server.accepts() <= 2);
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/events?access_token=hunter2",
        listener.local_addr().unwrap()
    );
    drop(listener);
    let failure = retried(&sink(&url), event()).await;
    assert_eq!(failure.reason, "connect");
    let shown = url.replace("access_token=hunter2", "...");
    assert!(
        failure
            .message
            .starts_with(&format!("POST {shown}: connect: ")),
        "{}",
        failure.message
    );
    assert!(failure.message.contains("refused"), "{}", failure.message);
}

#[tokio::test]
async fn no_such_host() {
    let failure = retried(&sink("http://no-such-host.invalid/"), event()).await;
    assert_eq!(failure.reason, "connect");
    assert!(failure.message.contains("dns error"), "{}", failure.message);
}

/// It accepts and then says nothing, so TLS never comes about.
#[tokio::test]
async fn connecting_takes_a_bounded_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let ca = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .unwrap()
        .cert
        .pem();
    let config = config(&url)
        .with_tls(eventlane::sink::http::Tls::default().with_ca(ca))
        .with_connect_timeout(Duration::from_millis(100));
    let failure = retried(&HttpSink::new(config).unwrap(), event()).await;
    assert_eq!(failure.reason, "connect");
    assert!(
        failure
            .message
            .contains("no usable connection within 100ms"),
        "{}",
        failure.message
    );
}

/// A server that only knows HTTP/1.1 answers the preface as a bad request.
#[tokio::test]
async fn http2_with_a_server_that_has_none() {
    let server = Raw::start(|_| Then::Close("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let config = config(&server.url()).with_protocol(Protocol::Http2);
    let failure = retried(&HttpSink::new(config).unwrap(), event()).await;
    assert_eq!(failure.reason, "reset", "{}", failure.message);
}

/// In HTTP/2 requests wait for one connection; when it fails, it fails for all of them.
#[tokio::test]
async fn nobody_listens_for_http2() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let sink = HttpSink::new(config(&url).with_protocol(Protocol::Http2)).unwrap();
    let failures = futures_util::future::join_all((0..50).map(|_| retried(&sink, event()))).await;
    for failure in failures {
        assert_eq!(failure.reason, "connect", "{}", failure.message);
    }
}
