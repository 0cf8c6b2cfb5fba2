use eventlane::event::Timestamp;
use proptest::{collection::hash_map, option, prelude::*};

use super::*;
use crate::{
    EventConfig,
    client::{OutgoingMessage, test_message},
};

fn config() -> RocketMqConfig {
    RocketMqConfig::new("localhost:8081", "g").with_topic("t")
}

fn converter(event: EventConfig) -> Converter {
    Converter::new(&config().with_event(event))
}

fn message(body: &'static [u8], properties: &[(&str, &str)]) -> ReceivedMessage {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut message = test_message();
    message.body = Bytes::from_static(body);
    message.properties = properties.iter().map(owned).collect();
    message
}

fn convert(message: &ReceivedMessage) -> Event {
    let converted = converter(EventConfig::new()).convert(message).unwrap();
    assert_eq!(converted.invalid, None);
    converted.event
}

fn extension(event: &Event, name: &str) -> Option<String> {
    event
        .extension(name)
        .map(|value| value.as_str().into_owned())
}

#[test]
fn a_plain_message_is_wrapped() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut message = message(
        br#"{"a": 1}"#,
        &[
            ("Region-1", "eu"),
            ("__SHARDINGKEY", "g"),
            ("TRACE_CONTEXT", "x"),
        ],
    );
    message.tag = Some("paid".into());
    message.keys = vec!["k1".into(), "k2".into()];
    message.message_group = Some("customer".into());
    message.trace_context = Some(trace.into());
    message.born = Some(Timestamp::parse("2024-02-29T12:34:56.789Z").unwrap());
    message.born_host = "10.0.0.1:5".into();
    let event = convert(&message);
    assert_eq!(event.id(), "id");
    assert_eq!(event.source(), "rocketmq://localhost/t");
    assert_eq!(event.ty(), "org.apache.rocketmq.message");
    assert_eq!(event.subject(), Some("paid"));
    assert_eq!(event.time().unwrap().as_str(), "2024-02-29T12:34:56.789Z");
    assert_eq!(event.data_content_type(), Some("application/json"));
    let extensions: Vec<_> = event
        .extensions()
        .map(|(name, value)| format!("{name}={}", value.as_str()))
        .collect();
    let mut expected = [
        "partitionkey=customer".to_owned(),
        "rocketmqbornhost=10.0.0.1:5".to_owned(),
        "rocketmqkeys=k1 k2".to_owned(),
        "rocketmqpropregion1=eu".to_owned(),
        "rocketmqtag=paid".to_owned(),
        "rocketmqtopic=t".to_owned(),
        format!("traceparent={trace}"),
    ];
    expected.sort();
    let mut extensions = extensions;
    extensions.sort();
    assert_eq!(extensions, expected);
}

#[test]
fn another_attempt_makes_the_same_event() {
    let one = message(b"x", &[("b", "1"), ("B", "2"), ("-b", "3")]);
    let mut two = one.clone();
    (two.attempt, two.queue_id, two.queue_offset) = (7, 3, 99);
    two.broker = "elsewhere".into();
    for _ in 0..20 {
        two.properties = two.properties.clone().into_iter().collect();
        assert_eq!(convert(&one), convert(&two));
    }
    assert_eq!(
        extension(&convert(&one), "rocketmqpropb").as_deref(),
        Some("1")
    );
}

#[test]
fn what_is_configured_counts() {
    let mut message = message(b"x", &[("a", "1"), ("b", "2")]);
    message.tag = Some("tag".into());
    message.keys = vec!["key".into()];
    let config = EventConfig::new()
        .with_source("acs:mq")
        .with_type("mq:Topic:SendMessage")
        .with_properties(Properties::Only(vec!["b".into()]));
    for (subject, expected) in [
        (Subject::Tag, Some("tag")),
        (Subject::Key, Some("key")),
        (Subject::None, None),
    ] {
        let converter = converter(config.clone().with_subject(subject));
        let event = converter.convert(&message).unwrap().event;
        assert_eq!((event.source(), event.subject()), ("acs:mq", expected));
        assert_eq!(event.ty(), "mq:Topic:SendMessage");
        assert_eq!(extension(&event, "rocketmqpropa"), None);
        assert_eq!(extension(&event, "rocketmqpropb").as_deref(), Some("2"));
    }
}

#[test]
fn binary_events_pass_through() {
    for prefix in ["CE_", "ce_"] {
        for content_type in ["contenttype", "datacontenttype", "contentType"] {
            if (prefix, content_type) == ("ce_", "contentType") {
                continue;
            }
            let names = [
                "specversion",
                "id",
                "source",
                "type",
                "customer",
                content_type,
            ];
            let values = ["1.0", "7", "/shop", "order.paid", "c9", "text/csv"];
            let names = names.map(|name| format!("{prefix}{name}"));
            let pairs = names.iter().map(String::as_str).zip(values);
            let event = convert(&message(b"a;b", &pairs.collect::<Vec<_>>()));
            assert_eq!(
                (event.id(), event.source(), event.ty()),
                ("7", "/shop", "order.paid")
            );
            assert_eq!(
                event.data_content_type(),
                Some("text/csv"),
                "{prefix}{content_type}"
            );
            assert_eq!(extension(&event, "customer").as_deref(), Some("c9"));
            assert_eq!(event.data().unwrap().as_bytes(), "a;b");
        }
    }
}

const REQUIRED: [(&str, &str); 4] = [
    ("CE_specversion", "1.0"),
    ("CE_id", "7"),
    ("CE_source", "/s"),
    ("CE_type", "t"),
];

#[test]
fn a_zero_byte_is_no_data() {
    assert!(convert(&message(&[0], &REQUIRED)).data().is_none());
    // Of a message that is no event, it is the body.
    assert_eq!(convert(&message(&[0], &[])).data().unwrap().len(), 1);
}

#[test]
fn structured_events_pass_through() {
    let body = br#"{"specversion":"1.0","id":"7","source":"/s","type":"t","data":[1]}"#;
    for name in ["CE_contenttype", "CE_datacontenttype", "content-type"] {
        let media_type = "application/cloudevents+json; charset=utf-8";
        let event = convert(&message(body, &[(name, media_type)]));
        assert_eq!((event.id(), event.ty()), ("7", "t"));
        assert_eq!(event.data().unwrap().as_bytes(), "[1]");
    }
}

#[test]
fn false_claims_are_wrapped_or_rejected() {
    let structured = ("CE_contenttype", "application/cloudevents+json");
    let mut packed = message(b"x", &REQUIRED);
    packed.content_encoding = Some("zstd");
    for message in [
        message(b"x", &[("CE_specversion", "1.0")]),
        message(b"x", &[structured]),
        message(b"x", &[("CE_specversion", "9.9"), ("CE_id", "")]),
        message(b"x", &[&REQUIRED[..], &[("ce_id", "twice")]].concat()),
    ] {
        let wrapped = convert(&message);
        assert_eq!(wrapped.ty(), "org.apache.rocketmq.message");
        let converter = converter(EventConfig::new().with_on_invalid(OnInvalid::Reject));
        let rejected = converter.convert(&message).unwrap();
        assert_eq!(rejected.event, wrapped);
        assert!(rejected.invalid.unwrap().contains("claims"));
    }
    let converter = converter(EventConfig::new().with_on_invalid(OnInvalid::Reject));
    let rejected = converter.convert(&packed).unwrap();
    assert_eq!(
        extension(&rejected.event, "datacontentencoding").as_deref(),
        Some("zstd")
    );
    assert!(rejected.invalid.unwrap().contains("zstd"));
}

#[test]
fn what_is_written_can_be_read() {
    let event = Event::builder()
        .id("7")
        .source("/s")
        .ty("t")
        .data_content_type("application/json")
        .extension("partitionkey", "p")
        .data(Data::json("{}").unwrap());
    let empty = Event::builder().id("8").source("/s").ty("t");
    for event in [event.build().unwrap(), empty.build().unwrap()] {
        let written = OutgoingMessage::from(&event);
        let mut message = test_message();
        (message.properties, message.body) = written.parts();
        assert_eq!(convert(&message), event);
    }
}

const NAME: &str = "(?s)((ce_|CE_)?[a-z]{0,12}|.{0,8}|CE_specversion)";

proptest! {
    #[test]
    fn nothing_panics(
        body: Vec<u8>,
        properties in hash_map(NAME, "(?s).{0,20}", 0..8),
        tag in option::of("(?s).{0,9}"),
        group in option::of("(?s).{0,9}"),
        keys: Vec<String>,
        trace in option::of("(?s).{0,60}"),
        reject: bool,
    ) {
        let mut message = test_message();
        message.body = body.into();
        message.properties = properties;
        (message.tag, message.message_group) = (tag, group);
        (message.keys, message.trace_context) = (keys, trace);
        let on_invalid = if reject { OnInvalid::Reject } else { OnInvalid::Wrap };
        let converter = converter(EventConfig::new().with_on_invalid(on_invalid));
        let one = converter.convert(&message);
        prop_assert!(one.is_ok(), "{:?}", one);
        prop_assert_eq!(one.unwrap().event, converter.convert(&message).unwrap().event);
    }
}
