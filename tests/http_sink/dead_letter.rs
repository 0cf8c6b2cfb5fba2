//! Dead letters over HTTP.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use eventlane::{
    ErrorKind,
    event::{Timestamp, http::Mode, json},
    sink::{
        DeadLetter, DeadLetterSink, Failure,
        http::{HttpDeadLetter, HttpSink, StatusSets},
    },
};
use http::Response;

use crate::{
    server::{Hyper, Raw, Then},
    support::{builder, config, within},
};

fn letter(id: &str) -> DeadLetter {
    let mut failure = Failure::new("status_503", "POST http://a answered 503");
    failure.status = Some(503);
    failure.body = "overloaded".into();
    let first = Timestamp::parse("2026-01-02T03:04:05Z").unwrap();
    let event = builder()
        .id(id)
        .data("hello".as_bytes().to_vec())
        .build()
        .unwrap();
    DeadLetter::new(event, failure, "http://a").with_attempts(3, first)
}

#[tokio::test]
async fn letters_are_events_that_say_what_happened() {
    let mut server = Hyper::start(|_| Response::new(String::new())).await;
    let sink = HttpDeadLetter::new(config(&server.url())).unwrap();
    assert!(
        within(sink.keep(&[letter("1")]))
            .await
            .iter()
            .all(Result::is_ok)
    );
    let request = server.request().await;
    for (name, value) in [
        ("ce-id", "1"),
        ("ce-source", "/test"),
        ("ce-knativeerrordest", "http://a"),
        ("ce-knativeerrorcode", "503"),
        ("ce-knativeerrordata", "b3ZlcmxvYWRlZA=="),
        ("ce-eventlaneattempts", "3"),
        ("ce-eventlanefirstfailed", "2026-01-02T03:04:05Z"),
        ("ce-eventlanereason", "status_503"),
        ("ce-eventlanemessage", "POST%20http://a%20answered%20503"),
    ] {
        assert_eq!(request.headers()[name], value, "{name}");
    }
    assert_eq!(request.body(), "hello");
    assert_eq!(sink.destination(), server.url());

    let sink = HttpDeadLetter::new(config(&server.url()).with_mode(Mode::Structured)).unwrap();
    assert!(
        within(sink.keep(&[letter("1")]))
            .await
            .iter()
            .all(Result::is_ok)
    );
    let mut expected = Vec::new();
    json::write(&letter("1").to_event(), &mut expected);
    assert_eq!(server.request().await.body()[..], expected);
}

#[tokio::test]
async fn each_letter_has_its_result_in_order() {
    let server = Hyper::start(|request| {
        let status = request.headers()["ce-id"].to_str().unwrap();
        Response::builder()
            .status(status)
            .header("retry-after", "2")
            .body(String::new())
            .unwrap()
    })
    .await;
    let sink = HttpDeadLetter::new(config(&server.url()))
        .unwrap()
        .with_concurrency(3);
    let letters = [
        "200", "503", "202", "401", "429", "400", "413", "410", "204",
    ]
    .map(letter);
    let results = within(sink.keep(&letters)).await;
    let kinds: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().err().map(eventlane::Error::kind))
        .collect();
    assert_eq!(
        kinds,
        [
            None,
            Some(ErrorKind::Unavailable),
            None,
            Some(ErrorKind::Unauthorized),
            Some(ErrorKind::Throttled),
            Some(ErrorKind::Rejected),
            Some(ErrorKind::Rejected),
            Some(ErrorKind::Rejected),
            None,
        ]
    );
    let throttled = results[4].as_ref().unwrap_err();
    assert_eq!(throttled.retry_after(), Some(Duration::from_secs(2)));
    assert!(throttled.to_string().contains(&server.url()), "{throttled}");
    assert!(within(sink.keep(&[])).await.is_empty());
}

#[tokio::test]
async fn no_more_are_under_way_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let app = axum::Router::new().route(
        "/",
        axum::routing::post({
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            move || async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                now.fetch_sub(1, Ordering::SeqCst);
            }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let sink = HttpDeadLetter::new(config(&url))
        .unwrap()
        .with_concurrency(4);
    let letters: Vec<_> = (0..32).map(|id| letter(&id.to_string())).collect();
    assert!(within(sink.keep(&letters)).await.iter().all(Result::is_ok));
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

/// The letters that were answered count as kept, though others of the same call hang.
#[tokio::test]
async fn one_that_hangs_does_not_undo_the_others() {
    let server = Raw::start(|request| match request {
        1 => Then::Repeat("HTTP/1.1 200 OK\r\nx: ", "a", Duration::from_millis(10)),
        _ => crate::server::OK,
    })
    .await;
    let sink = HttpDeadLetter::new(config(&server.url()))
        .unwrap()
        .with_concurrency(1)
        .with_timeout(Duration::from_millis(300));
    let results = within(sink.keep(&[letter("0"), letter("1"), letter("2")])).await;
    assert!(results[0].is_ok());
    for result in &results[1..] {
        let error = result.as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            error.to_string().contains("no answer within 300ms"),
            "{error}"
        );
    }
}

#[test]
fn what_a_letter_sink_can_be_made_of() {
    let batched = config("http://a").with_mode(Mode::Batched);
    assert!(
        HttpDeadLetter::new(batched)
            .unwrap_err()
            .to_string()
            .contains("one by one")
    );
    let sink = HttpSink::new(
        config("http://a").with_statuses(StatusSets::default().with_delivered(["409"])),
    );
    assert!(HttpDeadLetter::try_from(sink.unwrap()).is_ok());
}
