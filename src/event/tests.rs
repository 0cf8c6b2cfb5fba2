use super::*;

fn event() -> Event {
    Event::builder()
        .id("partition:1/offset:2")
        .source("/apis/v1/namespaces/ns/kafkasources/orders#topic")
        .ty("dev.knative.kafka.event")
        .subject("partition:1#2")
        .time(Timestamp::from_unix_millis(1_584_631_860_500))
        .data_content_type("application/json")
        .extension("partitionkey", "Euro € 😀")
        .extension("attempt", 3)
        .data(Data::json(r#"{"n": 12345678901234567890123, "a": 1.10}"#).unwrap())
        .build()
        .unwrap()
}

#[test]
fn json_round_trip() {
    let mut out = Vec::new();
    json::write(&event(), &mut out);
    println!("{}", String::from_utf8_lossy(&out));
    assert_eq!(json::read(&out.into()).unwrap(), event());

    let mut out = Vec::new();
    json::write_batch([&event(), &event()], &mut out);
    assert_eq!(json::read_batch(&out.into()).unwrap(), [event(), event()]);
}

#[test]
fn headers_round_trip() {
    let expected = event().with_extension("attempt", "3").unwrap();
    let mut map = ::http::HeaderMap::new();
    let body = http::write_binary(&event(), &mut map);
    println!("{map:?}");
    assert_eq!(
        http::read(&map, body).unwrap(),
        http::Message::One(expected.clone())
    );

    let (headers, value) = headers::write(&event());
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), Some(value.as_slice())));
    assert_eq!(headers::read(headers, value).unwrap(), Some(expected));
}
