//! What is a reply.

use std::time::Duration;

use eventlane::{
    Event,
    event::http::{write_batched, write_binary, write_structured},
    sink::{
        HttpSink, Verdict,
        http::{HttpSinkConfig, Replies, StatusSets, Undecodable},
    },
};
use http::{HeaderMap, Response};

use super::{Kept, answer, asking, reply, structured};
use crate::{
    server::{Hyper, Raw, Then},
    support::{deliver, event, send},
};

fn marked(event: Event, hops: i32) -> Event {
    event.with_extension("eventlanehops", hops).unwrap()
}

#[tokio::test]
async fn replies_come_in_every_mode() {
    let one = reply("Ünï 1", Some("ann"));
    let empty = Event::builder().id("2").source("/s").ty("t").build();
    let (empty, two) = (empty.unwrap(), reply("3", None));
    let all = [one.clone(), empty.clone(), two.clone()];
    let mut server = Hyper::start(move |request| {
        let mut headers = HeaderMap::new();
        let body = match request.headers()["ce-id"].to_str().unwrap() {
            "binary" => write_binary(&all[0], &mut headers),
            "nothing" => write_binary(&all[1], &mut headers),
            "structured" => write_structured(&all[0], &mut headers),
            "batch" => write_batched(&all, &mut headers),
            _ => write_batched([], &mut headers),
        };
        answer(200, headers, &body)
    })
    .await;
    for (ask, expected) in [
        ("binary", vec![one.clone()]),
        ("nothing", vec![empty.clone()]),
        ("structured", vec![one.clone()]),
        ("batch", vec![one, empty, two]),
        ("none", vec![]),
    ] {
        let kept = Kept::new();
        let sink = asking(&server.url(), Replies::default(), &kept);
        let event = crate::support::builder().id(ask).build().unwrap();
        deliver(&sink, event).await;
        // By what they say: over a wire, every attribute is text.
        let said = |event: &Event| {
            let names = event.extensions();
            let extensions = names.map(|(name, value)| format!("{name}={value}"));
            let data = event.data().map(|data| data.as_bytes().clone());
            (
                event.id().to_owned(),
                extensions.collect::<Vec<_>>(),
                event.data_content_type().map(str::to_owned),
                data,
            )
        };
        let expected = expected.into_iter().map(|event| marked(event, 1));
        let (expected, kept) = (expected.collect::<Vec<_>>(), kept.events());
        assert!(expected.iter().map(said).eq(kept.iter().map(said)), "{ask}");
        assert_eq!(server.request().await.headers()["prefer"], "reply");
    }
}

#[tokio::test]
async fn nobody_is_asked_for_replies_that_nobody_wants() {
    let mut server = Hyper::start(|_| structured(&reply("1", None))).await;
    deliver(&crate::support::sink(&server.url()), event()).await;
    assert!(!server.request().await.headers().contains_key("prefer"));
    let kept = Kept::new();
    let config = HttpSinkConfig::new(server.url()).with_header("prefer", "respond-async");
    let sink = HttpSink::new(config).unwrap().with_replies_to(kept.clone());
    deliver(&sink, event()).await;
    assert_eq!(server.request().await.headers()["prefer"], "respond-async");
    assert_eq!(kept.ids(), ["1"]);
}

#[tokio::test]
async fn a_202_is_never_a_reply_and_nothing_is_none() {
    let event_of = |status| {
        let mut answer = structured(&reply("1", None));
        *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
        answer
    };
    let of_type = |content_type: &str| {
        let answer = Response::builder().header("content-type", content_type);
        answer.body(String::new()).unwrap()
    };
    let answers = [
        event_of(202),
        Response::builder()
            .status(202)
            .body("ok".to_owned())
            .unwrap(),
        Response::builder().status(204).body(String::new()).unwrap(),
        // Configured as delivered, and still no success.
        event_of(409),
        of_type("text/plain"),
        of_type("application/cloudevents+json"),
    ];
    for answer in answers {
        let shown = format!("{answer:?}");
        let server = Hyper::start(move |_| answer.clone()).await;
        let kept = Kept::new();
        let config = HttpSinkConfig::new(server.url())
            .with_statuses(StatusSets::default().with_delivered(["409"]));
        let sink = HttpSink::new(config).unwrap().with_replies_to(kept.clone());
        deliver(&sink, event()).await;
        assert!(kept.calls().is_empty(), "{shown}");
    }
}

#[tokio::test]
async fn a_body_that_can_not_be_read_follows_the_policy() {
    let with = |headers: &[(&'static str, &str)], body: &str| {
        let mut answer = Response::builder();
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        answer.body(body.to_owned()).unwrap()
    };
    let (json, text) = ("application/cloudevents+json", "text/plain");
    let long = "x".repeat(3000);
    let of_long = with(&[("content-type", text)], &long);
    for (answer, reason) in [
        (with(&[("content-type", text)], "ok"), "reply_not_event"),
        (with(&[], "ok"), "reply_not_event"),
        (with(&[("content-type", json)], "{"), "reply_invalid"),
        (
            with(&[("content-type", json)], r#"{"id":"1"}"#),
            "reply_invalid",
        ),
        (
            with(&[("content-type", "application/cloudevents+avro")], "x"),
            "reply_invalid",
        ),
        // Claims to be an event without data, and has no id.
        (with(&[("ce-specversion", "1.0")], ""), "reply_invalid"),
        (
            with(&[("content-type", json), ("content-encoding", "gzip")], "x"),
            "reply_invalid",
        ),
        (of_long, "reply_too_large"),
    ] {
        let of = answer.body().clone();
        let server = Hyper::start(move |_| answer.clone()).await;
        for policy in [
            Undecodable::Reject,
            Undecodable::Retry,
            Undecodable::Ignore,
            Undecodable::default(),
        ] {
            let replies = Replies::default()
                .with_undecodable(policy)
                .with_max_bytes(2000);
            let kept = Kept::new();
            let verdict = send(&asking(&server.url(), replies, &kept), event()).await;
            let as_expected = match policy {
                Undecodable::Retry => matches!(verdict, Verdict::Retry(_)),
                Undecodable::Ignore => matches!(verdict, Verdict::Delivered),
                _ => matches!(verdict, Verdict::Reject(_)),
            };
            assert!(as_expected, "{policy:?} {of}: {verdict:?}");
            if let Some(failure) = verdict.failure() {
                assert_eq!((&*failure.reason, failure.status), (reason, Some(200)));
                assert_eq!(failure.body, of[..of.len().min(1024)]);
                let begins = format!("POST {} answered 200 with", server.url());
                assert!(failure.message.starts_with(&begins), "{}", failure.message);
            }
            assert!(kept.calls().is_empty());
        }
    }
}

#[tokio::test]
async fn the_longest_body_is_still_a_reply() {
    let reply = reply("1", None);
    let length = structured(&reply).body().len();
    let server = Hyper::start(move |_| structured(&reply)).await;
    for (max, fits) in [(length, true), (length - 1, false)] {
        let kept = Kept::new();
        let replies = Replies::default().with_max_bytes(max);
        let verdict = send(&asking(&server.url(), replies, &kept), event()).await;
        assert_eq!(matches!(verdict, Verdict::Delivered), fits, "{verdict:?}");
        assert_eq!(kept.ids().len(), usize::from(fits));
    }
}

#[tokio::test]
async fn a_body_without_end_is_left_and_one_that_breaks_off_is_asked_for_again() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut server = Raw::start(move |request| match request {
        0 => Then::Repeat(head, "3\r\nabc\r\n", Duration::ZERO),
        1 => Then::Close("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nabc"),
        _ => Then::Reset("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    })
    .await;
    let kept = Kept::new();
    let replies = Replies::default()
        .with_undecodable(Undecodable::Ignore)
        .with_max_bytes(10_000);
    let sink = asking(&server.url(), replies, &kept);
    deliver(&sink, event()).await;
    server.closed().await;
    for _ in 0..2 {
        let failure = crate::support::retried(&sink, event()).await;
        assert_eq!(failure.reason, "reply_broken_off", "{}", failure.message);
    }
    assert!(kept.calls().is_empty());
}
