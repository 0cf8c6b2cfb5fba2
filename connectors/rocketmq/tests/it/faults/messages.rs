//! Messages that no producer of ours would send.

use bytes::Bytes;

use super::*;

fn message(id: &str, encoding: i32, body: &'static [u8]) -> pb::Message {
    let system = pb::SystemProperties {
        message_id: id.to_owned(),
        body_encoding: encoding,
        ..Default::default()
    };
    pb::Message {
        body: Bytes::from_static(body),
        system_properties: Some(system),
        ..Default::default()
    }
}

#[tokio::test]
async fn bodies_that_are_not_what_they_say_pass_as_they_are() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    let cases: &[(i32, &'static [u8], Option<&str>)] = &[
        (0, b"plain", None),
        (1, b"\x1f\x8b own archive", None),
        (2, b"\x1f\x8b broken", Some("gzip")),
        (2, b"\x78\x9c broken", Some("deflate")),
        (2, b"\x28\xb5\x2f\xfd zstd", Some("zstd")),
        (2, b"", None),
        (9, b"from the future", None),
        (-3, b"\xff\xfe\x00", None),
    ];
    for (number, (encoding, body, _)) in cases.iter().enumerate() {
        fake.put(0, "t", message(&format!("m{number}"), *encoding, body));
    }
    let received = receive(&consumer, cases.len()).await;
    for (received, (_, body, expected)) in received.iter().zip(cases) {
        assert_eq!(
            (&received.body[..], received.content_encoding),
            (*body, *expected)
        );
    }
}

#[tokio::test]
async fn a_message_without_an_id_keeps_no_other_back() {
    let fake = normal();
    let consumer = consumer(&fake).await;
    fake.put(0, "t", pb::Message::default());
    fake.put(0, "t", message("", 1, b"no id"));
    fake.put(0, "t", message("m", 1, b"good"));
    let received = receive(&consumer, 1).await;
    assert_eq!(bodies(&received), ["good".to_owned()].into());
}

#[tokio::test]
async fn odd_properties_become_events_all_the_same() {
    let fake = normal();
    let mut odd = message("m", 1, b"{");
    odd.user_properties = [("CE_specversion", "7"), ("CE_type", ""), ("a b\n", "\u{0}")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let system = odd.system_properties.as_mut().unwrap();
    system.delivery_attempt = Some(-5);
    system.queue_id = Some(-1);
    system.born_timestamp = Some(prost_types::Timestamp {
        seconds: i64::MIN,
        nanos: -1,
    });
    fake.put(0, "t", odd);
    put(&fake, 0..1);
    let taken = delivering::deliver(&fake, config(&fake), 2).await;
    assert!(taken.iter().any(|(_, body)| body == "0"), "{taken:?}");
    assert_eq!(fake.left("g", "t"), 0);
}
