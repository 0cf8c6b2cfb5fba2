use eventlane::event::json;
use eventlane_testkit::growth::assert_linear;
use proptest::prelude::*;

use super::*;

type Headers<'a> = Vec<(&'a [u8], Option<&'a [u8]>)>;

fn convert<'a>(
    config: &EventConfig,
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    headers: Headers<'a>,
) -> Result<Converted, InvalidEvent> {
    let converter = Converter::new(config);
    let input = Input {
        partition: 3,
        offset: 12_345_678_901,
        timestamp: Some(1_584_631_860_500),
        key,
        payload,
        headers: headers.into_iter(),
    };
    converter.convert(&converter.topic("orders"), input)
}

fn event<'a>(
    config: &EventConfig,
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    headers: Headers<'a>,
) -> Event {
    match convert(config, key, payload, headers) {
        Ok(Converted::Event(event)) => event,
        other => panic!("{other:?}"),
    }
}

fn headers<'a>(pairs: &'a [(&'a str, &'a str)]) -> Headers<'a> {
    pairs
        .iter()
        .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())))
        .collect()
}

fn text(event: &Event, name: &str) -> Option<String> {
    event.extension(name).map(ToString::to_string)
}

#[test]
fn a_plain_record_becomes_what_knative_makes_of_it() {
    let config = EventConfig::new().with_name("shop", "orders");
    let event = event(&config, Some(b"customer-7"), Some(b"{}"), vec![]);
    assert_eq!(event.id(), "partition:3/offset:12345678901");
    assert_eq!(
        event.source(),
        "/apis/v1/namespaces/shop/kafkasources/orders#orders"
    );
    assert_eq!(event.ty(), "dev.knative.kafka.event");
    assert_eq!(event.subject(), Some("partition:3#12345678901"));
    assert_eq!(
        event.time().unwrap().to_string(),
        "2020-03-19T15:31:00.500Z"
    );
    assert_eq!(event.data_content_type(), None);
    assert_eq!(event.data().unwrap().as_bytes(), "{}");
    let extensions: Vec<_> = event
        .extensions()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        extensions,
        [
            "kafkatopic=orders",
            "key=customer-7",
            "knativekafkaoffset=12345678901",
            "knativekafkapartition=3",
            "partitionkey=customer-7",
        ],
    );
}

#[test]
fn names_can_be_configured() {
    let config = EventConfig::new()
        .with_source("kafka://prod/{topic}")
        .with_type("t")
        .with_position(PositionExtensions::None);
    let plain = event(&config, None, Some(b""), vec![]);
    assert_eq!((plain.source(), plain.ty()), ("kafka://prod/orders", "t"));
    assert_eq!(plain.extensions().len(), 0);
    let config = EventConfig::new()
        .with_source("/mine")
        .with_position(PositionExtensions::Knative);
    let plain = event(&config, None, Some(b""), vec![]);
    assert_eq!(plain.source(), "/mine#orders");
    assert_eq!(plain.extensions().len(), 2);
}

#[test]
fn a_tombstone_has_no_data_and_an_empty_value_has_some() {
    let config = EventConfig::new();
    assert!(event(&config, Some(b"k"), None, vec![]).data().is_none());
    assert!(
        event(&config, Some(b"k"), Some(b""), vec![])
            .data()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn keys_are_what_their_type_says() {
    let cases: [(KeyType, &[u8], Option<&str>); 13] = [
        (KeyType::String, b"abc", Some("abc")),
        (KeyType::String, b"a\xff", Some("a\u{fffd}")),
        (KeyType::String, b"a\nb", Some("a\u{fffd}b")),
        (KeyType::String, b"", None),
        (KeyType::Int, &(-7_i32).to_be_bytes(), Some("-7")),
        (KeyType::Int, b"abc", Some("abc")),
        (
            KeyType::Int,
            &7_i64.to_be_bytes(),
            Some("\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        ),
        (KeyType::Float, &1.5_f32.to_be_bytes(), Some("1.5")),
        (KeyType::Float, &2.0_f64.to_be_bytes(), Some("2.0")),
        (KeyType::Float, b"abc", Some("abc")),
        (KeyType::ByteArray, b"\0\xff", Some("AP8=")),
        (KeyType::ByteArray, b"", None),
        (KeyType::Int, b"", None),
    ];
    for (key_type, key, expected) in cases {
        let config = EventConfig::new().with_key_type(key_type);
        let event = event(&config, Some(key), None, vec![]);
        assert_eq!(
            text(&event, "key").as_deref(),
            expected,
            "{key_type:?} {key:?}"
        );
        assert_eq!(
            text(&event, "partitionkey").as_deref(),
            expected,
            "{key_type:?} {key:?}"
        );
    }
    let config = EventConfig::new().with_key_type(KeyType::Int);
    let number = event(&config, Some(&[0, 0, 1, 0]), None, vec![]);
    assert_eq!(number.extension("key"), Some(&Value::Integer(256)));
}

#[test]
fn headers_become_attributes_and_survive_anything() {
    let mut given = headers(&[
        ("Content-Type", "Text/Plain; charset=UTF-8"),
        ("X-Request-ID", "first"),
        ("xrequestid", "last"),
        (
            "TraceParent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("tracestate", "a=b"),
        ("ce_id", "not an event, so just a header"),
    ]);
    given.push((b"null", None));
    given.push((b"\xff\xfe", Some(b"\xff")));
    given.push((b"control", Some(b"a\x00b")));
    let event = event(&EventConfig::new(), None, Some(b"x"), given);
    assert_eq!(event.data_content_type(), Some("Text/Plain; charset=UTF-8"));
    assert_eq!(
        text(&event, "kafkaheaderxrequestid").as_deref(),
        Some("last")
    );
    assert!(text(&event, "traceparent").unwrap().starts_with("00-0af"));
    assert_eq!(text(&event, "tracestate").as_deref(), Some("a=b"));
    assert_eq!(
        text(&event, "kafkaheaderceid").as_deref(),
        Some("not an event, so just a header")
    );
    assert_eq!(text(&event, "kafkaheadernull"), None);
    assert_eq!(text(&event, "kafkaheader").as_deref(), Some("\u{fffd}"));
    assert_eq!(
        text(&event, "kafkaheadercontrol").as_deref(),
        Some("a\u{fffd}b")
    );
}

#[test]
fn headers_can_be_chosen() {
    let given = [
        ("x-id", "1"),
        ("other", "2"),
        ("content-type", "a/b"),
        ("traceparent", "t"),
    ];
    let none = EventConfig::new().with_headers(HeaderExtensions::None);
    let event_none = event(&none, None, None, headers(&given));
    assert_eq!(text(&event_none, "kafkaheaderxid"), None);
    assert_eq!(event_none.data_content_type(), Some("a/b"));
    assert!(text(&event_none, "traceparent").is_some());
    let only = EventConfig::new().with_headers(HeaderExtensions::Only(vec!["X-ID".to_owned()]));
    let event_only = event(&only, None, None, headers(&given));
    assert_eq!(text(&event_only, "kafkaheaderxid").as_deref(), Some("1"));
    assert_eq!(text(&event_only, "kafkaheaderother"), None);
}

#[test]
fn a_content_type_that_is_none_is_a_header_like_others() {
    for wrong in ["json", "a/b/c d", "te\u{e9}xt/plain", "text/plain\n"] {
        let event = event(
            &EventConfig::new(),
            None,
            Some(b""),
            headers(&[("content-type", wrong)]),
        );
        assert_eq!(event.data_content_type(), None, "{wrong}");
        assert!(text(&event, "kafkaheadercontenttype").is_some(), "{wrong}");
    }
}

#[test]
fn cloudevents_pass_through() {
    let binary = headers(&[
        ("CE_specversion", "1.0"),
        ("ce_id", "1"),
        ("ce_source", "/s"),
        ("ce_type", "t"),
        ("ce_partitionkey", "p"),
        ("content-type", "application/json"),
        ("other", "not an attribute"),
    ]);
    let passed = event(
        &EventConfig::new(),
        Some(b"record key"),
        Some(b"{}"),
        binary,
    );
    assert_eq!(
        (passed.id(), passed.source(), passed.ty()),
        ("1", "/s", "t")
    );
    assert_eq!(passed.extensions().len(), 1, "nothing is added");

    let body = br#"{"specversion":"1.0","id":"2","source":"/s","type":"t","data":7}"#;
    let structured = headers(&[(
        "content-type",
        "application/cloudevents+json; charset=UTF-8",
    )]);
    let passed = event(&EventConfig::new(), None, Some(body), structured);
    assert_eq!(passed, json::read(&Bytes::from_static(body)).unwrap());
}

#[test]
fn what_claims_to_be_an_event_and_is_not_follows_the_policy() {
    type Claim = (Vec<(&'static str, &'static str)>, Option<&'static [u8]>);
    let claims: [Claim; 3] = [
        (vec![("ce_specversion", "1.0"), ("ce_id", "1")], Some(b"x")),
        (
            vec![("content-type", "application/cloudevents+json")],
            Some(b"{"),
        ),
        (vec![("content-type", "Application/CloudEvents+json")], None),
    ];
    for (pairs, payload) in claims {
        let wrapped = event(&EventConfig::new(), None, payload, headers(&pairs));
        assert_eq!(wrapped.id(), "partition:3/offset:12345678901");
        assert_eq!(
            wrapped.data_content_type(),
            None,
            "a receiver must not take it for an event"
        );
        assert_eq!(
            wrapped.data().map(|data| data.as_bytes().to_vec()),
            payload.map(<[u8]>::to_vec)
        );

        let reject = EventConfig::new().with_on_invalid(OnInvalid::Reject);
        match convert(&reject, None, payload, headers(&pairs)) {
            Ok(Converted::Invalid(event, reason)) => {
                assert_eq!(event, wrapped);
                assert!(reason.contains("CloudEvent"), "{reason}");
            }
            other => panic!("{other:?}"),
        }

        let stop = EventConfig::new().with_on_invalid(OnInvalid::Stop);
        assert!(convert(&stop, None, payload, headers(&pairs)).is_err());
    }
}

#[test]
fn a_record_without_a_timestamp_has_no_time() {
    let converter = Converter::new(&EventConfig::new());
    let input = Input {
        partition: 0,
        offset: 0,
        timestamp: None,
        key: None,
        payload: None,
        headers: std::iter::empty(),
    };
    match converter.convert(&converter.topic("t"), input) {
        Ok(Converted::Event(event)) => {
            assert!(event.time().is_none());
            assert_eq!(event.id(), "partition:0/offset:0");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_are_written_as_they_are() {
    for number in [0, 9, 10, 1_234_567_890, u64::MAX] {
        let mut text = Text::default();
        text.push_number(number);
        assert_eq!(text.as_str(), number.to_string());
    }
}

proptest! {
    #[test]
    fn every_record_becomes_an_event(
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        payload in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        given in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..12), prop::option::of(prop::collection::vec(any::<u8>(), 0..12))),
            0..8,
        ),
        named in prop::collection::vec(("(?i)(content-type|ce_[a-z]{0,4}|ce_specversion|traceparent)", ".{0,8}"), 0..4),
        key_type in prop::sample::select(vec![KeyType::String, KeyType::Int, KeyType::Float, KeyType::ByteArray]),
    ) {
        let mut headers: Headers<'_> = given
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_deref()))
            .collect();
        headers.extend(named.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))));
        let config = EventConfig::new().with_key_type(key_type);
        let event = event(&config, key.as_deref(), payload.as_deref(), headers);
        prop_assert_eq!(event.data().map(|data| data.as_bytes().to_vec()), payload);
        // What is written is read again: no attribute has a value that it must not have.
        let mut out = Vec::new();
        json::write(&event, &mut out);
        let read = json::read(&out.into());
        prop_assert!(read.is_ok(), "{read:?}");
    }
}

#[test]
fn time_grows_with_the_record_and_no_faster() {
    let config = EventConfig::new();
    let only = config
        .clone()
        .with_headers(HeaderExtensions::Only(vec!["x".to_owned()]));
    let lines = |name: fn(usize) -> String| {
        move |parts: usize| (0..parts).map(|at| name(at) + "\n").collect::<String>()
    };
    let names: [fn(usize) -> String; 3] = [
        |at| format!("x{at}"),
        |_| "x".to_owned(),
        |at| format!("ce_x{at}"),
    ];
    for names in names {
        for config in [&config, &only] {
            for claims in [false, true] {
                assert_linear("headers", 1_000, lines(names), |names| {
                    let first = [(&b"ce_specversion"[..], Some(&b"1.0"[..]))];
                    let first = first.into_iter().filter(|_| claims);
                    let all = names.lines().map(|name| (name.as_bytes(), Some(&b"v"[..])));
                    convert(config, None, None, first.chain(all).collect()).is_ok()
                });
            }
        }
    }
    for piece in ["\u{1}", "é", "a", ";a=b"] {
        let make = |parts: usize| format!("a/b{}", piece.repeat(parts));
        assert_linear(piece, 4_000, make, |text| {
            let headers = vec![
                ("content-type".as_bytes(), Some(text.as_bytes())),
                (text.as_bytes(), Some(text.as_bytes())),
            ];
            convert(
                &config,
                Some(text.as_bytes()),
                Some(text.as_bytes()),
                headers,
            )
            .is_ok()
        });
    }
}
