//! `Host` other than the URL's, as gateways want it.

use eventlane::sink::http::{HttpSink, Protocol};

use crate::{
    server::{Hyper, OK, Raw},
    support::{config, deliver, event},
};

#[tokio::test]
async fn http1_sends_the_header() {
    let mut server = Raw::start(|_| OK).await;
    let config = config(&server.url()).with_header("Host", "display.default.example.com");
    deliver(&HttpSink::new(config).unwrap(), event()).await;
    let request = server.request().await;
    assert!(
        request.contains("\r\nhost: display.default.example.com\r\n"),
        "{request}"
    );
    assert_eq!(request.to_lowercase().matches("\r\nhost:").count(), 1);
    assert!(request.starts_with("POST /events HTTP/1.1\r\n"));
}

#[tokio::test]
async fn http2_sends_the_authority() {
    let mut server = Hyper::start(|_| http::Response::new(String::new())).await;
    let config = config(&server.url())
        .with_protocol(Protocol::Http2)
        .with_header("Host", "display.example.com:81");
    deliver(&HttpSink::new(config).unwrap(), event()).await;
    let request = server.request().await;
    assert_eq!(
        request.uri().to_string(),
        "http://display.example.com:81/events"
    );
    assert!(!request.headers().contains_key("host"));
}
