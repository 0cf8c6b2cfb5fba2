use super::*;

fn usual() -> RocketMqConfig {
    RocketMqConfig::new("localhost:8081", "group").with_topic("topic")
}

#[test]
fn what_can_not_work_is_said_in_one_line() {
    let endpoint = |endpoint: &str| RocketMqConfig {
        endpoint: endpoint.to_owned(),
        ..usual()
    };
    let cases = [
        (endpoint(""), "no endpoint"),
        (endpoint("localhost"), "host:port"),
        (endpoint("localhost:0"), "host:port"),
        (endpoint("a:1;b:99999"), "host:port"),
        (endpoint("ftp://a:1"), "host:port"),
        (
            RocketMqConfig {
                group: String::new(),
                ..usual()
            },
            "group",
        ),
        (
            RocketMqConfig {
                topics: Vec::new(),
                ..usual()
            },
            "topic",
        ),
        (usual().with_topic(""), "no name"),
        (usual().with_topic("topic"), "twice"),
        (
            usual().with_topic(Subscription::new("t").with_tags(" ")),
            "empty",
        ),
        (
            usual().with_topic(Subscription::new("t").with_tags("a").with_sql("a")),
            "not by both",
        ),
        (usual().with_lease(Duration::from_millis(999)), "lease"),
        (
            usual().with_lease(Duration::from_secs(12 * 3600 + 1)),
            "lease",
        ),
        (usual().with_wait(Duration::from_millis(999)), "wait"),
        (usual().with_wait(Duration::from_secs(21)), "wait"),
        (usual().with_namespace("a b"), "namespace"),
        (usual().with_request_timeout(Duration::ZERO), "timeout"),
        (
            usual().with_credentials(Credentials::new("", "")),
            "access key",
        ),
        (usual().with_event(EventConfig::new().with_type("")), "type"),
        (
            usual().with_event(EventConfig::new().with_source("")),
            "source",
        ),
    ];
    for (config, part) in cases {
        let error = config.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let line = error.to_string();
        assert!(line.contains(part) && !line.contains('\n'), "{line}");
    }
    usual().validate().unwrap();
}

#[test]
fn endpoints_are_a_list() {
    for (text, expected) in [
        ("a:1", "a:1"),
        (" https://a:1/ ", "a:1"),
        ("a:1;b:2, 10.0.0.1:3;", "a:1 b:2 10.0.0.1:3"),
        ("[::1]:8081", "[::1]:8081"),
    ] {
        let config = RocketMqConfig::new(text, "g");
        let addresses = config.addresses().unwrap();
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses.join(" "), expected);
    }
    assert!(RocketMqConfig::new("https://a:1", "g").is_tls());
    assert!(!RocketMqConfig::new("a:1", "g").is_tls());
}

#[test]
fn sources_are_uris() {
    assert_eq!(usual().source("t"), "rocketmq://localhost/t");
    let dead = usual().with_namespace("rmq-cn-1").source("%DLQ%g");
    assert_eq!(dead, "rocketmq://rmq-cn-1/%25DLQ%25g");
    let configured = usual().with_event(EventConfig::new().with_source("acs:mq"));
    assert_eq!(configured.source("t"), "acs:mq");
}

#[test]
fn a_file_says_the_same() {
    let file = r#"{
        "endpoint": "a:1", "group": "g", "lease": "2m",
        "topics": [{"topic": "t", "tags": "x || y"}, {"topic": "u", "sql": "a > 1"}],
        "credentials": {"access_key": "k", "secret_key": "hush"},
        "tls": {"ca": "ca.pem"},
        "event": {"subject": "key", "properties": {"only": ["a"]}, "on_invalid": "reject"}
    }"#;
    let config: RocketMqConfig = serde_json::from_str(file).unwrap();
    config.validate().unwrap();
    assert_eq!(config.lease, Duration::from_secs(120));
    assert_eq!(config.topics[0].filter().expression, "x || y");
    assert_eq!(config.topics[1].filter().r#type, 2);
    assert_eq!(config.event.properties, Properties::Only(vec!["a".into()]));
    assert!(!format!("{config:?}").contains("hush"));
    assert!(serde_json::from_str::<RocketMqConfig>(r#"{"endpont": "a:1"}"#).is_err());
}
