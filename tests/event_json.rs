//! The JSON event format of CloudEvents 1.0.2 (`formats/json-format.md`).

use bytes::Bytes;
use eventlane::event::{Data, Event, EventBuilder, InvalidEvent, Timestamp, Value, json};

fn minimal() -> EventBuilder {
    Event::builder().id("1").source("/s").ty("t")
}

fn written(builder: EventBuilder) -> String {
    let mut out = Vec::new();
    json::write(&builder.build().unwrap(), &mut out);
    String::from_utf8(out).unwrap()
}

/// What the writer puts after the required attributes.
fn tail(builder: EventBuilder) -> String {
    let text = written(builder);
    text.strip_prefix(r#"{"specversion":"1.0","id":"1","source":"/s","type":"t""#)
        .unwrap_or_else(|| panic!("{text}"))
        .to_owned()
}

fn document(members: &str) -> Bytes {
    format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{members}}}"#).into()
}

#[track_caller]
fn read(members: &str) -> Event {
    json::read(&document(members)).unwrap()
}

#[track_caller]
fn refused(members: &str) -> InvalidEvent {
    json::read(&document(members)).unwrap_err()
}

fn data(event: &Event) -> Option<&str> {
    event
        .data()
        .map(|data| std::str::from_utf8(data.as_bytes()).unwrap())
}

#[test]
fn s2_2_types() {
    let time = Timestamp::parse("2020-03-19T17:31:00.50+02:00").unwrap();
    let text = tail(
        minimal()
            .subject("Euro € 😀 \"q\" \\")
            .time(time)
            .data_content_type("text/plain")
            .data_schema("HTTP://Ex.COM/a/../b")
            .extension("bool", true)
            .extension("int", i32::MIN)
            .extension("bin", Value::Binary(vec![0xff, 0, 1].into()))
            .extension("ref", Value::UriRef("../a".into())),
    );
    let expected = concat!(
        r#","subject":"Euro € 😀 \"q\" \\","time":"2020-03-19T17:31:00.50+02:00""#,
        r#","datacontenttype":"text/plain","dataschema":"HTTP://Ex.COM/a/../b""#,
        r#","bin":"/wAB","bool":true,"int":-2147483648,"ref":"../a"}"#,
    );
    assert_eq!(text, expected);

    let event = read(&expected[..expected.len() - 1]);
    assert_eq!(event.extension("bool"), Some(&Value::Boolean(true)));
    assert_eq!(event.extension("int"), Some(&Value::Integer(i32::MIN)));
    assert_eq!(event.extension("bin"), Some(&Value::from("/wAB")));
    let mut again = Vec::new();
    json::write(&event, &mut again);
    assert_eq!(again, document(&expected[..expected.len() - 1]));
}

#[test]
fn s2_2_an_attribute_of_another_type_is_refused() {
    for (members, attribute) in [
        (r#","x":1.5"#, "x"),
        (r#","x":1.0"#, "x"),
        (r#","x":2147483648"#, "x"),
        (r#","x":-2147483649"#, "x"),
        (r#","x":1e3"#, "x"),
        (r#","x":99999999999999999999999"#, "x"),
        (r#","x":[1]"#, "x"),
        (r#","x":{"a":{"b":[]}}"#, "x"),
        (r#","subject":7"#, "subject"),
        (r#","time":true"#, "time"),
        (r#","time":"yesterday""#, "time"),
        (r#","datacontenttype":{}"#, "datacontenttype"),
        (r#","datacontenttype":"json""#, "datacontenttype"),
        (r#","dataschema":"a b""#, "dataschema"),
        (r#","TenantID":"x""#, "TenantID"),
        (r#","a-b":"x""#, "a-b"),
        (r#","":"x""#, ""),
        (r#","x":"\u0007""#, "x"),
        (r#","x":"\ufffe""#, "x"),
    ] {
        assert_eq!(refused(members).attribute(), Some(attribute), "{members}");
    }
}

#[test]
fn s2_2_null_is_absent() {
    let event = read(
        r#","subject":null,"time":null,"datacontenttype":null,"dataschema":null,"x":null,"data_base64":null"#,
    );
    assert_eq!(event, minimal().build().unwrap());
    let error = json::read(&r#"{"specversion":"1.0","id":null,"source":"/s","type":"t"}"#.into());
    assert_eq!(error.unwrap_err().attribute(), Some("id"));
}

#[test]
fn only_version_1_0() {
    for version in [r#""0.3""#, r#""1.0.2""#, r#""1""#, "1.0", r#""""#] {
        let body = format!(r#"{{"specversion":{version},"id":"1","source":"/s","type":"t"}}"#);
        let error = json::read(&body.into()).unwrap_err();
        assert_eq!(error.attribute(), Some("specversion"), "{version}");
    }
    let error = json::read(&r#"{"specversion":"0.3","id":"1"}"#.into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "attribute \"specversion\": is not 1.0, the one version of CloudEvents that is supported"
    );
    let error = json::read(&r#"{"id":"1","source":"/s","type":"t"}"#.into()).unwrap_err();
    assert_eq!(error.attribute(), Some("specversion"));
}

#[test]
fn a_member_that_comes_twice_is_refused() {
    for members in [
        r#","id":"1""#,
        r#","id":"2""#,
        r#","specversion":"1.0""#,
        r#","time":"2020-03-19T17:31:00Z","time":"2020-03-19T17:31:00Z""#,
        r#","x":"1","y":"2","x":"3""#,
        r#","data":1,"data":1"#,
        r#","data":null,"data":1"#,
        r#","data_base64":"","data_base64":"""#,
    ] {
        assert!(refused(members).to_string().contains("twice"), "{members}");
    }
    // An empty value is not the same as none.
    let body = r#"{"specversion":"1.0","id":"","id":"1","source":"/s","type":"t"}"#;
    assert!(json::read(&body.into()).is_err());
}

#[test]
fn s3_1_json_data_is_kept_byte_for_byte() {
    for text in [
        r#"{"n":12345678901234567890123,"p":1.10,"e":1E5,"z":1,"a":[ 1 ,2 ]}"#,
        r#"{"a":1,"a":2}"#,
        r#""a string \u00e9 \ud800 é""#,
        r#""{\"not\":\"parsed\"}""#,
        "-0.0",
        "true",
        "[\n\t1,\r\n  2]",
    ] {
        for content_type in [
            "application/json",
            "application/vnd.x+JSON; charset=utf-8",
            "",
        ] {
            let mut builder = minimal().data(Data::json(text).unwrap());
            if !content_type.is_empty() {
                builder = builder.data_content_type(content_type);
            }
            let written = written(builder);
            assert!(
                written.ends_with(&format!(r#","data":{text}}}"#)),
                "{written}"
            );
            let event = json::read(&written.into()).unwrap();
            assert_eq!(data(&event), Some(text));
            assert!(event.data().unwrap().is_json());
        }
    }
}

#[test]
fn s3_1_json_data_shares_the_body_unless_it_is_a_small_part_of_it() {
    let large = document(&format!(r#","data":"{}""#, "x".repeat(1000)));
    let event = json::read(&large).unwrap();
    assert!(
        large
            .as_ptr_range()
            .contains(&event.data().unwrap().as_bytes().as_ptr())
    );

    let padded = document(&format!(r#","data":[1]{}"#, " ".repeat(1000)));
    let event = json::read(&padded).unwrap();
    assert_eq!(data(&event), Some("[1]"));
    assert!(
        !padded
            .as_ptr_range()
            .contains(&event.data().unwrap().as_bytes().as_ptr())
    );
}

#[test]
fn s3_1_unknown_bytes_under_json_are_checked() {
    let json_type = || minimal().data_content_type("application/json");
    let before = r#","datacontenttype":"application/json""#;
    let bytes = |bytes: &'static [u8]| json_type().data(Data::bytes(bytes));
    assert_eq!(
        tail(bytes(b" {\"a\":1} ")),
        format!(r#"{before},"data": {{"a":1}} }}"#)
    );
    assert_eq!(
        tail(bytes(b"{\"a\":")),
        format!(r#"{before},"data_base64":"eyJhIjo="}}"#)
    );
    assert_eq!(
        tail(bytes(b"\"\xff\"")),
        format!(r#"{before},"data_base64":"Iv8i"}}"#)
    );
    assert_eq!(tail(bytes(b"")), format!(r#"{before},"data_base64":""}}"#));
    // Text that is no JSON must not become a JSON string.
    assert_eq!(
        tail(json_type().data(Data::text("hi"))),
        format!(r#"{before},"data_base64":"aGk="}}"#)
    );
    // No content type counts as JSON.
    assert_eq!(tail(minimal().data(Data::bytes("1"))), r#","data":1}"#);
    assert_eq!(
        tail(minimal().data(Data::bytes("hi"))),
        r#","data_base64":"aGk="}"#
    );
}

#[test]
fn s3_1_other_data_is_a_string_if_it_is_text_and_base64_if_not() {
    let typed = |content_type: &'static str, data: Data| {
        let text = tail(minimal().data_content_type(content_type).data(data));
        text.split_once(r#"","data"#).unwrap().1.to_owned()
    };
    let text = Data::bytes("a \"q\" \\ \n\r\t\u{1} é");
    assert_eq!(
        typed("text/plain", text),
        r#"":"a \"q\" \\ \n\r\t\u0001 é"}"#
    );
    assert_eq!(
        typed("application/soap+xml", Data::bytes("<a/>")),
        r#"":"<a/>"}"#
    );
    assert_eq!(
        typed("text/plain", Data::bytes(vec![0xff])),
        r#"_base64":"/w=="}"#
    );
    assert_eq!(
        typed("text/plain;charset=latin1", Data::bytes("a")),
        r#"_base64":"YQ=="}"#
    );
    assert_eq!(
        typed("application/x-thing", Data::bytes("a")),
        r#"_base64":"YQ=="}"#
    );
    assert_eq!(typed("application/x-thing", Data::text("a")), r#"":"a"}"#);
    assert_eq!(
        typed("application/x-thing", Data::json("1").unwrap()),
        r#"_base64":"MQ=="}"#
    );
}

#[test]
fn s3_1_reading_data_under_another_content_type() {
    let text = |value: &str| format!(r#","data":{value},"datacontenttype":"text/plain""#);
    assert_eq!(data(&read(&text(r#""plain""#))), Some("plain"));
    assert_eq!(
        data(&read(&text(r#""a\n\u00e9\ud83d\ude00""#))),
        Some("a\né😀")
    );
    assert_eq!(data(&read(&text(r#""""#))), Some(""));
    assert_eq!(data(&read(&text("null"))), None);
    for value in ["1", "{}", "[\"a\"]", "true", r#""\ud800""#] {
        refused(&text(value));
    }
}

#[test]
fn s3_1_null_data_is_data_and_none_is_none() {
    assert_eq!(data(&read(r#","data":null"#)), Some("null"));
    assert_eq!(
        data(&read(
            r#","data":null,"datacontenttype":"application/json""#
        )),
        Some("null")
    );
    assert_eq!(data(&read("")), None);
    assert_eq!(tail(minimal()), "}");
    assert_eq!(
        tail(minimal().data(Data::json("null").unwrap())),
        r#","data":null}"#
    );
}

#[test]
fn s3_1_a_json_string_stays_one() {
    let event = read(r#","data":"{\"a\":1}""#);
    assert_eq!(data(&event), Some(r#""{\"a\":1}""#));
}

#[test]
fn s3_1_data_base64() {
    let event = read(r#","data_base64":"/wAB""#);
    assert_eq!(event.data().unwrap().as_bytes(), &[0xff, 0, 1][..]);
    // Not to be taken for JSON, although no content type says otherwise.
    let event = read(r#","data_base64":"MTIz""#);
    assert_eq!(data(&event), Some("123"));
    assert!(!event.data().unwrap().is_json());
    assert_eq!(data(&read(r#","data_base64":"aGk""#)), Some("hi"));
    assert_eq!(data(&read(r#","data_base64":"""#)), Some(""));
    assert_eq!(data(&read(r#","data_base64":"aGk\u003d""#)), Some("hi"));
    assert_eq!(
        data(&read(r#","data":null,"data_base64":"aGk=""#)),
        Some("hi")
    );
    for members in [
        r#","data_base64":"a?""#,
        r#","data_base64":"_-8=""#,
        r#","data_base64":1"#,
        r#","data_base64":{}"#,
        r#","data":1,"data_base64":"""#,
    ] {
        refused(members);
    }
}

#[test]
fn what_is_not_an_event_is_refused_without_showing_it() {
    for body in [
        "",
        "[]",
        "1",
        "\"secret\"",
        "{",
        "{}x",
        "{\"secret\":\"1\"} {}",
        "{\"id\":secret}",
    ] {
        let error = json::read(&body.into()).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(json::read(&Bytes::from_static(b"{\"id\":\"\xff\"}")).is_err());
}

#[test]
fn s4_batches() {
    let events: Vec<_> = (0..3)
        .map(|at| minimal().id(at.to_string()).build().unwrap())
        .collect();
    for count in 0..=3 {
        let mut out = b"kept".to_vec();
        json::write_batch(&events[..count], &mut out);
        let out = Bytes::from(out).slice(4..);
        assert_eq!(json::read_batch(&out).unwrap(), events[..count]);
    }
    assert_eq!(json::read_batch(&" [ ] ".into()).unwrap(), []);
    for body in ["", "{}", "[", "[1]", "[{}]", "[] []", "[null]", "[[]]"] {
        assert!(json::read_batch(&body.into()).is_err(), "{body}");
    }
    let good = String::from_utf8(document("").to_vec()).unwrap();
    let error = json::read_batch(&format!(r#"[{good},{good},{{"specversion":"1.0"}}]"#).into());
    assert_eq!(
        error.unwrap_err().to_string(),
        "attribute \"id\": is required and must not be empty (event 2 of the batch)"
    );
}

#[test]
fn write_line_is_one_line_and_loses_nothing() {
    for text in [
        "{\n  \"a\":\r\n\"x\\n\"}",
        " 1",
        "1\n",
        "[1,\r2]",
        "{\"a\": \"\\n\"}",
    ] {
        for data in [
            Data::json(text).unwrap(),
            Data::bytes(text),
            Data::text(text),
        ] {
            let event = minimal().data(data).build().unwrap();
            let mut out = b"first\n".to_vec();
            json::write_line(&event, &mut out);
            let line = Bytes::from(out).slice(6..);
            assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
            assert_eq!(json::read(&line).unwrap(), event);
        }
    }
    let mut line = Vec::new();
    let data = Data::json("{\"a\": 1.10}").unwrap();
    json::write_line(&minimal().data(data).build().unwrap(), &mut line);
    assert!(line.ends_with(b",\"data\":{\"a\": 1.10}}"));
}
