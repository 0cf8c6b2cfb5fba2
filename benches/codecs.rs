//! Cost of the event codecs for a JSON payload of 1 KiB, beside the Rust SDK's.
//!
//! `cargo bench --bench codecs`; with `-- --quick` in seconds.

#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use eventlane::event::{Data, Event, Str, Timestamp, headers, http, json};

const SOURCE: &str = "/apis/v1/namespaces/shop/kafkasources/orders#orders";
const TYPE: &str = "dev.knative.kafka.event";
const TIME: i64 = 1_760_000_000_123;

fn payload() -> Bytes {
    let mut items = String::new();
    for at in 0..12 {
        items.push_str(&format!(
            r#"{{"sku":"A-{at:05}","title":"a thing to buy","amount":{at},"price":1{at}.50}},"#
        ));
    }
    let head = r#"{"order":12345678901234567890,"customer":"c-4711","items":["#;
    let mut text = format!("{head}{}]", items.trim_end_matches(','));
    text.push_str(&format!(
        r#","note":"{}"}}"#,
        "x".repeat(1012 - text.len() - 11)
    ));
    assert_eq!(text.len(), 1012);
    text.into()
}

/// What a Kafka record becomes.
fn build(source: &Str, data: Data) -> Event {
    Event::builder()
        .id("partition:3/offset:1234567")
        .source(source.clone())
        .ty(Str::new_static(TYPE))
        .subject("partition:3#1234567")
        .time(Timestamp::from_unix_millis(TIME))
        .data_content_type(Str::new_static("application/json"))
        .extension(Str::new_static("partitionkey"), "customer-4711")
        .extension(Str::new_static("kafkatopic"), "orders")
        .extension(Str::new_static("tenant"), "shop-7")
        .data(data)
        .build()
        .unwrap()
}

fn eventlane(c: &mut Criterion) {
    let mut group = c.benchmark_group("eventlane");
    group.throughput(Throughput::Elements(1));
    let payload = payload();
    let source = Str::new(SOURCE);
    let known = build(&source, Data::json(payload.clone()).unwrap());
    let binary = Event::builder()
        .id(known.id())
        .source(known.source())
        .ty(known.ty())
        .data_content_type("application/octet-stream")
        .data(payload.clone())
        .build()
        .unwrap();

    group.bench_function("build", |b| {
        b.iter(|| build(black_box(&source), Data::bytes(payload.clone())));
    });
    group.bench_function("write http binary", |b| {
        b.iter(|| {
            let mut headers = ::http::HeaderMap::new();
            let body = http::write_binary(black_box(&known), &mut headers);
            (headers, body)
        });
    });
    group.bench_function("write ce_ headers", |b| {
        b.iter(|| headers::write(black_box(&known)))
    });
    let mut out = Vec::with_capacity(4096);
    group.bench_function("write json, spliced", |b| {
        b.iter(|| {
            out.clear();
            json::write(black_box(&known), &mut out);
        });
    });
    group.bench_function("build, write json, validated", |b| {
        b.iter(|| {
            out.clear();
            json::write(&build(&source, Data::bytes(payload.clone())), &mut out);
        });
    });
    group.bench_function("write json, base64", |b| {
        b.iter(|| {
            out.clear();
            json::write(black_box(&binary), &mut out);
        });
    });
    out.clear();
    json::write(&known, &mut out);
    let document = Bytes::from(out.clone());
    group.bench_function("read json", |b| b.iter(|| json::read(black_box(&document))));
    let mut map = ::http::HeaderMap::new();
    let body = http::write_binary(&known, &mut map);
    group.bench_function("read http binary", |b| {
        b.iter(|| http::read(black_box(&map), body.clone()));
    });
    let (list, value) = headers::write(&known);
    group.bench_function("read ce_ headers", |b| {
        b.iter(|| {
            let list = list
                .iter()
                .map(|(name, value)| (name.as_str(), Some(value.as_slice())));
            headers::read(list, value.clone())
        });
    });
    group.bench_function("size", |b| b.iter(|| black_box(&known).size()));

    group.throughput(Throughput::Elements(100));
    let batch = vec![known; 100];
    group.bench_function("write batch of 100, spliced", |b| {
        b.iter(|| {
            out.clear();
            json::write_batch(black_box(&batch), &mut out);
        });
    });
    out.clear();
    json::write_batch(&batch, &mut out);
    let document = Bytes::from(out.clone());
    group.bench_function("read batch of 100", |b| {
        b.iter(|| json::read_batch(&document))
    });
    group.finish();
}

fn sdk_event(data: cloudevents::Data) -> cloudevents::Event {
    use cloudevents::EventBuilder as _;
    cloudevents::EventBuilderV10::new()
        .id("partition:3/offset:1234567")
        .source(SOURCE)
        .ty(TYPE)
        .subject("partition:3#1234567")
        .time(chrono::DateTime::from_timestamp_millis(TIME).unwrap())
        .extension("partitionkey", "customer-4711")
        .extension("kafkatopic", "orders")
        .extension("tenant", "shop-7")
        .data("application/json", data)
        .build()
        .unwrap()
}

fn sdk(c: &mut Criterion) {
    let mut group = c.benchmark_group("cloudevents-sdk");
    group.throughput(Throughput::Elements(1));
    let payload = payload();
    let binary = || cloudevents::Data::Binary(payload.to_vec());
    let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    let event = sdk_event(cloudevents::Data::Json(value));

    group.bench_function("build", |b| b.iter(|| sdk_event(binary())));
    group.bench_function("write http binary", |b| {
        b.iter(|| {
            cloudevents::binding::http::builder::adapter::to_response(sdk_event(binary())).unwrap()
        });
    });
    let mut out = Vec::with_capacity(4096);
    group.bench_function("write json, parsed", |b| {
        b.iter(|| {
            out.clear();
            serde_json::to_writer(&mut out, black_box(&event)).unwrap();
        });
    });
    let document = serde_json::to_vec(&event).unwrap();
    group.bench_function("read json", |b| {
        b.iter(|| serde_json::from_slice::<cloudevents::Event>(black_box(&document)).unwrap());
    });
    group.finish();
}

criterion_group!(codecs, eventlane, sdk);
criterion_main!(codecs);
