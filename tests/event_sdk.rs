//! The Rust SDK as a second implementation: each reads what the other writes.
//!
//! Its known faults are asserted one by one, so that a version that mends one is noticed here; the
//! numbers are only theirs. What its Kafka binding does wrong can't be shown: that needs another
//! version of rdkafka.

use ::http::{HeaderMap, Request};
use bytes::Bytes;
use cloudevents::{
    AttributesReader, Data as SdkData, Event as SdkEvent, EventBuilder as _, EventBuilderV10,
    message::BinaryDeserializer,
};
use eventlane::event::{Data, Event, EventBuilder, Timestamp, Value, http, json};
use proptest::{collection::vec, option, prelude::*, sample::select};

const REQUIRED: &str = r#""specversion":"1.0","id":"1","source":"/s","type":"t""#;

fn minimal() -> EventBuilder {
    Event::builder().id("1").source("/s").ty("t")
}

fn sdk() -> EventBuilderV10 {
    EventBuilderV10::new().id("1").source("/s").ty("t")
}

fn to_json(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    json::write(event, &mut out);
    out
}

/// Read by the SDK from a structured message.
fn sdk_from_json(text: &str) -> serde_json::Result<SdkEvent> {
    serde_json::from_str(text)
}

/// Read by the SDK from an event with the required attributes and these members.
fn sdk_from(members: &str) -> serde_json::Result<SdkEvent> {
    sdk_from_json(&format!("{{{REQUIRED}{members}}}"))
}

fn from(members: &str) -> Event {
    json::read(&format!("{{{REQUIRED}{members}}}").into()).unwrap()
}

/// Written by the SDK in binary mode.
fn sdk_to_http(event: SdkEvent) -> (HeaderMap, Vec<u8>) {
    let request: Request<Option<Vec<u8>>> =
        BinaryDeserializer::deserialize_binary(event, Request::builder()).unwrap();
    let (parts, body) = request.into_parts();
    (parts.headers, body.unwrap_or_default())
}

fn sdk_from_http(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<SdkEvent, cloudevents::message::Error> {
    cloudevents::binding::http::to_event(headers, body.to_vec())
}

fn header(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    http::write_binary(&minimal().build().unwrap(), &mut headers);
    headers.insert(
        name,
        ::http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
    );
    headers
}

#[track_caller]
fn assert_agree(ours: &Event, theirs: &SdkEvent) {
    assert_eq!(ours.id(), theirs.id());
    assert_eq!(ours.source(), theirs.source());
    assert_eq!(ours.ty(), theirs.ty());
    assert_eq!(ours.subject(), theirs.subject());
    assert_eq!(ours.data_content_type(), theirs.datacontenttype());
    let millis = theirs.time().map(chrono::DateTime::timestamp_millis);
    assert_eq!(ours.time().map(Timestamp::unix_millis), millis);
    for (name, value) in ours.extensions() {
        assert_eq!(
            theirs.extension(name).unwrap().to_string(),
            value.to_string()
        );
    }
    assert_eq!(ours.extensions().count(), theirs.iter_extensions().count());
    match (ours.data(), theirs.data()) {
        (None, None) => {}
        (Some(ours), Some(SdkData::Json(theirs))) => {
            let ours: serde_json::Value = serde_json::from_slice(ours.as_bytes()).unwrap();
            assert_eq!(ours, *theirs);
        }
        (Some(ours), Some(theirs)) => {
            assert_eq!(ours.as_bytes(), &Vec::try_from(theirs.clone()).unwrap());
        }
        other => panic!("{other:?}"),
    }
}

prop_compose! {
    /// Within what the SDK can do: printable ASCII without spaces, times in milliseconds, JSON that
    /// a parser's tree can hold, a content type that it knows.
    fn modest()(
        id in "[!#-$&-~]{1,40}",
        subject in option::of("[!#-$&-~]{1,40}"),
        millis in option::of(0..4_000_000_000_000_i64),
        extensions in vec(("x[a-z0-9]{8}", prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[!#-$&-~]{1,20}".prop_map(Value::from),
        ]), 0..4),
        (content_type, data) in prop_oneof![
            Just((None, None)),
            select(vec!["1", "{\"b\":[true,null],\"a\":-2}", "\"s\"", "[]"])
                .prop_map(|text| (Some("application/json"), Some(Data::json(text).unwrap()))),
            "[ -~é\n]{1,30}".prop_map(|text| (Some("text/plain"), Some(Data::text(text)))),
            vec(any::<u8>(), 1..30)
                .prop_map(|bytes| (Some("application/octet-stream"), Some(Data::bytes(bytes)))),
        ],
    ) -> Event {
        let mut builder = minimal().id(id);
        if let Some(subject) = subject {
            builder = builder.subject(subject);
        }
        if let Some(millis) = millis {
            builder = builder.time(Timestamp::from_unix_millis(millis));
        }
        for (name, value) in extensions {
            builder = builder.extension(name, value);
        }
        if let (Some(content_type), Some(data)) = (content_type, data) {
            builder = builder.data_content_type(content_type).data(data);
        }
        builder.build().unwrap()
    }
}

proptest! {
    #[test]
    fn each_reads_the_others_json(event in modest()) {
        let theirs: SdkEvent = serde_json::from_slice(&to_json(&event)).unwrap();
        assert_agree(&event, &theirs);
        let back = json::read(&serde_json::to_vec(&theirs).unwrap().into()).unwrap();
        assert_agree(&back, &theirs);
    }

    #[test]
    fn each_reads_the_others_binary_messages(event in modest()) {
        let mut headers = HeaderMap::new();
        let body = http::write_binary(&event, &mut headers);
        let theirs = sdk_from_http(&headers, &body).unwrap();
        assert_agree(&event, &theirs);
        let (headers, body) = sdk_to_http(theirs.clone());
        let http::Message::One(back) = http::read(&headers, body.into()).unwrap() else { panic!() };
        assert_agree(&back, &theirs);
    }
}

#[test]
fn fault_1_header_values_are_not_percent_encoded() {
    let (headers, body) = sdk_to_http(sdk().subject("a b%41").build().unwrap());
    assert_eq!(headers["ce-subject"], "a b%41");
    // We take the space, but can't know that the rest was not encoded.
    let http::Message::One(ours) = http::read(&headers, body.into()).unwrap() else {
        panic!()
    };
    assert_eq!(ours.subject(), Some("a bA"));

    let theirs = sdk_from_http(&header("ce-subject", "a%20b"), b"").unwrap();
    assert_eq!(theirs.subject(), Some("a%20b"));
    let (headers, _) = sdk_to_http(sdk().subject("Ünï").build().unwrap());
    assert_eq!(headers["ce-subject"].as_bytes(), "Ünï".as_bytes());
    assert!(sdk_from_http(&headers, b"").is_err());
    assert!(http::read(&headers, Bytes::new()).is_ok());
}

#[test]
fn fault_2_base64_without_a_content_type_is_taken_for_json() {
    let members = r#","data_base64":"MTIz""#;
    assert!(matches!(
        sdk_from(members).unwrap().data(),
        Some(SdkData::Json(_))
    ));
    assert!(!from(members).data().unwrap().is_json());
}

#[test]
fn fault_3_json_without_a_content_type_gets_none_in_binary_mode() {
    let (headers, _) = sdk_to_http(sdk_from(r#","data":{"a":1}"#).unwrap());
    assert!(!headers.contains_key("content-type"));
}

#[test]
fn fault_4_text_under_a_json_content_type_becomes_a_json_string() {
    let event = sdk()
        .data("application/json", r#"{"a":1}"#)
        .build()
        .unwrap();
    let text = serde_json::to_string(&event).unwrap();
    assert!(text.contains(r#""data":"{\"a\":1}""#));
}

#[test]
fn fault_5_json_content_types_with_parameters_or_capitals_are_not_seen() {
    for content_type in ["application/vnd.x+json; charset=utf-8", "Application/JSON"] {
        let members = format!(r#","datacontenttype":"{content_type}","data":{{"a":1}}"#);
        assert!(sdk_from(&members).is_err());
        assert_eq!(from(&members).data().unwrap().as_bytes(), r#"{"a":1}"#);
    }
}

#[test]
fn fault_6_content_type_is_compared_with_case() {
    let body = to_json(&minimal().build().unwrap());
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        "Application/CloudEvents+JSON".parse().unwrap(),
    );
    assert!(sdk_from_http(&headers, &body).is_err());
    assert!(matches!(
        http::read(&headers, body.into()),
        Ok(http::Message::One(_))
    ));
}

#[test]
fn fault_7_an_unknown_format_is_taken_as_binary() {
    // The specification allows it, and we do the same: the message goes on as it came.
    let headers = header("content-type", "application/cloudevents+avro");
    let theirs = sdk_from_http(&headers, b"envelope").unwrap();
    let http::Message::One(ours) = http::read(&headers, "envelope".into()).unwrap() else {
        panic!()
    };
    assert_agree(&ours, &theirs);
}

#[test]
fn fault_8_names_of_extensions_are_not_checked() {
    for name in ["Bad_Name!", "TenantID", "a-b", "data"] {
        sdk().extension(name, "v").build().unwrap();
        assert!(minimal().extension(name, "v").build().is_err());
    }
    let text = serde_json::to_string(&sdk().extension("id", "2").build().unwrap()).unwrap();
    assert_eq!(text.matches(r#""id":"#).count(), 2);
    assert!(json::read(&text.into()).is_err());
}

#[test]
fn fault_9_integers_have_64_bits() {
    let members = r#","x":1099511627776"#;
    sdk_from(members).unwrap();
    assert!(json::read(&format!("{{{REQUIRED}{members}}}").into()).is_err());
}

#[test]
fn fault_10_empty_attributes_pass_and_so_does_any_source() {
    sdk().id("").ty("").subject("").build().unwrap();
    sdk().source("not a uri \n").build().unwrap();
    let text = r#"{"specversion":"1.0","id":"","source":"","type":""}"#;
    sdk_from_json(text).unwrap();
    assert!(json::read(&text.into()).is_err());
}

#[test]
fn fault_11_dataschema_is_normalised_and_never_relative() {
    let members = r#","dataschema":"HTTP://Ex.COM/a/../b""#;
    assert_eq!(
        sdk_from(members).unwrap().dataschema().unwrap().as_str(),
        "http://ex.com/b"
    );
    assert_eq!(from(members).data_schema(), Some("HTTP://Ex.COM/a/../b"));
    assert!(sdk_from(r##","dataschema":"#""##).is_err());
    assert_eq!(from(r##","dataschema":"#""##).data_schema(), Some("#"));
}

#[test]
fn fault_12_json_data_is_rewritten() {
    let members = r#","data":{"p":1.10,"n":12345678901234567890123,"a":1}"#;
    let text = serde_json::to_string(&sdk_from(members).unwrap()).unwrap();
    assert!(
        text.contains(r#""data":{"a":1,"n":1.2345678901234568e+22,"p":1.1}"#),
        "{text}"
    );
    assert!(to_json(&from(members)).ends_with(format!("{members}}}").as_bytes()));
}

#[test]
fn fault_13_time_is_rewritten() {
    let members = r#","time":"2020-03-19T17:31:00.5+02:00""#;
    let text = serde_json::to_string(&sdk_from(members).unwrap()).unwrap();
    assert!(
        text.contains(r#""time":"2020-03-19T15:31:00.500Z""#),
        "{text}"
    );
    assert!(to_json(&from(members)).ends_with(format!("{members}}}").as_bytes()));
}

#[test]
fn fault_14_the_last_of_two_members_wins_and_null_is_not_absent() {
    let twice = r#","x":"1","x":"2""#;
    assert_eq!(
        sdk_from(twice).unwrap().extension("x").unwrap().to_string(),
        "2"
    );
    assert!(json::read(&format!("{{{REQUIRED}{twice}}}").into()).is_err());
    let null = r#","data_base64":null"#;
    assert!(sdk_from(null).is_err());
    assert_eq!(from(null).data(), None);
}

#[cfg(feature = "cloudevents-sdk")]
mod conversion {
    use cloudevents::AttributesWriter;

    use super::*;

    proptest! {
        #[test]
        fn there_and_back(event in modest()) {
            let theirs = SdkEvent::try_from(&event).unwrap();
            assert_agree(&event, &theirs);
            prop_assert_eq!(Event::try_from(theirs).unwrap(), event);
        }
    }

    #[test]
    fn whole_seconds_keep_their_form() {
        let event = minimal().time(Timestamp::from_unix_millis(51_000));
        let event = event.build().unwrap();
        let theirs = SdkEvent::try_from(&event).unwrap();
        assert_eq!(Event::try_from(theirs).unwrap(), event);
    }

    #[test]
    fn what_the_sdk_has_no_type_for_becomes_a_string() {
        let event = minimal()
            .extension("bin", Value::Binary("hi".into()))
            .time(Timestamp::parse("2020-03-19T17:31:00.5+02:00").unwrap())
            .build()
            .unwrap();
        let theirs = SdkEvent::try_from(event).unwrap();
        assert_eq!(theirs.extension("bin"), Some(&"aGk=".into()));
        assert_eq!(
            theirs.time().unwrap().to_rfc3339(),
            "2020-03-19T15:31:00.500+00:00"
        );
        let back = Event::try_from(theirs).unwrap();
        assert_eq!(back.time().unwrap().to_string(), "2020-03-19T15:31:00.500Z");
    }

    #[test]
    fn json_data_is_written_out() {
        let theirs = sdk()
            .data("application/json", serde_json::json!({"a": 1}))
            .build()
            .unwrap();
        let ours = Event::try_from(theirs).unwrap();
        assert_eq!(ours.data(), Some(&Data::json(r#"{"a":1}"#).unwrap()));
        assert!(ours.data().unwrap().is_json());
    }

    #[test]
    fn what_the_other_can_not_hold_is_an_error() {
        let event = minimal().data_schema("#").build().unwrap();
        assert_eq!(
            SdkEvent::try_from(event).unwrap_err().attribute(),
            Some("dataschema")
        );

        let attribute = |event: SdkEvent| {
            Event::try_from(event)
                .unwrap_err()
                .attribute()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            attribute(sdk().extension("Bad_Name!", "v").build().unwrap()),
            "Bad_Name!"
        );
        assert_eq!(
            attribute(sdk().extension("x", 1_i64 << 40).build().unwrap()),
            "x"
        );
        let mut empty = sdk().build().unwrap();
        empty.set_id("");
        assert_eq!(attribute(empty), "id");
        let old = cloudevents::EventBuilderV03::new()
            .id("1")
            .source("/s")
            .ty("t")
            .build()
            .unwrap();
        assert_eq!(attribute(old), "specversion");
    }
}
