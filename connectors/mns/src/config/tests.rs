use super::*;

const HANGZHOU: &str = "https://123.mns.cn-hangzhou-internal.aliyuncs.com";

fn config() -> MnsConfig {
    MnsConfig::new(HANGZHOU, "orders").with_credentials(Credentials::new("id", "hush"))
}

#[test]
fn defaults_are_valid() {
    config().validate().unwrap();
    assert_eq!(config().wait, Duration::from_secs(30));
    assert_eq!(config().body_encoding, BodyEncoding::Base64);
}

#[test]
fn is_read_from_a_file() {
    let read: MnsConfig = serde_json::from_str(
        r#"{
            "endpoint": "http://gateway:8080/mns/", "queue": "orders", "region": "eu-central-1", "account": "9",
            "signing": "apsara-v4", "wait": "500ms", "body_encoding": "auto", "connect_timeout": 2,
            "credentials": {"access_key_id": "id", "access_key_secret": "hush", "security_token": "hush"},
            "event": {"type": "order", "on_invalid": "reject"}
        }"#,
    )
    .unwrap();
    read.validate().unwrap();
    assert_eq!(read.signing(), Signing::ApsaraV4);
    assert_eq!(read.wait, Duration::from_millis(500));
    assert_eq!(read.connect_timeout, Duration::from_secs(2));
    assert_eq!(read.event.on_invalid, OnInvalid::Reject);
    let shown = format!("{read:?}");
    assert!(shown.contains("id") && !shown.contains("hush"), "{shown}");

    let unknown = serde_json::from_str::<MnsConfig>(r#"{"quue": "orders"}"#).unwrap_err();
    assert!(unknown.to_string().contains("quue"));
}

#[test]
fn a_region_means_v4() {
    assert_eq!(config().signing(), Signing::V2);
    let regional = config().with_region("cn-hangzhou");
    assert_eq!(regional.signing(), Signing::V4);
    assert_eq!(regional.with_signing(Signing::V2).signing(), Signing::V2);
}

#[test]
fn the_subject_says_what_is_known() {
    let subject = |config: MnsConfig| config.subject(&config.base().unwrap());
    assert_eq!(subject(config()), "orders");
    assert_eq!(
        subject(config().with_region("cn-hangzhou")),
        "acs:mns:cn-hangzhou:123:queues/orders"
    );
    let elsewhere = MnsConfig::new("http://10.0.0.1:80", "orders").with_region("eu");
    assert_eq!(subject(elsewhere.clone()), "orders");
    assert_eq!(
        subject(elsewhere.with_account("7")),
        "acs:mns:eu:7:queues/orders"
    );
    let own = EventConfig::new().with_subject("mine");
    assert_eq!(subject(config().with_event(own)), "mine");
}

#[test]
fn says_what_is_wrong() {
    let with = |change: fn(&mut MnsConfig)| {
        let mut config = config();
        change(&mut config);
        config
    };
    let cases = [
        (with(|c| c.endpoint.clear()), "no endpoint"),
        (with(|c| c.endpoint = "orders".into()), "no URL"),
        (with(|c| c.endpoint = "ftp://h".into()), "https://"),
        (with(|c| c.endpoint = "http://u:p@h".into()), "credentials"),
        (with(|c| c.endpoint = "http://h?a=b".into()), "path"),
        (with(|c| c.endpoint = "http://h#a".into()), "path"),
        (with(|c| c.queue.clear()), "no queue"),
        (with(|c| c.queue = "a/b".into()), "letters"),
        (with(|c| c.queue = "..".into()), "letters"),
        (with(|c| c.region = Some(String::new())), "region"),
        (with(|c| c.region = Some("a\n".into())), "region"),
        (with(|c| c.account = Some("a:b".into())), "account"),
        (with(|c| c.signing = Some(Signing::V4)), "needs the region"),
        (with(|c| c.wait = Duration::from_secs(31)), "30 s"),
        (
            with(|c| c.connect_timeout = Duration::ZERO),
            "connect_timeout",
        ),
        (
            with(|c| c.request_timeout = Duration::ZERO),
            "request_timeout",
        ),
        (
            with(|c| c.credentials = Some(Credentials::new("", ""))),
            "id is empty",
        ),
        (with(|c| c.event.source = "a b".into()), "source"),
        (with(|c| c.event.ty.clear()), "type"),
        (with(|c| c.event.subject = Some("\n".into())), "subject"),
    ];
    for (config, part) in cases {
        let error = config.validate().unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Config, "{text}");
        assert!(text.contains(part) && !text.contains('\n'), "{text}");
    }
}
