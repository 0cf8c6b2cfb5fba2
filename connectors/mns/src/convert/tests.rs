use ::base64::{Engine as _, prelude::BASE64_STANDARD};
use eventlane_testkit::growth::assert_linear;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::client::ReceiptHandle;

fn message(body: &str) -> ReceivedMessage {
    ReceivedMessage::new("5F29", ReceiptHandle::from("h"), body)
}

fn converter(encoding: BodyEncoding, on_invalid: OnInvalid) -> Converter {
    let config = EventConfig::new().with_on_invalid(on_invalid);
    Converter::new(&config, encoding, "orders")
}

fn raw(body: &str) -> Event {
    let converted = converter(BodyEncoding::Raw, OnInvalid::Wrap).convert(&message(body));
    converted.unwrap().event
}

fn body(event: &Event) -> &[u8] {
    event.data().unwrap().as_bytes()
}

const CLOUD_EVENT: &str =
    r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order","data":{"total":1.10}}"#;
const NO_CLOUD_EVENT: &str = r#"{"specversion":"1.0","id":"7","source":"/shop","type":""}"#;

#[test]
fn a_message_is_mapped() {
    let mut message = message("aGVsbG8=");
    message.enqueue_time = Some(1_250_700_979_248);
    message.group = Some("customer\n9".to_owned());
    message.priority = Some(8);
    message.dequeue_count = Some(3);
    message.system_properties = vec![
        Property::new("traceparent", "00-1-2-01", PropertyKind::String),
        Property::new("tracestate", "a=b", PropertyKind::String),
        Property::new("DLQMessageType", "x", PropertyKind::String),
    ];
    message.user_properties = vec![
        Property::new("Order-Id", "lost", PropertyKind::String),
        Property::new("order_id", "17\u{7}", PropertyKind::String),
        Property::new("n", "42", PropertyKind::Number),
        Property::new("long", "4294967296", PropertyKind::Number),
        Property::new("yes", "True", PropertyKind::Boolean),
        Property::new("bytes", "/w==", PropertyKind::Binary),
        Property::new("notbytes", "?", PropertyKind::Binary),
        Property::new("中", "", PropertyKind::String),
    ];
    let converter = converter(BodyEncoding::Base64, OnInvalid::Reject);
    let Converted { event, invalid } = converter.convert(&message).unwrap();
    assert_eq!(invalid, None);
    assert_eq!((event.id(), event.source()), ("5F29", "acs:mns"));
    assert_eq!(event.ty(), "mns:Queue:SendMessage");
    assert_eq!(event.subject(), Some("orders"));
    let time = event.time().unwrap().to_string();
    assert_eq!(time, "2009-08-19T16:56:19.248Z");
    assert_eq!(event.data_content_type(), Some("text/plain; charset=utf-8"));
    assert_eq!(body(&event), b"hello");
    let extensions: Vec<_> = event.extensions().collect();
    let text = |text: &str| Value::from(text);
    assert_eq!(
        extensions,
        [
            ("mnspriority", &Value::Integer(8)),
            ("mnsprop", &text("")),
            ("mnspropbytes", &Value::Binary(Bytes::from_static(&[0xff]))),
            ("mnsproplong", &text("4294967296")),
            ("mnspropn", &Value::Integer(42)),
            ("mnspropnotbytes", &text("?")),
            ("mnsproporderid", &text("17\u{fffd}")),
            ("mnspropyes", &Value::Boolean(true)),
            ("partitionkey", &text("customer\u{fffd}9")),
            ("traceparent", &text("00-1-2-01")),
            ("tracestate", &text("a=b")),
        ]
    );

    // Redelivered, it is the same event.
    message.dequeue_count = Some(4);
    message.next_visible_time = Some(1);
    message.handle = ReceiptHandle::from("other");
    assert_eq!(converter.convert(&message).unwrap().event, event);
}

#[test]
fn what_is_configured_is_used() {
    let config = EventConfig::new().with_source("/mine").with_type("order");
    let converter = Converter::new(&config, BodyEncoding::Raw, "s");
    let event = converter.convert(&message("x")).unwrap().event;
    assert_eq!(
        (event.source(), event.ty(), event.subject()),
        ("/mine", "order", Some("s"))
    );
}

#[test]
fn data_is_what_it_looks_like() {
    for (text, media_type) in [
        (r#" {"a": 1.10} "#, "application/json"),
        ("17", "application/json"),
        ("plain", "text/plain; charset=utf-8"),
        ("", "text/plain; charset=utf-8"),
        ("{", "text/plain; charset=utf-8"),
    ] {
        let event = raw(text);
        assert_eq!(event.data_content_type(), Some(media_type), "{text}");
        assert_eq!(body(&event), text.as_bytes());
    }
    let converter = converter(BodyEncoding::Base64, OnInvalid::Wrap);
    let event = converter.convert(&message("//79")).unwrap().event;
    let media_type = event.data_content_type();
    assert_eq!(media_type, Some("application/octet-stream"));
    assert_eq!(body(&event), [0xff, 0xfe, 0xfd]);
}

#[test]
fn a_cloud_event_passes_through() {
    let event = raw(CLOUD_EVENT);
    assert_eq!((event.id(), event.source()), ("7", "/shop"));
    assert_eq!((event.ty(), event.subject()), ("order", None));
    assert_eq!(body(&event), br#"{"total":1.10}"#);

    let converter = converter(BodyEncoding::Base64, OnInvalid::Reject);
    let encoded = message(&BASE64_STANDARD.encode(CLOUD_EVENT));
    let converted = converter.convert(&encoded).unwrap();
    assert_eq!((converted.event, converted.invalid), (event, None));
}

#[test]
fn what_lacks_a_required_attribute_makes_no_claim() {
    let converter = converter(BodyEncoding::Raw, OnInvalid::Reject);
    for body in [
        r#"{"specversion":"1.0","id":"7","source":"/shop"}"#,
        r#"{"id":"7","source":"/shop","type":"order"}"#,
        r#"["specversion","id","source","type"]"#,
        r#""specversion""#,
    ] {
        let converted = converter.convert(&message(body)).unwrap();
        assert_eq!(converted.event.id(), "5F29", "{body}");
        assert_eq!(converted.invalid, None, "{body}");
    }
}

#[test]
fn false_claims_follow_the_policy() {
    let twice = CLOUD_EVENT.replacen("\"id\"", "\"id\":\"6\",\"id\"", 1);
    for claim in [NO_CLOUD_EVENT, &twice] {
        let wrapped = raw(claim);
        assert_eq!(wrapped.id(), "5F29");
        assert_eq!(body(&wrapped), claim.as_bytes());

        let converter = converter(BodyEncoding::Raw, OnInvalid::Reject);
        let rejected = converter.convert(&message(claim)).unwrap();
        assert_eq!(rejected.event, wrapped);
        let reason = rejected.invalid.unwrap();
        assert!(reason.contains("claims to be"), "{reason}");
    }
}

#[test]
fn bodies_in_the_wrong_encoding_follow_the_policy() {
    for text in ["hello!", r#"{"a":1}"#, CLOUD_EVENT] {
        let wrap = converter(BodyEncoding::Base64, OnInvalid::Wrap);
        let converted = wrap.convert(&message(text)).unwrap();
        assert_eq!(converted.event, raw(text));
        assert_eq!(converted.invalid, None);

        let reject = converter(BodyEncoding::Base64, OnInvalid::Reject);
        let converted = reject.convert(&message(text)).unwrap();
        assert_eq!(converted.event.id(), "5F29");
        assert_eq!(body(&converted.event), text.as_bytes());
        assert!(converted.invalid.unwrap().contains("body_encoding"));
    }
}

#[test]
fn more_properties_than_an_event_takes_are_cut_off() {
    let mut message = message("x");
    let property = |n: usize| Property::new(n.to_string(), "v", PropertyKind::String);
    message.user_properties = (0..2000).map(property).collect();
    let converter = converter(BodyEncoding::Raw, OnInvalid::Wrap);
    let event = converter.convert(&message).unwrap().event;
    assert_eq!(event.extensions().len(), MOST_PROPERTIES);
}

proptest! {
    #[test]
    fn every_message_becomes_an_event(
        id in any::<String>().prop_filter("clients skip it", |id| !id.trim().is_empty()),
        text in any::<String>(),
        group in any::<Option<String>>(),
        time in any::<Option<i64>>(),
        properties in vec((any::<String>(), any::<String>(), 0..4_usize), 0..8),
    ) {
        let mut message = message(&text);
        (message.id, message.enqueue_time) = (id, time);
        message.group = group.filter(|group| !group.is_empty());
        let kinds = [PropertyKind::String, PropertyKind::Number, PropertyKind::Boolean, PropertyKind::Binary];
        message.user_properties = properties
            .into_iter()
            .map(|(name, value, kind)| Property::new(name, value, kinds[kind]))
            .collect();
        message.system_properties = message.user_properties.clone();
        for encoding in [BodyEncoding::Base64, BodyEncoding::Raw, BodyEncoding::Auto] {
            for policy in [OnInvalid::Wrap, OnInvalid::Reject] {
                prop_assert!(converter(encoding, policy).convert(&message).is_ok());
            }
        }
        let event = raw(&text);
        prop_assert_eq!(body(&event), text.as_bytes());
    }
}

#[test]
fn time_grows_with_the_message_and_no_faster() {
    for piece in [
        "aGVs",
        "aGVs\n",
        "\u{1}",
        "[",
        "{\"a\":",
        "\"specversion\":1,",
    ] {
        for encoding in [BodyEncoding::Base64, BodyEncoding::Raw, BodyEncoding::Auto] {
            let make = |parts: usize| format!("{{{}", piece.repeat(parts));
            let converter = converter(encoding, OnInvalid::Wrap);
            assert_linear(piece, 3_000, make, |body| converter.convert(&message(body)));
        }
    }
    let claims = |parts: usize| {
        let members: String = (0..parts).map(|at| format!("\"x{at}\":1,")).collect();
        format!("{{{members}\"specversion\":\"1.0\",\"id\":1,\"type\":1,\"source\":1}}")
    };
    assert_linear("claims", 1_000, claims, |body| raw(body));
}
