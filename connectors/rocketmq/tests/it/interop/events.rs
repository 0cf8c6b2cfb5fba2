//! CloudEvents, both ways.

use std::collections::BTreeMap;

use eventlane::{Event, event::json};
use eventlane_rocketmq::client::OutgoingMessage;
use eventlane_testkit::rocketmq::{RocketMq, TopicType};
use serde_json::{Value, json};

use super::{
    Taken,
    messages::namesrv,
    official::{Language, Official},
};
use crate::support::Topic;

fn samples() -> Vec<Value> {
    let event = |id: &str, rest: Value| {
        let mut event = json!({
            "specversion": "1.0", "id": id, "source": "/orders?all=true", "type": "com.example.order",
            "time": "2026-01-02T03:04:05.678901Z",
        });
        let members = rest.as_object().unwrap().clone();
        event.as_object_mut().unwrap().extend(members);
        event
    };
    vec![
        event(
            "all",
            json!({
                "subject": "order 7 ü 字", "dataschema": "https://example.com/order.json",
                "datacontenttype": "application/json", "data": { "n": 7 },
                "region": "eu", "partitionkey": "c1",
            }),
        ),
        event(
            "text",
            json!({
                "datacontenttype": "text/plain", "data": "a word", "partitionkey": "c2",
            }),
        ),
        event(
            "bytes",
            json!({
                "datacontenttype": "application/octet-stream", "data_base64": "AP/+gHg=",
                "partitionkey": "c1",
            }),
        ),
        event("nothing", json!({ "subject": "s", "partitionkey": "c1" })),
    ]
}

/// All of an event, without what the JSON format and the binary mode know of types that the other
/// does not.
fn parts(event: &Event) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            parts.insert(name.to_owned(), value);
        }
    };
    let owned = |text: &str| text.to_owned();
    put("id", Some(event.id().to_owned()));
    put("source", Some(event.source().to_owned()));
    put("type", Some(event.ty().to_owned()));
    put("subject", event.subject().map(owned));
    put("time", event.time().map(|time| time.as_str().into_owned()));
    put("dataschema", event.data_schema().map(owned));
    put("datacontenttype", event.data_content_type().map(owned));
    for (name, value) in event.extensions() {
        put(name, Some(value.as_str().into_owned()));
    }
    let data = event.data().map(|data| {
        // White space between its tokens is nothing that JSON would keep.
        match serde_json::from_slice::<Value>(data.as_bytes()) {
            Ok(document) => document.to_string(),
            Err(_) => format!("{:?}", data.as_bytes()),
        }
    });
    put("data", data);
    parts
}

fn read(event: &Value) -> Event {
    json::read(&event.to_string().into()).unwrap()
}

/// By their ids.
fn all_parts<'a>(
    events: impl IntoIterator<Item = &'a Event>,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let events = events.into_iter();
    events
        .map(|event| (event.id().to_owned(), parts(event)))
        .collect()
}

/// What is sent as an event is that event again, but for what a writer leaves out of the binary
/// mode.
async fn come_through(language: Language, older: bool, left_out: &[&str]) {
    let Some(broker) = RocketMq::shared_short_or_skip() else {
        return;
    };
    let mut official = Official::start(language, broker).await;
    let ty = match language {
        // Its binding to Kafka makes a key of the partition key, which is a message group here.
        Language::Python => TopicType::Fifo,
        Language::Java => TopicType::Normal,
    };
    let binary = Topic::create(broker, ty, 2, 16).await;
    let structured = Topic::create(broker, ty, 2, 16).await;
    for (topic, mode) in [(&binary, "binary"), (&structured, "structured")] {
        let mut command = json!({
            "do": "send-events", "topic": topic.name, "mode": mode, "events": samples(),
        });
        if older {
            command["namesrv"] = namesrv(broker).into();
        }
        official.call(command).await;
    }
    let sent: Vec<_> = samples().iter().map(read).collect();
    let (binary, structured) = tokio::join!(
        Taken::from_source(binary.config(), sent.len()),
        Taken::from_source(structured.config(), sent.len()),
    );
    let mut expected = all_parts(&sent);
    assert_eq!(all_parts(&structured), expected);
    for event in expected.values_mut() {
        event.retain(|name, _| !left_out.contains(&&**name));
    }
    assert_eq!(all_parts(&binary), expected);
}

/// The CloudEvents SDK writes extensions without the prefix that it reads them with.
#[tokio::test]
async fn those_of_the_java_sdk_come_through() {
    come_through(Language::Java, false, &["region", "partitionkey"]).await;
}

#[tokio::test]
async fn those_of_the_apache_binding_come_through() {
    come_through(Language::Java, true, &[]).await;
}

#[tokio::test]
async fn those_of_the_python_sdk_come_through() {
    come_through(Language::Python, false, &[]).await;
}

#[tokio::test]
async fn the_sdks_read_ours() {
    let Some(broker) = RocketMq::shared_short_or_skip() else {
        return;
    };
    let topic = Topic::create(broker, TopicType::Fifo, 2, 16).await;
    let sent: Vec<_> = samples().iter().map(read).collect();
    for event in &sent {
        topic.send(OutgoingMessage::from(event)).await;
    }
    for (language, group) in [(Language::Java, "java"), (Language::Python, "python")] {
        let group = format!("{}-{group}", topic.group);
        broker.create_group(&group, true, 16);
        let mut official = Official::start(language, broker).await;
        let command = json!({
            "do": "receive-events", "topic": topic.name, "group": group, "count": sent.len(),
        });
        let answer = official.call(command).await;
        let events = answer["events"].as_array().unwrap().iter();
        let events: Vec<_> = events.map(read).collect();
        assert_eq!(all_parts(&events), all_parts(&sent), "{language:?}");
    }
}
