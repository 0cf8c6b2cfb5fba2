//! What goes over the wire, byte by byte.

use eventlane::{
    Event,
    event::{Data, Timestamp, http::Mode},
    sink::{
        Batch, Outcome, Sink, Verdict, Verdicts,
        http::{HttpSink, Protocol},
    },
};

use crate::{
    server::{Hyper, OK, Raw},
    support::{builder, config, deliver, event, within},
};

const AGENT: &str = concat!("eventlane/", env!("CARGO_PKG_VERSION"));

fn full() -> Event {
    builder()
        .subject("Euro € 😀")
        .time(Timestamp::parse("2026-01-02T03:04:05.5+02:00").unwrap())
        .data_content_type("application/json")
        .data_schema("https://example.com/schema")
        .extension("partitionkey", "a \"b\" 100%")
        .extension("attempt", 7)
        .data(Data::json("{\"price\": 1.10, \"n\":12345678901234567890123}").unwrap())
        .build()
        .unwrap()
}

/// The request with its headers sorted, but for the request line: their order is nobody's business.
fn sorted(request: &str) -> String {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.split("\r\n").collect();
    lines[1..].sort_unstable();
    format!("{}\n\n{body}", lines.join("\n"))
}

#[tokio::test]
async fn binary_mode() {
    let mut server = Raw::start(|_| OK).await;
    let sink = HttpSink::new(config(&format!("{}?a=b%20c", server.url()))).unwrap();
    deliver(&sink, full()).await;
    let expected = format!(
        "POST /events?a=b%20c HTTP/1.1\n\
         ce-attempt: 7\n\
         ce-dataschema: https://example.com/schema\n\
         ce-id: 1\n\
         ce-partitionkey: a%20%22b%22%20100%25\n\
         ce-source: /test\n\
         ce-specversion: 1.0\n\
         ce-subject: Euro%20%E2%82%AC%20%F0%9F%98%80\n\
         ce-time: 2026-01-02T03:04:05.5+02:00\n\
         ce-type: test.event\n\
         content-length: 44\n\
         content-type: application/json\n\
         host: {}\n\
         user-agent: {AGENT}\n\
         \n\
         {{\"price\": 1.10, \"n\":12345678901234567890123}}",
        server.host(),
    );
    assert_eq!(sorted(&server.request().await), expected);
    assert_eq!(sink.verdicts(), Verdicts::PerEvent);
    assert_eq!(sink.destination(), format!("{}?...", server.url()));
}

#[tokio::test]
async fn binary_mode_without_data() {
    let mut server = Raw::start(|_| OK).await;
    deliver(
        &crate::support::sink(&server.url()),
        builder().build().unwrap(),
    )
    .await;
    let expected = format!(
        "POST /events HTTP/1.1\nce-id: 1\nce-source: /test\nce-specversion: 1.0\n\
         ce-type: test.event\ncontent-length: 0\nhost: {}\nuser-agent: {AGENT}\n\n",
        server.host(),
    );
    assert_eq!(sorted(&server.request().await), expected);
}

#[tokio::test]
async fn structured_mode() {
    let mut server = Raw::start(|_| OK).await;
    let sink = HttpSink::new(config(&server.url()).with_mode(Mode::Structured)).unwrap();
    deliver(&sink, full()).await;
    let body = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/test\",\"type\":\"test.event\",\
        \"subject\":\"Euro € 😀\",\"time\":\"2026-01-02T03:04:05.5+02:00\",\
        \"datacontenttype\":\"application/json\",\"dataschema\":\"https://example.com/schema\",\
        \"attempt\":7,\"partitionkey\":\"a \\\"b\\\" 100%\",\
        \"data\":{\"price\": 1.10, \"n\":12345678901234567890123}}";
    let expected = format!(
        "POST /events HTTP/1.1\ncontent-length: {}\ncontent-type: application/cloudevents+json\n\
         host: {}\nuser-agent: {AGENT}\n\n{body}",
        body.len(),
        server.host(),
    );
    assert_eq!(sorted(&server.request().await), expected);
    assert_eq!(sink.verdicts(), Verdicts::PerEvent);
}

#[tokio::test]
async fn batched_mode() {
    let mut server = Raw::start(|_| OK).await;
    let sink = HttpSink::new(config(&server.url()).with_mode(Mode::Batched)).unwrap();
    let outcome =
        within(sink.send(Batch::new([event(), builder().id("2").build().unwrap()]))).await;
    assert!(matches!(outcome, Outcome::All(Verdict::Delivered)));
    let body = "[{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/test\",\"type\":\"test.event\",\
        \"datacontenttype\":\"application/json\",\"data\":{}},\
        {\"specversion\":\"1.0\",\"id\":\"2\",\"source\":\"/test\",\"type\":\"test.event\"}]";
    let expected = format!(
        "POST /events HTTP/1.1\ncontent-length: {}\ncontent-type: application/cloudevents-batch+json\n\
         host: {}\nuser-agent: {AGENT}\n\n{body}",
        body.len(),
        server.host(),
    );
    assert_eq!(sorted(&server.request().await), expected);
    assert_eq!(sink.verdicts(), Verdicts::Whole);
}

#[tokio::test]
async fn a_batch_of_single_events_is_sent_in_order_with_a_verdict_each() {
    let mut server = Hyper::start(|request| {
        let status = if request.headers()["ce-id"] == "1" {
            503
        } else {
            200
        };
        http::Response::builder()
            .status(status)
            .body(String::new())
            .unwrap()
    })
    .await;
    let sink = crate::support::sink(&server.url());
    let events = ["0", "1", "2"].map(|id| builder().id(id).build().unwrap());
    let outcome = within(sink.send(Batch::new(events))).await;
    let Outcome::Each(verdicts) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        matches!(
            verdicts[..],
            [Verdict::Delivered, Verdict::Retry(_), Verdict::Delivered]
        ),
        "{verdicts:?}",
    );
    for id in ["0", "1", "2"] {
        assert_eq!(server.request().await.headers()["ce-id"], id);
    }
}

#[tokio::test]
async fn http2_by_prior_knowledge() {
    let mut server = Hyper::start(|_| http::Response::new(String::new())).await;
    let sink = HttpSink::new(config(&server.url()).with_protocol(Protocol::Http2)).unwrap();
    // The same connection carries all of them, whatever their number.
    let sends = (0..100).map(|_| deliver(&sink, full()));
    futures_util::future::join_all(sends).await;
    for _ in 0..100 {
        let request = server.request().await;
        assert_eq!(request.version(), http::Version::HTTP_2);
        assert_eq!(request.uri().to_string(), server.url());
        assert_eq!(
            request.headers()["ce-subject"],
            "Euro%20%E2%82%AC%20%F0%9F%98%80"
        );
        assert!(!request.headers().contains_key("host"));
        assert_eq!(
            request.body(),
            "{\"price\": 1.10, \"n\":12345678901234567890123}"
        );
    }
    assert_eq!(server.accepts(), 1);
}
