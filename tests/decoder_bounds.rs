//! The worst input that is known for each decoder: what it takes grows with the input and no faster.

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use eventlane::event::{Data, Event, Timestamp, headers, http, json};

#[path = "kit/src/growth.rs"]
mod growth;

use growth::assert_linear;

const REQUIRED: &str = r#""specversion":"1.0","id":"1","source":"/s","type":"t""#;

fn event(members: &str) -> Bytes {
    format!("{{{REQUIRED},{members}}}").into()
}

/// Members of an event, as many as there are to be, and what they are.
type Members = (&'static str, fn(usize) -> String);

#[test]
fn time_grows_with_the_input_and_no_faster() {
    let members: [Members; 16] = [
        ("nested data", |n| {
            format!(r#""data":{}{}"#, "[".repeat(n), "]".repeat(n))
        }),
        ("nested data without an end", |n| {
            format!(r#""data":{}"#, r#"{"a":["#.repeat(n))
        }),
        ("a nested extension", |n| {
            format!(r#""x":{}{}"#, "[".repeat(n), "]".repeat(n))
        }),
        ("a list for an extension", |n| {
            format!(r#""x":[{}1]"#, "[],{},".repeat(n))
        }),
        ("names", |n| {
            let names = (0..n).map(|at| format!(r#""x{}":1,"#, at * 7919 % n));
            names.collect::<String>() + r#""y":1"#
        }),
        ("the same name", |n| r#""x":"y","#.repeat(n) + r#""y":1"#),
        ("the same data", |n| r#""data":1,"#.repeat(n) + r#""y":1"#),
        ("the same data in base64", |n| {
            r#""data_base64":"AAAA","#.repeat(n) + r#""y":1"#
        }),
        ("escapes in data", |n| {
            let text = r"\u00e9\n\\\ud83d\ude00".repeat(n);
            format!(r#""datacontenttype":"text/plain","data":"{text}""#)
        }),
        ("escapes in an extension", |n| {
            format!(r#""x":"{}""#, r#"\u0041\""#.repeat(n))
        }),
        ("escapes in a name", |n| {
            format!(r#""{}":1"#, r"\u0041\u0062".repeat(n))
        }),
        ("base64", |n| {
            format!(r#""data_base64":"{}""#, "AAAA".repeat(n))
        }),
        ("digits", |n| format!(r#""x":1{}"#, "7".repeat(n))),
        ("digits of a fraction and an exponent", |n| {
            format!(r#""x":0.{}e{}"#, "7".repeat(n), "9".repeat(n))
        }),
        ("parameters of a media type", |n| {
            format!(r#""datacontenttype":"a/b{}","data":"x""#, ";a=b".repeat(n))
        }),
        ("triplets of a URI", |n| {
            let parts = "/%41/../".repeat(n);
            format!(r#""dataschema":"a:{parts}","x":"{parts}""#)
        }),
    ];
    for (what, members) in members {
        let make = |n| event(&members(n));
        assert_linear(what, 2_000, make, json::read);
        let make = |n| Bytes::from([b"[", &event(&members(n))[..], b"]"].concat());
        assert_linear(what, 2_000, make, json::read_batch);
    }
    let batch = |n| {
        let events = format!("{{{REQUIRED},\"data\":{{\"a\":[1]}}}},").repeat(n);
        Bytes::from(format!("[{events}{{{REQUIRED}}}]"))
    };
    assert!(json::read_batch(&batch(3)).is_ok_and(|events| events.len() == 4));
    assert_linear("events of a batch", 200, batch, json::read_batch);
}

#[test]
fn headers_take_time_by_their_number_and_length() {
    for piece in ["%", "%41", "%4", "%zz", "\\\"", "\\", "\"", "é"] {
        let make = |n| format!("\"{}\"", piece.repeat(n));
        assert_linear(piece, 4_000, make, |value| {
            let mut map = HeaderMap::new();
            map.insert("ce-specversion", HeaderValue::from_static("1.0"));
            map.insert("ce-x", HeaderValue::from_bytes(value.as_bytes()).unwrap());
            http::read(&map, Bytes::new())
        });
    }
    for piece in [
        ";",
        " ",
        "a/",
        ";charset",
        ";charset=\"",
        "application/cloudevents;",
    ] {
        let make = |n| format!("text/plain{}", piece.repeat(n));
        assert_linear(piece, 4_000, make, |value| {
            let list = [
                ("content-type", Some(value.as_bytes())),
                ("ce_specversion", Some(b"1.0")),
            ];
            headers::read(list.into_iter(), None)
        });
    }
    let names = |n: usize| (0..n).map(move |at| at * 7919 % n).collect::<Vec<_>>();
    for same in [false, true] {
        let make = |n| {
            let names = names(n).into_iter();
            let line = |at| format!("ce-x{}\n", if same { 0 } else { at });
            names.map(line).collect::<String>()
        };
        assert_linear("many headers over HTTP", 1_000, make, |names| {
            let mut map = HeaderMap::new();
            map.insert("ce-specversion", HeaderValue::from_static("1.0"));
            for name in names.lines() {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                map.append(name, HeaderValue::from_static("v"));
            }
            http::read(&map, Bytes::new())
        });
        assert_linear("many headers of a message", 1_000, make, |names| {
            let names = names.replace('-', "_");
            let list = ["ce_specversion"].into_iter().chain(names.lines());
            headers::read(list.map(|name| (name, Some(&b"1.0"[..]))), None)
        });
    }
}

#[test]
fn other_texts_take_time_by_their_length() {
    let time = |n| format!("2020-03-19T15:31:00.{}Z", "7".repeat(n));
    assert!(Timestamp::parse(&time(100)).is_ok());
    assert_linear("digits of a second", 20_000, time, |text| {
        Timestamp::parse(text)
    });
    for (open, close) in [
        ("[", "]"),
        ("{\"a\":", "}"),
        (" ", ""),
        ("\\\"", ""),
        ("[1,", "]"),
    ] {
        let make = |n| format!("{}1{}", open.repeat(n), close.repeat(n));
        assert_linear(open, 4_000, make, |text| Data::json(text.clone()));
    }
    // What is not known to be JSON is looked at when it is written.
    let make = |n: usize| "\u{1}\"\\é".repeat(n);
    assert_linear("text that is escaped", 4_000, make, |text| {
        let event = Event::builder().id("1").source("/s").ty("t");
        let event = event.data_content_type("text/plain");
        let event = event
            .data(Data::bytes(text.clone().into_bytes()))
            .build()
            .unwrap();
        let mut out = Vec::new();
        json::write(&event, &mut out);
        out
    });
}
