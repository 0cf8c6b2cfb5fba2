//! A `reqwest::Client` as the transport.

use std::time::Duration;

use eventlane::sink::{
    Verdict,
    http::{HttpSink, Protocol},
};
use http::Response;
use reqwest::{Client, redirect::Policy};

use crate::{
    server::{Hyper, Raw, Then},
    support::{config, deliver, event, retried, send},
};

fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

#[tokio::test]
async fn sends_the_same() {
    let mut server = Hyper::start(|_| Response::new("body".into())).await;
    let config =
        config(&format!("{}?a=b%20c", server.url())).with_header("host", "other.example.com");
    let sink = HttpSink::with_reqwest(client(), config).unwrap();
    for _ in 0..20 {
        deliver(&sink, event()).await;
        let request = server.request().await;
        assert_eq!(request.uri().to_string(), "/events?a=b%20c");
        assert_eq!(request.headers()["host"], "other.example.com");
        assert_eq!(request.headers()["ce-id"], "1");
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(request.body(), "{}");
    }
    assert!(server.accepts() <= 2);
}

#[tokio::test]
async fn judges_the_same() {
    let server = Hyper::start(|_| {
        Response::builder()
            .status(503)
            .header("retry-after", "2")
            .body("x".repeat(2000))
            .unwrap()
    })
    .await;
    let failure = retried(
        &HttpSink::with_reqwest(client(), config(&server.url())).unwrap(),
        event(),
    )
    .await;
    assert_eq!(
        (failure.body.len(), failure.retry_after),
        (1024, Some(Duration::from_secs(2)))
    );

    let failure = retried(
        &HttpSink::with_reqwest(client(), config("http://127.0.0.1:1/?t=hunter2")).unwrap(),
        event(),
    )
    .await;
    assert_eq!(failure.reason, "connect");
    assert!(!failure.message.contains("hunter2"), "{}", failure.message);

    for (then, reason) in [
        (Then::Close as fn(_) -> _, "protocol"),
        (Then::Reset as fn(_) -> _, "reset"),
    ] {
        let answer = if reason == "protocol" {
            "SSH-2.0\r\n"
        } else {
            ""
        };
        let server = Raw::start(move |_| then(answer)).await;
        let sink = HttpSink::with_reqwest(client(), config(&server.url())).unwrap();
        let failure = retried(&sink, event()).await;
        assert_eq!(failure.reason, reason, "{}", failure.message);
    }
}

/// reqwest follows redirects unless told otherwise, turns the POST into a GET, and the event is
/// lost behind a 200.
#[tokio::test]
async fn a_client_that_follows_redirects_delivers_nothing() {
    let server = Hyper::start(|request| match request.uri().path() {
        "/events" => Response::builder()
            .status(302)
            .header("location", "/login")
            .body(String::new())
            .unwrap(),
        _ => Response::new("please log in".into()),
    })
    .await;
    for client in [Client::new(), client()] {
        let sink = HttpSink::with_reqwest(client, config(&server.url())).unwrap();
        let verdict = send(&sink, event()).await;
        assert!(matches!(verdict, Verdict::Reject(_)), "{verdict:?}");
    }
}

#[test]
fn what_is_the_clients_business_is_refused() {
    let config = config("http://localhost").with_protocol(Protocol::Http2);
    assert!(
        HttpSink::with_reqwest(client(), config)
            .unwrap_err()
            .to_string()
            .contains("set them there")
    );
}
