//! Which headers a request has, and that events can't add others.

use eventlane::{
    event::http::Mode,
    sink::http::{Gzip, HttpSink},
};

use crate::{
    server::{Hyper, Received},
    support::{builder, config, deliver, event},
};

async fn echo() -> Hyper {
    Hyper::start(|_| http::Response::new(String::new())).await
}

fn names(request: &Received) -> Vec<&str> {
    let mut names: Vec<_> = request
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn configured_headers_are_sent() {
    let mut server = echo().await;
    let config = config(&server.url())
        .with_header("X-Team", "payments")
        .with_header("user-agent", "mine");
    deliver(&HttpSink::new(config).unwrap(), event()).await;
    let request = server.request().await;
    assert_eq!(request.headers()["x-team"], "payments");
    assert_eq!(
        request
            .headers()
            .get_all("user-agent")
            .iter()
            .collect::<Vec<_>>(),
        ["mine"]
    );
}

#[tokio::test]
async fn listed_extensions_become_headers() {
    let mut server = echo().await;
    let config = config(&server.url())
        .with_mode(Mode::Structured)
        .with_header("x-ev-fixed", "configured")
        .with_forward(["tenant", "absent", "fixed", "kafka*"], "X-Ev-");
    let event = builder()
        .extension("tenant", "ä b")
        .extension("fixed", "message")
        .extension("kafkatopic", "orders")
        .extension("other", "x")
        .build()
        .unwrap();
    deliver(&HttpSink::new(config).unwrap(), event).await;
    let request = server.request().await;
    assert_eq!(
        names(&request),
        [
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-ev-fixed",
            "x-ev-kafkatopic",
            "x-ev-tenant"
        ],
    );
    assert_eq!(request.headers()["x-ev-tenant"], "%C3%A4%20b");
    assert_eq!(request.headers()["x-ev-fixed"], "configured");
}

/// Everything is allowed, and still nothing that steers gets through.
#[tokio::test]
async fn no_extension_steers_the_request() {
    let hostile = [
        "authorization",
        "connection",
        "contentlength",
        "cookie",
        "expect",
        "from",
        "host",
        "method",
        "path",
        "te",
        "trailer",
        "upgrade",
        "via",
        "range",
        "origin",
        "prefer",
    ];
    let mut server = echo().await;
    let sink = HttpSink::new(config(&server.url()).with_forward(["*"], "")).unwrap();
    let event = hostile
        .iter()
        .fold(builder(), |event, name| event.extension(*name, "evil"));
    deliver(&sink, event.build().unwrap()).await;
    let request = server.request().await;
    assert_eq!(
        (request.method().as_str(), request.uri().path()),
        ("POST", "/events")
    );
    assert_eq!(
        request.headers()["host"],
        format!("localhost:{}", server.port())
    );
    for name in hostile {
        // Harmless ones become headers, since everything is allowed here.
        let harmless = ["contentlength", "from", "method", "path"].contains(&name);
        let evil = request
            .headers()
            .get(name)
            .is_some_and(|value| value == "evil");
        assert_eq!(evil, harmless, "{name}");
    }

    let sink = HttpSink::new(config(&server.url()).with_forward(["*"], "content-")).unwrap();
    let event = builder().extension("length", "1").extension("type", "x");
    assert!(event.build().is_err(), "an extension named type");
    deliver(
        &sink,
        builder()
            .extension("length", "1")
            .extension("encoding", "gzip")
            .build()
            .unwrap(),
    )
    .await;
    let request = server.request().await;
    assert_eq!(
        names(&request),
        [
            "ce-encoding",
            "ce-id",
            "ce-length",
            "ce-source",
            "ce-specversion",
            "ce-type",
            "content-length",
            "host",
            "user-agent",
        ]
    );
    assert_eq!(request.headers()["content-length"], "0");
}

/// CloudEvents has no control characters, so no builder takes them; other line breaks must not
/// become any.
#[tokio::test]
async fn no_value_breaks_a_line() {
    for value in ["a\r\nx-evil: 1", "a\nb", "a\0b", "a\u{85}b"] {
        assert!(
            builder().extension("tenant", value).build().is_err(),
            "{value:?}"
        );
    }
    let mut server = echo().await;
    let sink = HttpSink::new(config(&server.url()).with_forward(["tenant"], "x-")).unwrap();
    let event = builder()
        .extension("tenant", "a\u{2028}b\u{10a}c%0d%0a")
        .build()
        .unwrap();
    deliver(&sink, event).await;
    assert_eq!(
        server.request().await.headers()["x-tenant"],
        "a%E2%80%A8b%C4%8Ac%250d%250a"
    );
}

#[tokio::test]
async fn the_trace_goes_on() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut server = echo().await;
    let sink = HttpSink::new(config(&server.url())).unwrap();
    let traced = || builder().extension("traceparent", PARENT);
    let cases = [
        (
            traced().extension("tracestate", "a=1,b=2"),
            Some(PARENT),
            Some("a=1,b=2"),
        ),
        (traced(), Some(PARENT), None),
        (traced().extension("tracestate", "ä"), Some(PARENT), None),
        (
            traced().extension("tracestate", "x".repeat(513)),
            Some(PARENT),
            None,
        ),
        (builder().extension("tracestate", "a=1"), None, None),
        (builder().extension("traceparent", "evil"), None, None),
    ];
    for (event, parent, state) in cases {
        deliver(&sink, event.build().unwrap()).await;
        let request = server.request().await;
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap())
        };
        assert_eq!(
            (header("traceparent"), header("tracestate")),
            (parent, state)
        );
    }
    let config = config(&server.url())
        .with_header("traceparent", "configured")
        .with_mode(Mode::Batched);
    deliver(&HttpSink::new(config).unwrap(), traced().build().unwrap()).await;
    assert_eq!(
        server.request().await.headers()["traceparent"],
        "configured"
    );
}

#[tokio::test]
async fn gzip_from_a_size_on() {
    use std::io::Read;

    let mut server = echo().await;
    let sink = HttpSink::new(config(&server.url()).with_gzip(Gzip::default().with_min_bytes(100)))
        .unwrap();
    // Small, large, larger than what is compressed in place, and one that gzip would only make
    // larger.
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(200)
        .collect();
    for (data, compressed) in [
        (vec![b'a'; 99], false),
        (vec![b'a'; 100], true),
        (vec![b'a'; 200_000], true),
        (noise, false),
    ] {
        let event = builder()
            .data_content_type("text/plain")
            .data(data.clone())
            .build()
            .unwrap();
        deliver(&sink, event).await;
        let request = server.request().await;
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap())
        };
        assert_eq!(
            header("content-length").unwrap(),
            request.body().len().to_string()
        );
        if compressed {
            assert_eq!(header("content-encoding"), Some("gzip"));
            assert!(request.body().len() < data.len());
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&request.body()[..])
                .read_to_end(&mut plain)
                .unwrap();
            assert_eq!(plain, data);
        } else {
            assert_eq!(header("content-encoding"), None);
            assert_eq!(request.body()[..], data);
        }
    }
}
