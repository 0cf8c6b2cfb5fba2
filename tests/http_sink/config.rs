//! Configuration: what it takes, and what it says of what it doesn't.

use std::time::Duration;

use eventlane::{
    ErrorKind,
    event::http::Mode,
    sink::http::{
        Credentials, Gzip, HttpSink, HttpSinkConfig, Protocol, Replies, Tls, Undecodable,
    },
};

#[test]
fn everything_can_be_configured() {
    let config: HttpSinkConfig = serde_json::from_value(serde_json::json!({
        "url": "https://example.com/events?access_token=hunter2",
        "mode": "batched",
        "protocol": "http2",
        "tls": { "ca": { "file": "/ca.pem" }, "certificate": "-----BEGIN", "key": "hunter2" },
        "auth": { "basic": { "username": "u", "password": "hunter2" } },
        "headers": { "x-key": "hunter2" },
        "forward": { "extensions": ["tenant"], "prefix": "x-" },
        "gzip": { "min_bytes": 10, "level": 1 },
        "statuses": { "retry": [418] },
        "max_retry_after": "1m",
        "replies": { "undecodable": "retry", "max_bytes": 10, "timeout": "2s", "max_hops": 3 },
        "connect_timeout": "500ms",
        "idle_timeout": "1h",
        "max_idle_connections": 7,
    }))
    .unwrap();
    assert_eq!(config.mode, Mode::Batched);
    assert_eq!(config.protocol, Protocol::Http2);
    assert_eq!(
        config.gzip,
        Some(Gzip::default().with_min_bytes(10).with_level(1))
    );
    assert_eq!(config.forward.prefix, "x-");
    assert_eq!(config.max_retry_after, Duration::from_secs(60));
    assert_eq!(
        config.replies,
        Replies::default()
            .with_undecodable(Undecodable::Retry)
            .with_max_bytes(10)
            .with_timeout(Duration::from_secs(2))
            .with_max_hops(3)
    );
    assert_eq!(config.connect_timeout, Duration::from_millis(500));
    assert_eq!(config.idle_timeout, Duration::from_secs(3600));
    assert_eq!(config.max_idle_connections, 7);
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("/ca.pem") && shown.contains("x-key"),
        "{shown}"
    );
}

#[test]
fn what_is_unknown_is_refused() {
    for wrong in [
        r#"{"urk": "http://a"}"#,
        r#"{"mode": "binaryish"}"#,
        r#"{"tls": {"insecure": true}}"#,
        r#"{"auth": {"digest": {}}}"#,
        r#"{"auth": {"bearer": {"token": {"path": "/a"}}}}"#,
        r#"{"gzip": {"min": 1}}"#,
        r#"{"connect_timeout": -5}"#,
        r#"{"connect_timeout": "5 weeks"}"#,
        r#"{"forward": ["a"]}"#,
    ] {
        let error = serde_json::from_str::<HttpSinkConfig>(wrong).unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn mistakes_say_what_to_do() {
    let config = HttpSinkConfig::new;
    for (config, hint) in [
        (HttpSinkConfig::default(), "set `url`"),
        (config("localhost:8080"), "https://host:port/path"),
        (config("http://u:hunter2@a"), "`auth`"),
        (
            config("http://a").with_tls(Tls::default().with_ca("x")),
            "not https",
        ),
        (
            config("https://a").with_tls(Tls::default().with_ca("x")),
            "no certificate",
        ),
        (
            config("http://a").with_gzip(Gzip::default().with_level(10)),
            "1 (fast) to 9",
        ),
        (config("http://a").with_header("a b", "c"), "header name"),
        (
            config("http://a")
                .with_header("authorization", "x")
                .with_auth(Credentials::bearer("y")),
            "remove one",
        ),
    ] {
        let error = HttpSink::new(config).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(text.contains(hint), "{text}");
        assert!(!text.contains('\n') && !text.contains("hunter2"), "{text}");
    }
}
