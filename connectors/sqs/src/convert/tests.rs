use aws_sdk_sqs::primitives::Blob;
use eventlane_testkit::growth::assert_linear;
use proptest::{collection, option, prelude::*};

use super::*;

const ARN: &str = "arn:aws:sqs:eu-west-1:123456789012:orders";
const EVENT: &str =
    r#"{"specversion":"1.0","id":"7","source":"/shop","type":"t","subject":"9","data":{"n":1.10}}"#;

fn text_attribute(text: &str) -> MessageAttributeValue {
    let value = MessageAttributeValue::builder().data_type("String");
    value.string_value(text).build().unwrap()
}

fn message(body: &str, attributes: &[(&str, &str)]) -> Input {
    let attributes = attributes.iter();
    Input {
        id: "5fea7756-0ea4-451a-a703-a558b933e274".to_owned(),
        body: Some(body.to_owned()),
        system: HashMap::from([
            (System::SentTimestamp, "1584631860500".to_owned()),
            (System::ApproximateReceiveCount, "3".to_owned()),
            (
                System::ApproximateFirstReceiveTimestamp,
                "1584631860600".to_owned(),
            ),
        ]),
        attributes: attributes
            .map(|(name, value)| ((*name).to_owned(), text_attribute(value)))
            .collect(),
    }
}

fn convert(config: &EventConfig, message: Input) -> Converted {
    Converter::new(config, ARN).convert(message).unwrap()
}

fn wrapped(body: &str, attributes: &[(&str, &str)]) -> Event {
    let converted = convert(&EventConfig::new(), message(body, attributes));
    assert!(!converted.broken && converted.invalid.is_none());
    converted.event
}

fn extensions(event: &Event) -> Vec<String> {
    let extensions = event.extensions();
    extensions
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn a_plain_message_is_wrapped() {
    let event = wrapped(r#"{"total": 1.10}"#, &[("Tenant-Id", "t1")]);
    assert_eq!(event.id(), "5fea7756-0ea4-451a-a703-a558b933e274");
    assert_eq!(event.source(), ARN);
    assert_eq!(event.ty(), "com.amazon.sqs.message");
    assert_eq!(event.subject(), None);
    assert_eq!(
        event.time().unwrap().to_string(),
        "2020-03-19T15:31:00.500Z"
    );
    assert_eq!(event.data_content_type(), Some("application/json"));
    assert_eq!(event.data().unwrap().as_bytes(), r#"{"total": 1.10}"#);
    // Nothing of the receive count.
    assert_eq!(extensions(&event), ["sqsmsgtenantid=t1"]);
}

#[test]
fn system_attributes_are_what_events_know() {
    let mut message = message("x", &[("Traceparent", "00-1"), ("tracestate", "a=1")]);
    message.system.extend([
        (System::MessageGroupId, "customer 7".to_owned()),
        (System::SequenceNumber, "42".to_owned()),
        (System::AwsTraceHeader, "Root=1-2".to_owned()),
        (System::SenderId, "AIDA".to_owned()),
    ]);
    let event = convert(&EventConfig::new(), message).event;
    assert_eq!(
        extensions(&event),
        [
            "awstraceheader=Root=1-2",
            "partitionkey=customer 7",
            "sequence=00000000000000000042",
            "traceparent=00-1",
            "tracestate=a=1",
        ],
    );
}

#[test]
fn data_is_json_if_it_can_be_and_text_otherwise() {
    for (body, content_type, ty, json) in [
        ("{}", None, "application/json", true),
        ("12", None, "application/json", true),
        ("hello", None, "text/plain", false),
        ("{\"a\":", None, "text/plain", false),
        ("{}", Some("text/csv; x=y"), "text/csv; x=y", false),
        (
            "{}",
            Some("application/vnd.x+json"),
            "application/vnd.x+json",
            true,
        ),
        ("{", Some("application/json"), "application/json", false),
        ("{}", Some("no media type"), "application/json", true),
    ] {
        let attribute = content_type.map(|ty| ("ContentType", ty));
        let event = wrapped(body, attribute.as_slice());
        assert_eq!(event.data_content_type(), Some(ty), "{body}");
        let data = event.data().unwrap();
        assert_eq!(
            (data.is_json(), &data.as_bytes()[..]),
            (json, body.as_bytes())
        );
    }
}

#[test]
fn a_content_type_that_was_used_is_not_repeated() {
    assert!(extensions(&wrapped("{}", &[("content-type", "text/csv")])).is_empty());
    let event = wrapped("{}", &[("content-type", "csv")]);
    assert_eq!(extensions(&event), ["sqsmsgcontenttype=csv"]);
}

#[test]
fn a_structured_event_passes() {
    for attributes in [
        &[][..],
        &[("content-type", "application/cloudevents+json")],
        &[(
            "Content_Type",
            "Application/CloudEvents+JSON; charset=utf-8",
        )],
    ] {
        let event = wrapped(EVENT, attributes);
        assert_eq!((event.id(), event.source()), ("7", "/shop"));
        assert_eq!(event.data().unwrap().as_bytes(), r#"{"n":1.10}"#);
        assert_eq!(extensions(&event), [""; 0]);
    }
}

#[test]
fn a_binary_event_passes() {
    let event = wrapped(
        "a,b",
        &[
            ("ce_specversion", "1.0"),
            ("ce_id", "7"),
            ("ce_source", "/shop"),
            ("ce_type", "t"),
            ("ce_tenant", "x"),
            ("contentType", "text/csv"),
        ],
    );
    assert_eq!(
        (event.id(), event.data_content_type()),
        ("7", Some("text/csv"))
    );
    assert_eq!(extensions(&event), ["tenant=x"]);
}

#[test]
fn what_makes_no_claim_is_wrapped() {
    for body in [
        r#"{"specversion":"1.0"}"#,
        r#"{"data":{"specversion":"1.0","id":"1","source":"/","type":"t"}}"#,
        r#"["specversion","id"]"#,
        r#"{"specversion":"1.0","id":"1""#,
    ] {
        assert_eq!(wrapped(body, &[]).ty(), "com.amazon.sqs.message", "{body}");
    }
}

#[test]
fn a_false_claim_is_wrapped_or_rejected() {
    let structured = ("content-type", "application/cloudevents+json");
    let batch = ("content-type", "application/cloudevents-batch+json");
    for (body, attributes) in [
        (r#"{"specversion":"1.0","id":"1","type":"t"}"#, &[][..]),
        (
            r#"{"specversion":"0.3","id":"1","source":"/","type":"t"}"#,
            &[],
        ),
        (
            r#"{"specversion":"1.0","id":"1","id":"2","source":"/","type":"t"}"#,
            &[],
        ),
        ("hello", &[structured]),
        ("[]", &[batch]),
        ("{}", &[("ce_specversion", "1.0")]),
    ] {
        let converted = convert(&EventConfig::new(), message(body, attributes));
        assert!(converted.broken && converted.invalid.is_none(), "{body}");
        let event = converted.event;
        assert_eq!(event.ty(), "com.amazon.sqs.message");
        assert_eq!(event.data().unwrap().as_bytes(), body);
        // With the content type of an event, an endpoint would take the data for one.
        assert!(!claim::envelope(event.data_content_type().unwrap()));

        let config = EventConfig::new().with_on_invalid(OnInvalid::Reject);
        let converted = convert(&config, message(body, attributes));
        let reason = converted.invalid.unwrap();
        assert!(reason.starts_with("not the CloudEvent"), "{reason}");
        assert_eq!(converted.event, event);
    }
}

#[test]
fn which_attributes_are_wanted_can_be_said() {
    let attributes = [("Tenant", "t"), ("kind", "k"), ("traceparent", "00-1")];
    let only = AttributeExtensions::Only(vec!["TENANT".to_owned()]);
    for (wanted, expected) in [
        (AttributeExtensions::None, &["traceparent=00-1"][..]),
        (only, &["sqsmsgtenant=t", "traceparent=00-1"]),
    ] {
        let config = EventConfig::new().with_attributes(wanted);
        let event = convert(&config, message("x", &attributes)).event;
        assert_eq!(extensions(&event), expected);
    }
}

#[test]
fn of_names_that_become_the_same_the_last_wins_each_time() {
    for _ in 0..20 {
        let event = wrapped(
            "x",
            &[("a.b", "1"), ("A_B", "2"), ("ab", "3"), ("a-b", "4")],
        );
        assert_eq!(extensions(&event), ["sqsmsgab=3"]);
    }
}

#[test]
fn binary_attributes_are_left_out_and_bad_characters_replaced() {
    let mut message = message("x", &[("note", "a\u{1}b\u{fffe}")]);
    let bytes = MessageAttributeValue::builder()
        .data_type("Binary")
        .binary_value(Blob::new([1, 2, 3]));
    let attributes = &mut message.attributes;
    attributes.insert("image".to_owned(), bytes.build().unwrap());
    let event = convert(&EventConfig::new(), message).event;
    assert_eq!(extensions(&event), ["sqsmsgnote=a\u{fffd}b\u{fffd}"]);
}

#[test]
fn a_message_without_a_body_has_no_data() {
    let mut message = message("", &[("content-type", "text/csv")]);
    message.body = None;
    let event = convert(&EventConfig::new(), message).event;
    assert_eq!(
        (event.data(), event.data_content_type()),
        (None, Some("text/csv"))
    );
}

#[test]
fn a_whole_message_is_the_same_on_every_attempt() {
    let config = EventConfig::new().with_whole_message(true);
    let whole = |count: &str, body: &str| {
        let mut message = message(body, &[("b", "2"), ("a", "1")]);
        message
            .system
            .insert(System::ApproximateReceiveCount, count.to_owned());
        let event = convert(&config, message).event;
        assert_eq!(event.data_content_type(), Some("application/json"));
        String::from_utf8(event.data().unwrap().as_bytes().to_vec()).unwrap()
    };
    let expected = [
        r#"{"MessageId":"5fea7756-0ea4-451a-a703-a558b933e274","Body":{"n": 1.10},"#,
        r#""Attributes":{"SentTimestamp":"1584631860500"},"#,
        r#""MessageAttributes":{"a":{"DataType":"String","StringValue":"1"},"#,
        r#""b":{"DataType":"String","StringValue":"2"}}}"#,
    ];
    assert_eq!(whole("1", r#"{"n": 1.10}"#), expected.concat());
    assert!(whole("1", "hi").contains(r#""Body":"hi""#));
    assert_eq!(whole("1", EVENT), whole("2", EVENT));
}

#[test]
fn a_notification_of_sns_is_taken_out_of_its_envelope() {
    let envelope = |message: &str| {
        serde_json::json!({
            "Type": "Notification",
            "MessageId": "22b80b92",
            "TopicArn": "arn:aws:sns:eu-west-1:1:topic",
            "Subject": "hello",
            "Message": message,
            "Timestamp": "2020-03-19T15:31:00.500Z",
            "MessageAttributes": {
                "Tenant": { "Type": "String", "Value": "t" },
                "image": { "Type": "Binary", "Value": "AQID" },
            },
        })
        .to_string()
    };
    let config = EventConfig::new().with_unwrap_sns(true);
    let event = convert(&config, message(&envelope(r#"{"n":1}"#), &[])).event;
    assert_eq!(event.data().unwrap().as_bytes(), r#"{"n":1}"#);
    assert_eq!(event.id(), "5fea7756-0ea4-451a-a703-a558b933e274");
    assert_eq!(event.subject(), Some("hello"));
    assert_eq!(
        extensions(&event),
        [
            "snsmessageid=22b80b92",
            "snstopicarn=arn:aws:sns:eu-west-1:1:topic",
            "sqsmsgtenant=t",
        ],
    );
    let event = convert(&config, message(&envelope(EVENT), &[])).event;
    assert_eq!(event.source(), "/shop");
    for other in [
        r#"{"Type":"Notification"}"#,
        r#"{"Type":"Other","x":"Notification"}"#,
        "Notification",
    ] {
        let event = convert(&config, message(other, &[])).event;
        assert_eq!(event.data().unwrap().as_bytes(), other);
    }
    let kept = wrapped(&envelope("x"), &[]);
    assert_eq!(kept.data_content_type(), Some("application/json"));
}

const NOTIFICATION: &str = r#"{"Type":"Notification","MessageId":"n","TopicArn":"arn:x","Subject":"s","Message":"{\"specversion\":\"1.0\",\"id\":\"7\",\"source\":\"/shop\",\"type\":\"t\"}","MessageAttributes":{"ce_specversion":{"Type":"String","Value":"1.0"},"b":{"Type":"Binary","Value":"AA=="}}}"#;

/// As SNS writes it, with an id, a subject, a message and an attribute.
fn notification((id, subject, message, attribute): (String, String, String, String)) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let (id, subject, message) = (quoted(&id), quoted(&subject), quoted(&message));
    let attribute = quoted(&attribute);
    format!(
        r#"{{"Type":"Notification","MessageId":{id},"TopicArn":{id},"Subject":{subject},"Message":{message},
            "MessageAttributes":{{{attribute}:{{"Type":"String","Value":{attribute}}}}}}}"#
    )
}

#[test]
fn time_grows_with_the_message_and_no_faster() {
    let configs = [
        EventConfig::new(),
        EventConfig::new().with_unwrap_sns(true),
        EventConfig::new().with_whole_message(true),
    ];
    for config in &configs {
        for piece in [
            "[",
            "{\"a\":",
            "\"specversion\"",
            "\"Notification\"",
            "\\u0041",
            "\u{1}",
            "a ",
        ] {
            let make = |parts: usize| format!("{{{}", piece.repeat(parts));
            assert_linear(piece, 2_000, make, |body| {
                convert(config, message(body, &[]))
            });
        }
        let claims = |parts: usize| {
            let members: String = (0..parts).map(|at| format!("\"x{at}\":1,")).collect();
            format!("{{{members}\"specversion\":\"1.0\",\"id\":1}}")
        };
        assert_linear("claims", 1_000, claims, |body| {
            convert(config, message(body, &[]))
        });
        let envelope = |parts: usize| {
            let attribute = |at| format!("\"x{at}\":{{\"Type\":\"String\",\"Value\":\"\\u0041\"}}");
            let attributes: Vec<_> = (0..parts).map(attribute).collect();
            NOTIFICATION.replacen("\"b\"", &format!("{},\"b\"", attributes.join(",")), 1)
        };
        assert_linear("attributes", 600, envelope, |body| {
            convert(config, message(body, &[]))
        });
        let names = |parts: usize| (0..parts).map(|at| format!("x{at}\n")).collect::<String>();
        assert_linear("message attributes", 600, names, |names| {
            let attributes: Vec<_> = names.lines().map(|name| (name, "v")).collect();
            convert(config, message("x", &attributes))
        });
    }
}

proptest! {
    #[test]
    fn any_message_becomes_an_event(
        id in ".{1,40}",
        body in option::of(prop_oneof![
            ".*",
            Just(EVENT.to_owned()),
            (0..EVENT.len(), any::<char>()).prop_map(|(at, c)| {
                let mut body = EVENT.to_owned();
                body.replace_range(at..=at, &c.to_string());
                body
            }),
            (0..EVENT.len()).prop_map(|end| EVENT[..end].to_owned()),
            Just(NOTIFICATION.to_owned()),
            (0..NOTIFICATION.len(), any::<char>()).prop_map(|(at, c)| {
                let mut body = NOTIFICATION.to_owned();
                body.replace_range(at..=at, &c.to_string());
                body
            }),
            (any::<String>(), any::<String>(), any::<String>(), any::<String>()).prop_map(notification),
        ]),
        system in collection::vec(".*", 4),
        attributes in collection::hash_map(
            prop_oneof![
                "[A-Za-z0-9_.-]{0,300}",
                ".*",
                "(content-type|ce_(specversion|id|source|type)|traceparent)",
            ],
            prop_oneof![".*", "application/cloudevents.*", "[a-z]+/[a-z+;= ]+", "1\\.0"],
            0..12,
        ),
        whole: bool,
        unwrap_sns: bool,
        reject: bool,
    ) {
        let on_invalid = if reject { OnInvalid::Reject } else { OnInvalid::Wrap };
        let config = EventConfig::new()
            .with_whole_message(whole)
            .with_unwrap_sns(unwrap_sns)
            .with_on_invalid(on_invalid);
        let names = [
            System::SentTimestamp,
            System::MessageGroupId,
            System::SequenceNumber,
            System::AwsTraceHeader,
        ];
        let input = || Input {
            id: id.clone(),
            body: body.clone(),
            system: names.iter().cloned().zip(system.iter().cloned()).collect(),
            attributes: attributes
                .iter()
                .map(|(name, value)| (name.clone(), text_attribute(value)))
                .collect(),
        };
        let converter = Converter::new(&config, ARN);
        let first = converter.convert(input()).unwrap();
        let again = converter.convert(input()).unwrap();
        prop_assert_eq!(&first.event, &again.event);
        if !whole && let (Some(body), Some(data)) = (&body, first.event.data())
            && first.event.source() == ARN
            && first.event.extension("snsmessageid").is_none()
        {
            prop_assert_eq!(&data.as_bytes()[..], body.as_bytes());
        }
    }
}
