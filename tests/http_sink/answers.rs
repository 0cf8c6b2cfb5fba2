//! What answers mean.

use std::time::{Duration, SystemTime};

use eventlane::sink::{
    Verdict,
    http::{HttpSink, StatusSets},
};
use http::Response;

use crate::{
    server::{Hyper, OK, Raw, Then},
    support::{builder, config, deliver, event, retried, send, sink},
};

/// Answers with the status that the event's id names, and with the headers of its extensions.
async fn obedient() -> Hyper {
    Hyper::start(|request| {
        let status = request.headers()["ce-id"]
            .to_str()
            .unwrap()
            .parse::<u16>()
            .unwrap();
        let mut response = Response::builder().status(status);
        for (name, value) in request.headers() {
            if let Some(name) = name.as_str().strip_prefix("ce-header") {
                let name = name.replace("dash", "-");
                response = response.header(name, value.to_str().unwrap().replace("%20", " "));
            }
        }
        response.body("because".into()).unwrap()
    })
    .await
}

#[tokio::test]
async fn every_status_has_its_verdict() {
    let server = obedient().await;
    let sink = sink(&server.url());
    for status in (200..600).chain([600, 999]) {
        let verdict = send(&sink, builder().id(status.to_string()).build().unwrap()).await;
        let as_expected = match status {
            200..=299 => matches!(verdict, Verdict::Delivered),
            401 | 403 | 407 => matches!(verdict, Verdict::Hold(_)),
            410 => matches!(verdict, Verdict::Stop(_)),
            413 => matches!(verdict, Verdict::TooLarge(_)),
            404 | 408 | 409 | 425 | 429 => matches!(verdict, Verdict::Retry(_)),
            501 | 505 => matches!(verdict, Verdict::Reject(_)),
            500.. => matches!(verdict, Verdict::Retry(_)),
            _ => matches!(verdict, Verdict::Reject(_)),
        };
        assert!(as_expected, "{status}: {verdict:?}");
        if let Some(failure) = verdict.failure() {
            assert_eq!(failure.reason, format!("status_{status}"));
            assert_eq!(failure.status, Some(status));
            // 304 has no body.
            assert_eq!(failure.body, if status == 304 { "" } else { "because" });
            assert!(
                failure
                    .message
                    .starts_with(&format!("POST {} answered {status}", server.url()))
            );
        }
    }
}

#[tokio::test]
async fn statuses_can_be_configured() {
    let server = obedient().await;
    let statuses = StatusSets::default()
        .with_delivered(["409"])
        .with_hold(["5xx"]);
    let sink = HttpSink::new(config(&server.url()).with_statuses(statuses)).unwrap();
    deliver(&sink, builder().id("409").build().unwrap()).await;
    let verdict = send(&sink, builder().id("501").build().unwrap()).await;
    assert!(matches!(verdict, Verdict::Hold(_)), "{verdict:?}");
}

#[tokio::test]
async fn retry_after_is_followed_where_it_helps() {
    let server = obedient().await;
    let sink =
        HttpSink::new(config(&server.url()).with_max_retry_after(Duration::from_secs(60))).unwrap();
    let wait = async |status: &'static str, value: String| {
        let event = builder()
            .id(status)
            .extension("headerretrydashafter", value)
            .build()
            .unwrap();
        send(&sink, event).await.failure().unwrap().retry_after
    };
    for status in ["429", "503", "404", "401", "500"] {
        assert_eq!(
            wait(status, "2".into()).await,
            Some(Duration::from_secs(2)),
            "{status}"
        );
    }
    for status in ["400", "301", "410", "413", "501"] {
        assert_eq!(wait(status, "2".into()).await, None, "{status}");
    }
    assert_eq!(
        wait("503", "61".into()).await,
        Some(Duration::from_secs(60))
    );
    assert_eq!(wait("503", "soon".into()).await, None);
    assert_eq!(wait("503", "-1".into()).await, None);
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(10));
    let after = wait("503", date).await.unwrap();
    assert!((8..=10).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test]
async fn a_failure_carries_what_the_destination_wants_on_the_dead_letter() {
    let server = obedient().await;
    let event = builder()
        .id("500")
        .extension("headerknedashtenant", "a b")
        .extension("headerknedashid", "evil")
        .build()
        .unwrap();
    let failure = retried(&sink(&server.url()), event).await;
    assert_eq!(
        failure.attributes,
        [("tenant".to_owned(), "a b".to_owned())]
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Raw::start(|_| OK).await;
    let to = elsewhere.url();
    let server = Hyper::start(move |_| {
        Response::builder()
            .status(307)
            .header("location", &to)
            .body(String::new())
            .unwrap()
    })
    .await;
    let verdict = send(&sink(&server.url()), event()).await;
    match &verdict {
        Verdict::Reject(failure) => assert!(failure.message.contains("configure the final URL")),
        verdict => panic!("{verdict:?}"),
    }
    assert_eq!(elsewhere.accepts(), 0);
}

#[tokio::test]
async fn informational_answers_are_waited_out() {
    let server = Raw::start(|_| {
        Then::Answer("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    })
    .await;
    deliver(&sink(&server.url()), event()).await;
}

#[tokio::test]
async fn what_is_no_http_is_tried_again() {
    for answer in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/1.1 two hundred\r\n\r\n",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "\0\0\0\0",
    ] {
        let server = Raw::start(move |_| Then::Close(answer)).await;
        let failure = retried(&sink(&server.url()), event()).await;
        assert_eq!(
            failure.reason, "protocol",
            "{answer:?}: {}",
            failure.message
        );
        assert!(
            !failure.message.contains(char::is_control),
            "{}",
            failure.message
        );
    }
}

#[tokio::test]
async fn what_breaks_off_is_tried_again() {
    for then in [
        Then::Close as fn(&'static str) -> Then,
        Then::Reset as fn(&'static str) -> Then,
    ] {
        for answer in ["", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\ncontent-le"] {
            let server = Raw::start(move |_| then(answer)).await;
            let failure = retried(&sink(&server.url()), event()).await;
            assert_eq!(failure.reason, "reset", "{answer:?}: {}", failure.message);
            assert!(
                failure
                    .message
                    .starts_with(&format!("POST {}: reset: ", server.url()))
            );
            assert_eq!((failure.status, failure.retry_after), (None, None));
        }
    }
}

#[tokio::test]
async fn headers_without_end_are_an_error() {
    let server = Raw::start(|_| {
        Then::Repeat(
            "HTTP/1.1 200 OK\r\n",
            "x-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
            Duration::ZERO,
        )
    })
    .await;
    let failure = retried(&sink(&server.url()), event()).await;
    assert_eq!(failure.reason, "protocol", "{}", failure.message);
}
