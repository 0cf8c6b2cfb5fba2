use eventlane::ErrorKind;

use super::*;

const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";

fn refusal(config: &SqsConfig) -> String {
    let error = config.validate().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn only_the_queue_is_needed() {
    let config: SqsConfig =
        serde_json::from_value(serde_json::json!({ "queue_url": URL })).unwrap();
    config.validate().unwrap();
    assert_eq!(config.wait, Duration::from_secs(20));
    assert_eq!(config.visibility, None);
    assert_eq!(config.event, EventConfig::new());
}

#[test]
fn everything_can_be_read_from_a_file() {
    let config: SqsConfig = serde_json::from_value(serde_json::json!({
        "queue_url": URL,
        "region": "eu-west-1",
        "endpoint": "http://localhost:9324",
        "assume_role": { "arn": "arn:aws:iam::1:role/r", "external_id": "x", "session_name": "s" },
        "credentials": { "id": "AKIA", "secret": "hush", "token": "psst" },
        "wait": "5s",
        "visibility": "2m",
        "request_timeout": 3,
        "event": {
            "source": "/orders",
            "type": "com.example.order",
            "attributes": { "only": ["Tenant"] },
            "unwrap_sns": true,
            "on_invalid": "reject",
        },
    }))
    .unwrap();
    config.validate().unwrap();
    assert_eq!(config.visibility, Some(Duration::from_secs(120)));
    assert_eq!(
        config.event.attributes,
        AttributeExtensions::Only(vec!["Tenant".to_owned()])
    );
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("hush") && !shown.contains("psst"),
        "{shown}"
    );
}

#[test]
fn what_is_unknown_is_refused() {
    for unknown in [
        r#"{"queue": "x"}"#,
        r#"{"event": {"sourcee": "x"}}"#,
        r#"{"credentials": {"id": "a", "secret": "b", "sekret": "c"}}"#,
    ] {
        assert!(
            serde_json::from_str::<SqsConfig>(unknown).is_err(),
            "{unknown}"
        );
    }
}

#[test]
fn what_can_not_work_is_refused_with_advice() {
    let good = || SqsConfig::new(URL);
    let seconds = Duration::from_secs;
    for (config, advice) in [
        (SqsConfig::default(), "no queue is given (queue_url)"),
        (SqsConfig::new("arn:aws:sqs:eu-west-1:1:orders"), "ARN"),
        (SqsConfig::new("orders"), "not a queue's URL"),
        (SqsConfig::new("https://host"), "not a queue's URL"),
        (SqsConfig::new("https://host/1/"), "not a queue's URL"),
        (SqsConfig::new("https:///1/q"), "not a queue's URL"),
        (
            SqsConfig::new("https://host/1/a queue"),
            "not a queue's URL",
        ),
        (good().with_endpoint("localhost:9324"), "endpoint"),
        (good().with_endpoint("http://me:hush@host"), "endpoint"),
        (good().with_wait(seconds(21)), "at most 20 s"),
        (
            good().with_wait(Duration::from_millis(1500)),
            "whole seconds",
        ),
        (
            good().with_visibility(Duration::ZERO),
            "between 1 s and 12 h",
        ),
        (
            good().with_visibility(seconds(43_201)),
            "between 1 s and 12 h",
        ),
        (
            good().with_request_timeout(Duration::ZERO),
            "request_timeout",
        ),
        (good().with_region("us-east-1"), "another region"),
        (
            good()
                .with_profile("p")
                .with_credentials(StaticCredentials::new("a", "b")),
            "profile and credentials",
        ),
        (
            good().with_credentials(StaticCredentials::new("", "b")),
            "credentials.id",
        ),
        (
            good().with_credentials(StaticCredentials::new("a", "hush\n")),
            "credentials.secret",
        ),
        (
            good().with_credentials(StaticCredentials::new("a", "b").with_token("")),
            "credentials.token",
        ),
        (
            good().with_assume_role(AssumeRole::new("reader")),
            "ARN of a role",
        ),
        (
            good().with_event(EventConfig::new().with_source("a b")),
            "source",
        ),
        (good().with_event(EventConfig::new().with_type("")), "type"),
        (
            good().with_event(
                EventConfig::new()
                    .with_unwrap_sns(true)
                    .with_whole_message(true),
            ),
            "exclude each other",
        ),
    ] {
        let text = refusal(&config);
        assert!(text.contains(advice), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn the_region_is_in_the_url_of_every_queue_of_aws() {
    for (url, region) in [
        (URL, Some("eu-west-1")),
        (
            "https://sqs.cn-north-1.amazonaws.com.cn/1/q",
            Some("cn-north-1"),
        ),
        (
            "https://sqs-fips.us-gov-west-1.amazonaws.com/1/q",
            Some("us-gov-west-1"),
        ),
        (
            "https://eu-west-1.queue.amazonaws.com/1/q",
            Some("eu-west-1"),
        ),
        ("https://sqs.eu-west-1.api.aws/1/q", Some("eu-west-1")),
        (
            "https://vpce-1-2.sqs.us-west-2.vpce.amazonaws.com/1/q",
            Some("us-west-2"),
        ),
        ("https://queue.amazonaws.com/1/q", None),
        ("http://127.0.0.1:9324/000000000000/q", None),
        ("http://sqs.example.com/1/q", None),
    ] {
        assert_eq!(Address::parse(url).unwrap().region(), region, "{url}");
    }
}

#[test]
fn an_endpoint_may_call_its_region_what_it_likes() {
    let config = SqsConfig::new(URL)
        .with_region("mars-1")
        .with_endpoint("http://localhost:9324");
    config.validate().unwrap();
}
