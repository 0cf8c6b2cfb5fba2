//! CloudEvents 1.0.2, `spec.md` §3: attributes, names, types.

use eventlane::{
    Error, ErrorKind,
    event::{Data, Event, EventBuilder, InvalidEvent, Str, Timestamp, Value},
};

fn minimal() -> EventBuilder {
    Event::builder().id("1").source("/s").ty("t")
}

fn fault(builder: EventBuilder) -> (Option<String>, String) {
    let error = builder.build().unwrap_err();
    (error.attribute().map(str::to_owned), error.to_string())
}

#[track_caller]
fn at_fault(builder: EventBuilder, attribute: &str) {
    assert_eq!(fault(builder).0.as_deref(), Some(attribute));
}

#[test]
fn s3_1_required_attributes_are_there_and_not_empty() {
    minimal().build().unwrap();
    at_fault(Event::builder().source("/s").ty("t"), "id");
    at_fault(Event::builder().id("1").ty("t"), "source");
    at_fault(Event::builder().id("1").source("/s"), "type");
    at_fault(minimal().id(""), "id");
    at_fault(minimal().source(""), "source");
    at_fault(minimal().ty(""), "type");
}

#[test]
fn s3_1_optional_attributes_are_not_empty() {
    at_fault(minimal().subject(""), "subject");
    at_fault(minimal().data_schema(""), "dataschema");
    at_fault(minimal().data_content_type(""), "datacontenttype");
}

#[test]
fn s3_1_1_names() {
    for name in [
        "a",
        "0",
        "partitionkey",
        "x123",
        "dataref",
        "averyveryverylongextensionname",
    ] {
        minimal().extension(name, "v").build().unwrap();
        minimal()
            .build()
            .unwrap()
            .with_extension(name, "v")
            .unwrap();
    }
    let long = "x".repeat(256);
    let core = "id source specversion type datacontenttype dataschema subject time data";
    for name in [
        "",
        "a-b",
        "a_b",
        "TenantID",
        "é",
        "a b",
        "data_base64",
        &long,
    ]
    .into_iter()
    .chain(core.split(' '))
    {
        at_fault(minimal().extension(name, "v"), name);
        let error = minimal()
            .build()
            .unwrap()
            .with_extension(name, "v")
            .unwrap_err();
        assert_eq!(error.attribute(), Some(name));
    }
}

#[test]
fn s3_1_1_string_has_no_controls_and_no_noncharacters() {
    for text in [
        "a\0", "\n", "\u{1f}", "\u{7f}", "\u{80}", "\u{9f}", "\u{fdd0}", "\u{fdef}",
    ]
    .into_iter()
    .chain(["\u{fffe}", "\u{ffff}", "\u{1fffe}", "\u{10ffff}"])
    {
        at_fault(minimal().id(text), "id");
        at_fault(minimal().ty(text), "type");
        at_fault(minimal().subject(text), "subject");
        at_fault(minimal().extension("x", text), "x");
    }
    for text in [
        "é",
        "\u{a0}",
        "\u{fdcf}",
        "\u{fdf0}",
        "\u{fffd}",
        "\u{10fffd}",
        "a b",
        "😀",
    ] {
        let event = minimal()
            .subject(text)
            .extension("x", text)
            .build()
            .unwrap();
        assert_eq!(event.subject(), Some(text));
    }
}

#[test]
fn s3_1_1_canonical_strings() {
    let time = Timestamp::parse("2020-03-19T17:31:00.5+02:00").unwrap();
    for (value, text) in [
        (Value::Boolean(true), "true"),
        (Value::Boolean(false), "false"),
        (Value::Integer(i32::MIN), "-2147483648"),
        (Value::Integer(i32::MAX), "2147483647"),
        (Value::String("Euro € 😀".into()), "Euro € 😀"),
        (Value::Binary(vec![0xff, 0, 1].into()), "/wAB"),
        (
            Value::Uri("HTTP://Ex.COM/a/../b".into()),
            "HTTP://Ex.COM/a/../b",
        ),
        (Value::UriRef("../a?b#c".into()), "../a?b#c"),
        (Value::Timestamp(time), "2020-03-19T17:31:00.5+02:00"),
    ] {
        assert_eq!((value.to_string().as_str(), &*value.as_str()), (text, text));
        let event = minimal().extension("x", value.clone()).build().unwrap();
        assert_eq!(event.extension("x"), Some(&value));
    }
}

#[test]
fn s3_1_1_uris() {
    for source in [
        "/s",
        "1-555-123-4567",
        "https://ex.com/a?b#c",
        "urn:x:y",
        "#",
        "a%20b",
        "//h/p",
    ] {
        let event = minimal().source(source).build().unwrap();
        assert_eq!(event.source(), source);
    }
    for source in ["a b", "not a uri \n", "http://[", "%zz", "ü", "1:2", "\\"] {
        at_fault(minimal().source(source), "source");
        at_fault(minimal().extension("x", Value::UriRef(source.into())), "x");
        at_fault(minimal().extension("x", Value::Uri(source.into())), "x");
    }
    at_fault(
        minimal().extension("x", Value::Uri("/relative".into())),
        "x",
    );
    // Azure sends this one.
    let event = minimal().data_schema("#").build().unwrap();
    assert_eq!(event.data_schema(), Some("#"));
    at_fault(minimal().data_schema("a b"), "dataschema");
}

#[test]
fn s3_1_datacontenttype_is_a_media_type() {
    for ty in [
        "application/json",
        "text/plain; charset=utf-8",
        "a/b;c=\"d e\"",
        "x/y+z",
    ] {
        let event = minimal().data_content_type(ty).build().unwrap();
        assert_eq!(event.data_content_type(), Some(ty));
    }
    for ty in [
        "json",
        "/",
        "a/",
        "/b",
        "a b/c",
        "a/b\r\nx: y",
        "a/b; ü=1",
        "a/b/c",
        "a/b, c/d",
    ] {
        at_fault(minimal().data_content_type(ty), "datacontenttype");
    }
}

#[test]
fn the_last_extension_of_a_name_wins_and_all_are_sorted() {
    let event = minimal()
        .extension("b", "1")
        .extension("a", 1)
        .extension("b", "2")
        .extension("c", true)
        .extension("b", "3")
        .build()
        .unwrap();
    let names: Vec<_> = event
        .extensions()
        .map(|(name, value)| (name, value.to_string()))
        .collect();
    assert_eq!(
        names,
        [("a", "1".into()), ("b", "3".into()), ("c", "true".into())]
    );
    assert_eq!(event.extension("b"), Some(&Value::from("3")));
    assert_eq!(event.extension("d"), None);
}

#[test]
fn a_changed_event_leaves_its_clones_alone() {
    let event = minimal().extension("b", "1").build().unwrap();
    let changed = event
        .clone()
        .with_extension("a", 7)
        .unwrap()
        .with_extension("b", "2")
        .unwrap();
    assert_eq!(event.extensions().count(), 1);
    assert_eq!(event.extension("b"), Some(&Value::from("1")));
    assert_eq!(changed.extension("a"), Some(&Value::Integer(7)));
    assert_eq!(changed.extension("b"), Some(&Value::from("2")));
    assert_ne!(event, changed);
}

#[test]
fn there_is_an_end_to_extensions() {
    let many = |count: usize| {
        (0..count).fold(minimal(), |builder, at| {
            builder.extension(format!("x{at}"), "v")
        })
    };
    let event = many(1000).build().unwrap();
    assert!(event.clone().with_extension("x7", "again").is_ok());
    assert!(event.with_extension("onemore", "v").is_err());
    assert!(many(1001).build().is_err());
}

#[test]
fn size_counts_data_text_and_what_it_takes_to_hold_them() {
    let small = minimal().build().unwrap().size();
    assert!((200..1000).contains(&small), "{small}");
    let data = minimal()
        .data(Data::bytes(vec![0; 5000]))
        .build()
        .unwrap()
        .size();
    assert_eq!(data, small + 5000);
    let text = minimal().subject("x".repeat(3000)).build().unwrap().size();
    assert!((3000..3100).contains(&(text - small)));
    let extensions = (0..100).fold(minimal(), |b, at| b.extension(format!("x{at}"), at));
    assert!(extensions.build().unwrap().size() - small > 100 * 40);
    let binary = minimal()
        .extension("x", Value::Binary(vec![0; 4000].into()))
        .build()
        .unwrap();
    assert_eq!(binary.size(), small + 4000);
    let fixed = minimal().ty(Str::new_static(
        "a static text longer than what fits inline",
    ));
    assert_eq!(fixed.build().unwrap().size(), small);
}

#[test]
fn data_is_compared_by_its_bytes() {
    let json = Data::json("[1]").unwrap();
    assert_eq!(json, Data::bytes("[1]"));
    assert_eq!(json, Data::text("[1]"));
    assert_ne!(json, Data::json("[1 ]").unwrap());
    assert!(json.is_json() && !Data::bytes("[1]").is_json());
}

#[test]
fn data_json_is_one_value_in_utf_8() {
    for yes in [
        "null",
        "\"\\ud800\"",
        " {\"a\" : 1e999}\n",
        "12345678901234567890123",
        "-0.0",
    ] {
        Data::json(yes).unwrap();
    }
    for no in [
        &b""[..],
        b"{",
        b"1 2",
        b"\"\xff\"",
        b"'a'",
        b"NaN",
        b"01",
        b"{\"a\":1,}",
        b"\xef\xbb\xbf1",
    ] {
        assert!(Data::json(no).is_err(), "{no:?}");
    }
}

#[test]
fn debug_shows_the_start_of_data_only() {
    let event = minimal()
        .data(Data::bytes(vec![b'x'; 100_000]))
        .build()
        .unwrap();
    let text = format!("{event:?}");
    assert!(text.len() < 2000 && text.contains("100000 bytes"), "{text}");
}

#[test]
fn faults_name_the_attribute_and_never_the_value() {
    let (_, text) = fault(minimal().subject("secret\n"));
    assert_eq!(text, "attribute \"subject\": contains a control character");
    // A name that a remote chose can't break a log line or flood it.
    let (_, text) = fault(minimal().extension("x\n".repeat(1000), "v"));
    assert!(text.len() < 300 && !text.contains('\n'), "{text}");

    let error: Error = minimal().id("").build().unwrap_err().into();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.to_string().contains("attribute \"id\""), "{error}");
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.is::<InvalidEvent>());
}

#[test]
fn events_are_shared_between_threads() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<Event>();
    check::<EventBuilder>();
}
