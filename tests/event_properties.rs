//! Any event comes back from every format as it was, and nothing that a remote sends panics, grows
//! without bound or takes more than linear time.

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use eventlane::event::{Data, Event, EventBuilder, Timestamp, Value, headers, http, json};
use proptest::{collection::vec, option, prelude::*, sample::select};
use tokio::time::Instant;

/// Text that an attribute may have.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,40}",
        // Everything but controls; the few noncharacters are filtered out.
        vec(any::<char>(), 1..20).prop_map(|chars| {
            let fits = |c: &char| {
                let code = *c as u32;
                !c.is_control() && code & 0xfffe != 0xfffe && !(0xfdd0..=0xfdef).contains(&code)
            };
            chars.into_iter().filter(fits).chain(['x']).collect()
        }),
    ]
}

fn reference() -> impl Strategy<Value = String> {
    "(urn:[a-z]{2,5}:|/|https://[a-z]{1,9}\\.example/)[a-z0-9/]{0,20}(%[0-9A-F]{2})?(#[a-z]{0,5})?"
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        any::<i64>().prop_map(Timestamp::from_unix_millis),
        "(19|20)[0-9]{2}-0[1-9]-[01][1-9][Tt][01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,12})?([zZ]|[+-]0[0-9]:[0-5][0-9])"
            .prop_map(|text| Timestamp::parse(&text).unwrap()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from),
        Just(Value::from("")),
        vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Binary(bytes.into())),
        reference().prop_map(|text| Value::UriRef(text.into())),
        time().prop_map(Value::from),
    ]
}

fn json_document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        "\"(\\\\u[0-9a-fA-F]{4}|\\\\[nrt\"/\\\\]){0,5}\"",
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            (vec(inner.clone(), 0..5), "[ \n\t]{0,3}").prop_map(|(items, space)| format!(
                "[{space}{}]",
                items.join(&format!("{space},"))
            )),
            vec(("[a-c]{1,2}", inner), 0..5).prop_map(|members| {
                let members = members
                    .into_iter()
                    .map(|(name, value)| format!("\"{name}\" :{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        json_document().prop_map(|text| Data::json(text).unwrap()),
        json_document().prop_map(Data::bytes),
        vec(any::<u8>(), 0..100).prop_map(Data::bytes),
        any::<String>().prop_map(Data::text),
    ]
    .prop_filter("JSON with space around it", |data| !is_padded(data))
}

fn content_type() -> impl Strategy<Value = &'static str> {
    select(vec![
        "application/json",
        "application/x+JSON; charset=utf-8",
        "text/plain",
        "text/plain; charset=iso-8859-1",
        "application/xml",
        "application/octet-stream",
    ])
}

prop_compose! {
    fn event()(
        id in text(),
        source in reference(),
        ty in text(),
        subject in option::of(text()),
        time in option::of(time()),
        content_type in option::of(content_type()),
        schema in option::of(reference()),
        extensions in vec(("[a-z][a-z0-9]{8,9}", value()), 0..6),
        data in option::of(data()),
    ) -> Event {
        let mut builder = Event::builder().id(id).source(source).ty(ty);
        if let Some(subject) = subject {
            builder = builder.subject(subject);
        }
        if let Some(time) = time {
            builder = builder.time(time);
        }
        if let Some(content_type) = content_type {
            builder = builder.data_content_type(content_type);
        }
        if let Some(schema) = schema {
            builder = builder.data_schema(schema);
        }
        for (name, value) in extensions.into_iter().filter(|(name, _)| name != "dataschema") {
            builder = builder.extension(name, value);
        }
        if let Some(data) = data {
            builder = builder.data(data);
        }
        builder.build().unwrap()
    }
}

/// What is left of the types of extensions after JSON, and after headers.
fn with_strings(event: &Event, keep: fn(&Value) -> bool) -> Event {
    event
        .extensions()
        .filter(|(_, value)| !keep(value))
        .fold(event.clone(), |all, (name, value)| {
            all.with_extension(name, value.to_string()).unwrap()
        })
}

fn after_json(event: &Event) -> Event {
    with_strings(event, |value| {
        matches!(value, Value::Boolean(_) | Value::Integer(_))
    })
}

fn after_headers(event: &Event) -> Event {
    let event = with_strings(event, |_| false);
    let implied = event.data_content_type().is_none() && event.data().is_some_and(Data::is_json);
    if implied {
        EventBuilder::from(event)
            .data_content_type("application/json")
            .build()
            .unwrap()
    } else {
        event
    }
}

/// JSON with whitespace around it, which is not part of the value and doesn't survive.
fn is_padded(data: &Data) -> bool {
    let space = |b: Option<&u8>| b.is_some_and(u8::is_ascii_whitespace);
    let bytes = data.as_bytes();
    (space(bytes.first()) || space(bytes.last())) && Data::json(bytes.clone()).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn json_brings_every_event_back(event in event()) {
        let mut out = Vec::new();
        json::write(&event, &mut out);
        prop_assert_eq!(json::read(&out.into()).unwrap(), after_json(&event));
    }

    #[test]
    fn a_batch_brings_every_event_back(events in vec(event(), 0..5)) {
        let mut out = Vec::new();
        json::write_batch(&events, &mut out);
        let expected: Vec<_> = events.iter().map(after_json).collect();
        prop_assert_eq!(json::read_batch(&out.into()).unwrap(), expected);
    }

    #[test]
    fn http_brings_every_event_back(event in event()) {
        let mut map = HeaderMap::new();
        let body = http::write_binary(&event, &mut map);
        for value in map.values() {
            prop_assert!(value.as_bytes().iter().all(|b| (0x20..0x7f).contains(b)));
        }
        let http::Message::One(found) = http::read(&map, body).unwrap() else { panic!() };
        let expected = after_headers(&event);
        if event.data().is_some_and(Data::is_empty) {
            prop_assert_eq!(found.data(), None);
        } else {
            prop_assert_eq!(&found, &expected);
        }

        let body = http::write_structured(&event, &mut map);
        let http::Message::One(found) = http::read(&map, body).unwrap() else { panic!() };
        prop_assert_eq!(found, after_json(&event));
    }

    #[test]
    fn headers_bring_every_event_back(event in event()) {
        let (list, value) = headers::write(&event);
        let list = list.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice())));
        prop_assert_eq!(headers::read(list, value).unwrap(), Some(after_headers(&event)));
    }

    #[test]
    fn size_is_at_least_what_was_put_in(event in event()) {
        prop_assert!(event.size() >= event.data().map_or(0, Data::len));
    }
}

/// Bytes that come close to an event.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let token = select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "null",
        "true",
        "1",
        "-",
        "1e",
        "\"specversion\"",
        "\"1.0\"",
        "\"id\":\"1\",",
        "\"source\":\"/\",",
        "\"type\":\"t\",",
        "\"data\":",
        "\"data_base64\":",
        "\"datacontenttype\":\"text/plain\",",
        "\"time\":\"",
        "\\u",
        "d800",
        "é",
        " ",
        "\"x\":",
    ]);
    prop_oneof![
        vec(any::<u8>(), 0..200),
        vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes()),
        (
            event(),
            vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)
        )
            .prop_map(|(event, edits)| {
                let mut out = Vec::new();
                json::write(&event, &mut out);
                for (at, byte) in edits {
                    let at = at.index(out.len());
                    out[at] = byte;
                }
                out
            }),
    ]
}

fn header_name() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "ce_specversion",
            "CE_ID",
            "ce_source",
            "ce_type",
            "content-type",
            "Content-Type",
            "ce_time",
            "ce_",
            "ce_datacontenttype",
            "ce_data",
            "ce_é",
            "é_",
            "",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
        "[cC][eE]_[a-zA-Z0-9_é-]{0,5}",
    ]
}

fn header_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        select(vec![
            "1.0",
            "1",
            "/s",
            "t",
            "application/cloudevents+json",
            "application/cloudevents-batch",
            "application/json",
            "%",
            "%C",
            "%C0%A0",
            "\"",
            "\"\\\"",
            "\"a\\",
            "2020-01-01T00:00:00Z"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 0..30),
        "[%\"\\\\0-9A-Fé]{0,12}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes_as_json(bytes in nearly_json()) {
        let bytes = Bytes::from(bytes);
        Data::json(bytes.clone()).ok();
        if let Ok(event) = json::read(&bytes)
            && !event.data().is_some_and(is_padded)
        {
            let mut out = Vec::new();
            json::write(&event, &mut out);
            prop_assert_eq!(json::read(&out.into()).unwrap(), event);
        }
        json::read_batch(&bytes).ok();
    }

    #[test]
    fn any_headers_of_a_message(
        list in vec((header_name(), option::of(header_value())), 0..10),
        value in option::of(nearly_json()),
    ) {
        let list = list.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        headers::read(list, value.map(Bytes::from)).ok();
    }

    #[test]
    fn any_headers_over_http(
        list in vec((header_name(), header_value()), 0..10),
        body in nearly_json(),
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            let name = name.replace('_', "-").parse::<HeaderName>();
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) {
                map.append(name, value);
            }
        }
        if let Ok(http::Message::One(event)) = http::read(&map, body.into()) {
            let mut again = HeaderMap::new();
            http::write_binary(&event, &mut again);
        }
    }

    #[test]
    fn any_text_as_a_timestamp(text in "[0-9TZz:.+ -]{0,40}|.{0,40}") {
        if let Ok(time) = Timestamp::parse(&text) {
            prop_assert_eq!(time.to_string(), text);
            time.unix_millis();
        }
    }
}

const SLOW: Duration = Duration::from_secs(30);

/// A quadratic step would take minutes where these take milliseconds.
#[track_caller]
fn quick<R>(what: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = what();
    assert!(start.elapsed() < SLOW, "took {:?}", start.elapsed());
    result
}

const REQUIRED: &str = r#""specversion":"1.0","id":"1","source":"/s","type":"t""#;

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let bomb = |open: &str, close: &str| {
        let depth = 500_000;
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    };
    for bomb in [bomb("[", "]"), bomb("{\"a\":", "}"), bomb("[{\"a\":", "}]")] {
        quick(|| Data::json(bomb.clone()).unwrap());
        let body = Bytes::from(format!("{{{REQUIRED},\"data\":{bomb}}}"));
        let event = quick(|| json::read(&body).unwrap());
        assert_eq!(event.data().unwrap().as_bytes(), &bomb);
        let mut out = Vec::new();
        json::write(&event, &mut out);
        assert_eq!(out, body);
        for body in [
            format!("{{{REQUIRED},\"x\":{bomb}}}"),
            format!("{{{REQUIRED},\"data_base64\":{bomb}}}"),
            bomb,
        ] {
            let body = Bytes::from(body);
            assert!(quick(|| json::read(&body)).is_err());
            assert!(quick(|| json::read_batch(&body)).is_err());
        }
    }
    let unclosed = Bytes::from("[".repeat(1_000_000));
    assert!(quick(|| json::read(&unclosed)).is_err());
    assert!(quick(|| json::read_batch(&unclosed)).is_err());
}

#[test]
fn very_many_attributes_take_linear_time() {
    let many = 200_000;
    let names = |at: usize| format!("x{}", at * 7_919 % many);
    let members: String = (0..many)
        .map(|at| format!(",\"{}\":1", names(at)))
        .collect();
    let body = Bytes::from(format!("{{{REQUIRED}{members}}}"));
    assert!(quick(|| json::read(&body)).is_err());
    let same = ",\"x\":\"y\"".repeat(many);
    let body = Bytes::from(format!("{{{REQUIRED}{same}}}"));
    assert!(quick(|| json::read(&body)).is_err());

    let names: Vec<_> = (0..many).map(|at| format!("ce_{}", names(at))).collect();
    let list = ["ce_specversion"]
        .into_iter()
        .chain(names.iter().map(String::as_str));
    let list = list.map(|name| (name, Some(&b"1.0"[..])));
    assert!(quick(|| headers::read(list, None)).is_err());

    let builder = || {
        let start = Event::builder().id("1").source("/s").ty("t");
        (0..many).fold(start, |builder, at| {
            builder.extension(format!("x{}", at % 900), "v")
        })
    };
    assert_eq!(quick(builder).build().unwrap().extensions().count(), 900);
}

#[test]
fn very_long_values_take_linear_time() {
    for piece in ["%", "%41", "\\", "\"", "\\\"", "é", "a"] {
        let value = format!("\"{}\"", piece.repeat(300_000));
        let mut map = HeaderMap::new();
        map.insert("ce-specversion", HeaderValue::from_static("1.0"));
        map.insert("ce-x", HeaderValue::from_bytes(value.as_bytes()).unwrap());
        assert!(quick(|| http::read(&map, Bytes::new())).is_err());
        let event = Event::builder()
            .id(value.as_str())
            .source("/")
            .ty("t")
            .build()
            .unwrap();
        quick(|| http::write_binary(&event, &mut map));
        let mut out = Vec::new();
        quick(|| json::write(&event, &mut out));
        assert_eq!(quick(|| json::read(&out.into())).unwrap().id(), value);
    }
}

/// Small invalid members must not be blown up before the first is found out.
#[test]
fn a_batch_of_very_many_small_things_is_refused_at_the_first() {
    let body = Bytes::from(format!("[{}{{}}]", "{},".repeat(1_000_000)));
    assert!(quick(|| json::read_batch(&body)).is_err());
}
