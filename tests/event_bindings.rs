//! The HTTP binding (`bindings/http-protocol-binding.md`) and the header binding
//! (`bindings/kafka-protocol-binding.md`) of CloudEvents 1.0.2.

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use eventlane::event::{Data, Event, EventBuilder, InvalidEvent, Timestamp, Value, headers, http};

fn minimal() -> EventBuilder {
    Event::builder().id("1").source("/s").ty("t")
}

fn full() -> Event {
    minimal()
        .subject("Euro € 😀")
        .time(Timestamp::parse("2020-03-19T17:31:00.50+02:00").unwrap())
        .data_content_type("application/json; charset=utf-8")
        .data_schema("HTTP://Ex.COM/a/../b")
        .extension("bool", true)
        .extension("partitionkey", "100% \"quoted\"")
        .data(Data::json("{\"a\": 1.10}").unwrap())
        .build()
        .unwrap()
}

/// The same after its values have travelled as strings.
fn stringly(event: &Event) -> Event {
    event.extensions().fold(event.clone(), |all, (name, v)| {
        all.with_extension(name, v.to_string()).unwrap()
    })
}

mod over_http {
    use super::*;

    const REQUIRED: [(&str, &str); 4] = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "t"),
    ];

    fn map<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> HeaderMap {
        let bytes = headers.into_iter().map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let mut map = HeaderMap::new();
        bytes.for_each(|(name, value)| {
            map.append(name, value);
        });
        map
    }

    fn read(headers: &[(&str, &str)], body: &'static str) -> Result<http::Message, InvalidEvent> {
        http::read(
            &map(headers.iter().copied()),
            Bytes::from_static(body.as_bytes()),
        )
    }

    /// In binary mode, with the required attributes.
    fn binary(headers: &[(&str, &str)], body: &'static str) -> Result<Event, InvalidEvent> {
        match read(&[&REQUIRED, headers].concat(), body)? {
            http::Message::One(event) => Ok(event),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn s3_1_binary() {
        let mut headers = map([("content-type", "text/old"), ("x-mine", "kept")]);
        let body = http::write_binary(&full(), &mut headers);
        assert_eq!(body, "{\"a\": 1.10}");
        let expected = map([
            ("x-mine", "kept"),
            ("content-type", "application/json; charset=utf-8"),
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("ce-time", "2020-03-19T17:31:00.50+02:00"),
            ("ce-dataschema", "HTTP://Ex.COM/a/../b"),
            ("ce-bool", "true"),
            ("ce-partitionkey", "100%25%20%22quoted%22"),
        ]);
        assert_eq!(headers, expected);
        assert_eq!(
            http::read(&headers, body).unwrap(),
            http::Message::One(stringly(&full()))
        );
    }

    #[test]
    fn s3_1_1_content_type_comes_and_goes_with_datacontenttype() {
        let written = |event: EventBuilder| {
            let mut headers = map([("content-type", "text/old")]);
            http::write_binary(&event.build().unwrap(), &mut headers);
            headers
                .get("content-type")
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(written(minimal()), None);
        assert_eq!(
            written(minimal().data_content_type("a/b")).as_deref(),
            Some("a/b")
        );
        assert_eq!(written(minimal().data(Data::bytes("1"))), None);
        let known = minimal().data(Data::json("1").unwrap());
        assert_eq!(written(known).as_deref(), Some("application/json"));
        // Having been written as JSON in between makes no difference.
        let event = minimal().data(Data::bytes("1")).build().unwrap();
        eventlane::event::json::write(&event, &mut Vec::new());
        let mut headers = HeaderMap::new();
        http::write_binary(&event, &mut headers);
        assert!(!headers.contains_key("content-type"));
    }

    #[test]
    fn s3_1_an_empty_body_is_no_data() {
        assert_eq!(binary(&[("content-type", "a/b")], "").unwrap().data(), None);
        let mut headers = HeaderMap::new();
        assert!(http::write_binary(&minimal().build().unwrap(), &mut headers).is_empty());
    }

    #[test]
    fn s3_1_3_ce_datacontenttype_is_passed_over_and_never_written() {
        let event = binary(&[("ce-datacontenttype", "x/y")], "a").unwrap();
        assert_eq!(event.data_content_type(), None);
        let both = [("ce-datacontenttype", "x/y"), ("content-type", "a/b")];
        assert_eq!(binary(&both, "a").unwrap().data_content_type(), Some("a/b"));
        let mut headers = HeaderMap::new();
        http::write_binary(&full(), &mut headers);
        assert!(!headers.contains_key("ce-datacontenttype"));
    }

    #[test]
    fn s3_1_3_2_values() {
        let subject = |value: &str| {
            binary(&[("ce-subject", value)], "").map(|event| event.subject().unwrap().to_owned())
        };
        assert_eq!(
            subject("Euro%20%E2%82%AC%20%F0%9F%98%80").unwrap(),
            "Euro € 😀"
        );
        assert_eq!(subject("\"Euro € \\\"😀\\\"\"").unwrap(), "Euro € \"😀\"");
        assert_eq!(subject("raw € and space").unwrap(), "raw € and space");
        assert_eq!(subject("a%2520b").unwrap(), "a%20b");
        for value in [
            "%C0%A0",
            "%0d%0aInjected:%20yes",
            "%00",
            "\t",
            "%EF%BF%BE",
            "",
        ] {
            let error = subject(value).unwrap_err();
            assert_eq!(error.attribute(), Some("subject"), "{value}");
        }
        let mut headers = map(REQUIRED);
        headers.insert("ce-x", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(
            http::read(&headers, Bytes::new()).unwrap_err().attribute(),
            Some("x")
        );
    }

    #[test]
    fn s3_1_a_claim_must_hold() {
        for at in 1..REQUIRED.len() {
            let missing: Vec<_> = (0..REQUIRED.len())
                .filter(|i| *i != at)
                .map(|i| REQUIRED[i])
                .collect();
            assert!(read(&missing, "").is_err());
        }
        for (name, value) in [
            ("ce-id", "again"),
            ("ce-time", "now"),
            ("ce-data", "x"),
            ("ce-a-b", "x"),
            ("ce-a_b", "x"),
            ("ce-", "x"),
            ("content-type", "not a type"),
        ] {
            assert!(binary(&[(name, value)], "").is_err(), "{name}");
        }
        let old = [
            ("ce-specversion", "0.3"),
            ("ce-id", "1"),
            ("ce-source", "/"),
            ("ce-type", "t"),
        ];
        assert_eq!(read(&old, "").unwrap_err().attribute(), Some("specversion"));
    }

    #[test]
    fn what_claims_nothing_is_something_else() {
        for headers in [
            &[][..],
            &[("content-type", "application/json")],
            &[("content-type", "é")],
            &REQUIRED[1..],
        ] {
            let expected = http::Message::NotCloudEvent("body".into());
            assert_eq!(read(headers, "body").unwrap(), expected);
        }
    }

    #[test]
    fn s3_modes_are_told_apart_in_any_case() {
        let (mut headers, event) = (HeaderMap::new(), full());
        let body = http::write_structured(&event, &mut headers);
        assert_eq!(headers["content-type"], "application/cloudevents+json");
        let batch = http::write_batched([&event, &event], &mut headers);
        assert_eq!(
            headers["content-type"],
            "application/cloudevents-batch+json"
        );
        let one = http::Message::One(event.clone());
        let two = http::Message::Batch(vec![event.clone(), event]);
        for (content_type, body, expected) in [
            ("application/cloudevents+json", &body, &one),
            ("Application/CloudEvents+JSON ; charset=UTF-8", &body, &one),
            ("application/cloudevents-batch+json", &batch, &two),
            ("APPLICATION/CLOUDEVENTS-BATCH+JSON", &batch, &two),
        ] {
            let mut headers = map([("content-type", content_type)]);
            assert_eq!(http::read(&headers, body.clone()).as_ref(), Ok(expected));
            // Structured mode may come with the headers of binary mode (§3.2.2).
            http::write_binary(&minimal().id("other").build().unwrap(), &mut headers);
            headers.insert("content-type", content_type.parse().unwrap());
            assert_eq!(http::read(&headers, body.clone()).as_ref(), Ok(expected));
        }
    }

    #[test]
    fn s3_an_unknown_format_goes_on_as_it_came_if_it_can() {
        let avro = ("content-type", "application/cloudevents+avro");
        let event = binary(&[avro], "envelope").unwrap();
        assert_eq!(event.data_content_type(), Some(avro.1));
        assert!(read(&[avro], "envelope").is_err());
    }

    #[test]
    fn the_longest_name_there_may_be_is_a_header_name() {
        let name = format!("ce-{}", "x".repeat(255));
        let event = binary(&[(&name, "v")], "").unwrap();
        let mut headers = HeaderMap::new();
        http::write_binary(&event, &mut headers);
        assert_eq!(headers[&name], "v");
        assert!(binary(&[(&format!("{name}x"), "v")], "").is_err());
    }

    #[test]
    fn mode_as_configuration() {
        for (mode, text) in [
            (http::Mode::Binary, "\"binary\""),
            (http::Mode::Structured, "\"structured\""),
            (http::Mode::Batched, "\"batched\""),
        ] {
            assert_eq!(serde_json::to_string(&mode).unwrap(), text);
            assert_eq!(serde_json::from_str::<http::Mode>(text).unwrap(), mode);
        }
        assert_eq!(http::Mode::default(), http::Mode::Binary);
    }
}

mod over_headers {
    use super::*;

    type Header<'a> = (&'a str, Option<&'a [u8]>);

    const REQUIRED: [Header<'static>; 4] = [
        ("ce_specversion", Some(b"1.0")),
        ("ce_id", Some(b"1")),
        ("ce_source", Some(b"/s")),
        ("ce_type", Some(b"t")),
    ];

    fn read(
        headers: &[Header<'_>],
        value: Option<&'static str>,
    ) -> Result<Option<Event>, InvalidEvent> {
        headers::read(headers.iter().copied(), value.map(Bytes::from))
    }

    fn binary(headers: &[Header<'_>], value: Option<&'static str>) -> Result<Event, InvalidEvent> {
        read(&[&REQUIRED, headers].concat(), value).map(Option::unwrap)
    }

    #[test]
    fn s3_2_binary() {
        let (headers, value) = headers::write(&full());
        let mut written: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap()))
            .collect();
        written.sort_unstable();
        let expected = [
            ("ce_bool", "true"),
            ("ce_dataschema", "HTTP://Ex.COM/a/../b"),
            ("ce_id", "1"),
            ("ce_partitionkey", "100% \"quoted\""),
            ("ce_source", "/s"),
            ("ce_specversion", "1.0"),
            ("ce_subject", "Euro € 😀"),
            ("ce_time", "2020-03-19T17:31:00.50+02:00"),
            ("ce_type", "t"),
            ("content-type", "application/json; charset=utf-8"),
        ];
        assert_eq!(written, expected);
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_str(), Some(value.as_slice())));
        assert_eq!(
            headers::read(headers, value).unwrap(),
            Some(stringly(&full()))
        );
    }

    #[test]
    fn s3_2_3_values_are_raw() {
        let event = binary(
            &[("ce_subject", Some(b"a%20b")), ("ce_x", Some(b"\"q\""))],
            None,
        );
        let event = event.unwrap();
        assert_eq!(event.subject(), Some("a%20b"));
        assert_eq!(event.extension("x"), Some(&Value::from("\"q\"")));
    }

    #[test]
    fn names_are_taken_in_any_case() {
        let headers: [Header<'_>; 6] = [
            ("CE_SpecVersion", Some(b"1.0")),
            ("CE_id", Some(b"1")),
            ("Ce_Source", Some(b"/s")),
            ("ce_TYPE", Some(b"t")),
            ("CE_TenantID", Some(b"7")),
            ("Content-Type", Some(b"a/b")),
        ];
        let event = read(&headers, Some("x")).unwrap().unwrap();
        let expected = minimal()
            .extension("tenantid", "7")
            .data_content_type("a/b");
        assert_eq!(event, expected.data(Data::bytes("x")).build().unwrap());
    }

    #[test]
    fn s3_2_2_no_value_is_no_data_and_an_empty_one_is_empty() {
        assert_eq!(binary(&[], None).unwrap().data(), None);
        assert_eq!(
            binary(&[], Some("")).unwrap().data(),
            Some(&Data::bytes(""))
        );
        assert_eq!(headers::write(&minimal().build().unwrap()).1, None);
        let empty = minimal().data(Data::bytes("")).build().unwrap();
        assert_eq!(headers::write(&empty).1, Some(Bytes::new()));
    }

    #[test]
    fn s3_2_1_json_without_a_content_type_gets_one() {
        let event = minimal().data(Data::json("1").unwrap()).build().unwrap();
        let (headers, _) = headers::write(&event);
        assert!(headers.contains(&("content-type".into(), b"application/json".to_vec())));
    }

    #[test]
    fn s3_1_structured_in_any_case_and_never_without_a_value() {
        let mut body = Vec::new();
        eventlane::event::json::write(&full(), &mut body);
        for (name, content_type) in [
            ("content-type", "application/cloudevents+json"),
            (
                "Content-Type",
                "Application/CloudEvents+JSON; charset=utf-8",
            ),
            ("CONTENT-TYPE", "application/cloudevents"),
        ] {
            let headers = [(name, Some(content_type.as_bytes())), REQUIRED[0]];
            let event = headers::read(headers.into_iter(), Some(body.clone().into()));
            assert_eq!(event.unwrap(), Some(full()));
            assert!(read(&headers, None).is_err());
            assert!(read(&headers, Some("{}")).is_err());
        }
        let batch = [(
            "content-type",
            Some(&b"application/cloudevents-batch+json"[..]),
        )];
        assert!(read(&batch, Some("[]")).is_err());
    }

    #[test]
    fn an_unknown_format_goes_on_as_it_came_if_it_can() {
        let avro = ("content-type", Some(&b"application/cloudevents+avro"[..]));
        let event = binary(&[avro], Some("envelope")).unwrap();
        assert_eq!(
            event.data_content_type(),
            Some("application/cloudevents+avro")
        );
        assert!(read(&[avro], Some("envelope")).is_err());
    }

    #[test]
    fn what_claims_nothing_is_a_plain_message() {
        for headers in [
            &[][..],
            &REQUIRED[1..],
            &[("content-type", Some(b"application/json"))],
            &[
                ("content-type", None),
                ("", None),
                ("ce_", None),
                ("é", Some(b"x")),
            ],
            &[("content-type", Some(b"\xff"))],
        ] {
            assert_eq!(read(headers, Some("x")).unwrap(), None);
            assert_eq!(read(headers, None).unwrap(), None);
        }
    }

    #[test]
    fn a_claim_must_hold() {
        for at in 1..REQUIRED.len() {
            let mut headers = REQUIRED;
            headers[at].1 = None;
            assert!(read(&headers, None).is_err());
        }
        assert_eq!(
            read(&[("ce_specversion", None)], None)
                .unwrap_err()
                .attribute(),
            Some("specversion")
        );
        for (name, value) in [
            ("ce_id", &b"1"[..]),
            ("CE_ID", b"1"),
            ("ce_specversion", b"1.0"),
            ("ce_x", b"\xff"),
            ("ce_x", b"\n"),
            ("ce_a-b", b"x"),
            ("ce_data", b"x"),
            ("ce_", b"x"),
            ("ce_time", b"now"),
            ("content-type", b"\xff"),
            ("content-type", b"json"),
        ] {
            assert!(binary(&[(name, Some(value))], None).is_err(), "{name}");
        }
        let twice = ("content-type", Some(&b"a/b"[..]));
        assert!(binary(&[twice, twice], None).is_err());
    }

    #[test]
    fn headers_without_a_value_count_as_absent() {
        let nulls = [
            ("ce_x", None),
            ("ce_id", None),
            ("ce_time", None),
            ("content-type", None),
        ];
        assert_eq!(binary(&nulls, None).unwrap(), minimal().build().unwrap());
    }

    #[test]
    fn foreign_headers_are_passed_over() {
        let foreign = [
            ("traceparent", Some(&b"\xff"[..])),
            ("cex", Some(b"1")),
            ("ce", Some(b"1")),
        ];
        assert_eq!(binary(&foreign, None).unwrap(), minimal().build().unwrap());
    }

    #[test]
    fn ce_datacontenttype_serves_where_nothing_better_is() {
        let header = ("CE_DataContentType", Some(&b"a/b"[..]));
        assert_eq!(
            binary(&[header], None).unwrap().data_content_type(),
            Some("a/b")
        );
        let both = [header, ("content-type", Some(b"c/d"))];
        assert_eq!(
            binary(&both, None).unwrap().data_content_type(),
            Some("c/d")
        );
    }
}
