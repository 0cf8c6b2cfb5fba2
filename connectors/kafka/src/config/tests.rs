use super::*;

fn usual() -> KafkaConfig {
    KafkaConfig::new("127.0.0.1:9092", "group", ["topic"])
}

fn property(config: KafkaConfig, name: &str) -> Option<String> {
    let config = config.validated().unwrap().client().unwrap();
    config.get(name).map(str::to_owned)
}

fn refused(config: KafkaConfig) -> String {
    let error = match config.validated().and_then(|config| config.client()) {
        Ok(_) => panic!("this was accepted"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

#[test]
fn measured_settings_can_be_overridden() {
    assert_eq!(
        property(usual(), "fetch.queue.backoff.ms").as_deref(),
        Some("10")
    );
    let other = usual().with_property("fetch.queue.backoff.ms", "20");
    assert_eq!(
        property(other, "fetch.queue.backoff.ms").as_deref(),
        Some("20")
    );
}

#[test]
fn what_must_be_ours_is_refused_with_a_reason() {
    for name in [
        "enable.auto.commit",
        "enable.auto.offset.store",
        "group.id",
        "bootstrap.servers",
        "enable.partition.eof",
        "allow.auto.create.topics",
        "sasl.oauthbearer.method",
    ] {
        let reason = refused(usual().with_property(name, "x"));
        assert!(reason.contains(name) && reason.contains(": "), "{reason}");
    }
}

#[test]
fn properties_that_stand_for_a_setting_become_it() {
    let config = usual()
        .with_property("group.protocol", "consumer")
        .with_property("auto.offset.reset", "latest")
        .with_property("isolation.level", "read_uncommitted")
        .with_property("session.timeout.ms", "20000")
        .with_property("group.instance.id", "one")
        .validated()
        .unwrap();
    assert_eq!(config.protocol, GroupProtocol::Consumer);
    assert_eq!(config.start, StartOffset::Latest);
    assert_eq!(config.isolation, Isolation::ReadUncommitted);
    assert_eq!(config.drain(), Duration::from_secs(10));
    let client = config.client().unwrap();
    assert_eq!(
        client.get("auto.offset.reset"),
        Some("earliest"),
        "for offsets that are gone"
    );
    assert_eq!(client.get("group.instance.id"), Some("one"));
    assert_eq!(
        client.get("session.timeout.ms"),
        None,
        "the broker's in this protocol"
    );

    let range = usual().with_property("partition.assignment.strategy", "range");
    assert_eq!(range.validated().unwrap().assignor, Assignor::Range);
}

#[test]
fn a_setting_is_not_made_twice() {
    let config = usual().with_start(StartOffset::Latest);
    let same = config.clone().with_property("auto.offset.reset", "latest");
    assert!(same.validated().is_ok());
    assert!(
        refused(config.with_property("auto.offset.reset", "earliest")).contains("another value")
    );
    let secure = usual().with_sasl(Sasl::plain("a", "b"));
    assert!(refused(secure.with_property("sasl.username", "c")).contains("`sasl`"));
    assert!(refused(usual().with_property("group.protocol", "new")).contains("classic"));
}

#[test]
fn security_can_be_set_by_properties_alone() {
    let config = usual()
        .with_property("security.protocol", "SASL_PLAINTEXT")
        .with_property("sasl.mechanisms", "PLAIN")
        .with_property("sasl.username", "alice");
    assert_eq!(property(config, "sasl.username").as_deref(), Some("alice"));
}

#[test]
fn what_cannot_work_is_refused() {
    assert!(refused(KafkaConfig::new("", "g", ["t"])).contains("bootstrap_servers"));
    assert!(refused(KafkaConfig::new("b", "", ["t"])).contains("group"));
    assert!(refused(KafkaConfig::new("b", "g", [""; 0])).contains("topics"));
    let drain = usual().with_session_timeout(Duration::from_secs(6));
    assert!(refused(drain.with_drain(Duration::from_secs(6))).contains("drain"));
    let source = EventConfig::new().with_source("not a uri");
    assert!(refused(usual().with_event(source)).contains("source"));
    let oauth = usual().with_sasl(Sasl::oauth_bearer());
    assert!(refused(oauth).contains("token provider"));
    let missing = usual().with_tls(Tls::new().with_ca("/nowhere/ca.pem".into()));
    assert!(refused(missing).contains("/nowhere/ca.pem"));
}

#[test]
fn security_becomes_properties() {
    let config = usual().with_sasl(Sasl::scram_sha_512("alice", "secret"));
    assert_eq!(
        property(config.clone(), "security.protocol").as_deref(),
        Some("SASL_PLAINTEXT")
    );
    let config = config.with_tls(Tls::new().with_ca("-----BEGIN CERTIFICATE-----".into()));
    assert_eq!(
        property(config.clone(), "security.protocol").as_deref(),
        Some("SASL_SSL")
    );
    assert_eq!(
        property(config.clone(), "sasl.mechanisms").as_deref(),
        Some("SCRAM-SHA-512")
    );
    assert!(property(config, "ssl.ca.pem").is_some());
}

#[test]
fn secrets_are_not_shown() {
    let config = usual()
        .with_sasl(Sasl::plain("alice", "hunter2"))
        .with_tls(Tls::new().with_identity("cert.pem".into(), "-----BEGIN hunter2".into()))
        .with_property("ssl.key.password", "hunter2")
        .with_property("fetch.wait.max.ms", "42");
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("alice") && shown.contains("42"), "{shown}");
}

#[test]
fn is_read_from_a_file() {
    let config: KafkaConfig = serde_json::from_str(
        r#"{
            "bootstrap_servers": "a:9092,b:9092",
            "group": "billing",
            "topics": ["orders", "^audit-.*"],
            "sasl": {"mechanism": "SCRAM-SHA-256", "username": "u", "password": "p"},
            "tls": {"ca": "/etc/ca.pem"},
            "protocol": "consumer",
            "assignor": "range",
            "start": "2026-01-31T12:00:00Z",
            "isolation": "read-uncommitted",
            "session_timeout": "30s",
            "drain": "500ms",
            "event": {
                "namespace": "shop", "name": "orders", "type": "t", "key_type": "byte-array",
                "position": "knative", "headers": {"only": ["x-id"]}, "on_invalid": "reject"
            },
            "properties": {"client.rack": "r"}
        }"#,
    )
    .unwrap();
    assert_eq!(config.start, StartOffset::Timestamp(1_769_860_800_000));
    assert_eq!(config.drain(), Duration::from_millis(500));
    assert_eq!(config.session_timeout, Duration::from_secs(30));
    assert_eq!(config.event.key_type, KeyType::ByteArray);
    assert_eq!(
        config.event.headers,
        HeaderExtensions::Only(vec!["x-id".to_owned()])
    );
    assert!(matches!(config.sasl, Some(Sasl::ScramSha256 { .. })));

    for wrong in [
        r#"{"topic": "x"}"#,
        r#"{"start": "soon"}"#,
        r#"{"drain": "1 fortnight"}"#,
    ] {
        assert!(
            serde_json::from_str::<KafkaConfig>(wrong).is_err(),
            "{wrong}"
        );
    }
}
