//! Messages that are no events, both ways.

use std::{collections::BTreeMap, time::Duration};

use eventlane::{Event, event::Timestamp};
use eventlane_rocketmq::{
    Subscription,
    client::{Consumer, OutgoingMessage, ReceivedMessage},
};
use eventlane_testkit::rocketmq::{RocketMq, TopicType};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Taken,
    official::{Language, Official, decode, encode, strings},
};
use crate::support::{SECOND, Topic, ack, receive};

/// A message, as it is sent by one and received by the other.
#[derive(Clone, Debug)]
struct Sample {
    body: Vec<u8>,
    media_type: &'static str,
    tag: Option<&'static str>,
    keys: &'static [&'static str],
    properties: &'static [(&'static str, &'static str)],
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

fn sample(body: impl Into<Vec<u8>>, media_type: &'static str) -> Sample {
    Sample {
        body: body.into(),
        media_type,
        tag: None,
        keys: &[],
        properties: &[],
    }
}

/// More than a page, of which compression leaves little.
fn long_text() -> String {
    "what is said twice takes little room. ".repeat(500)
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut encoder, data).unwrap();
    encoder.finish().unwrap()
}

fn samples() -> Vec<Sample> {
    vec![
        sample("hello", TEXT),
        Sample {
            tag: Some("paid"),
            keys: &["k1", "k2"],
            properties: &[("region", "eu"), ("odd", "a=b ü 字")],
            ..sample(r#"{"n":1}"#, JSON)
        },
        sample(vec![0x00, 0xff, 0xfe, 0x80, b'x'], BYTES),
        sample(long_text(), TEXT),
        // An archive is what was sent, not how.
        sample(gzip(b"an archive"), BYTES),
        sample(
            (0..1 << 20)
                .map(|at| ((at * 31) >> 3) as u8)
                .collect::<Vec<_>>(),
            BYTES,
        ),
    ]
}

impl Sample {
    fn to_json(&self) -> Value {
        let properties: BTreeMap<_, _> = self.properties.iter().copied().collect();
        json!({
            "body": encode(&self.body), "tag": self.tag, "keys": self.keys,
            "group": null, "properties": properties,
        })
    }

    fn to_outgoing(&self) -> OutgoingMessage {
        let mut message = OutgoingMessage::new(self.body.clone());
        if let Some(tag) = self.tag {
            message = message.with_tag(tag);
        }
        for key in self.keys {
            message = message.with_key(*key);
        }
        for (name, value) in self.properties {
            message = message.with_property(*name, *value);
        }
        message
    }

    /// That it is this one, and has nothing else.
    fn check(&self, event: &Event, topic: &str, id: &str) {
        assert_eq!(event.id(), id);
        assert_eq!(event.source(), format!("rocketmq://127.0.0.1/{topic}"));
        assert_eq!(event.ty(), "org.apache.rocketmq.message");
        assert_eq!(event.subject(), self.tag);
        assert_eq!(event.data_content_type(), Some(self.media_type));
        assert!(*event.data().unwrap().as_bytes() == self.body, "{event:?}");
        let (time, now) = (event.time().unwrap(), Timestamp::now());
        let age = now.unix_millis() - time.unix_millis();
        assert!((0..60_000).contains(&age), "{time}, now {now}");
        let mut extensions = extensions(event);
        assert!(extensions.remove("rocketmqbornhost").is_some());
        let mut expected = BTreeMap::from([("rocketmqtopic".to_owned(), topic.to_owned())]);
        let mut expect = |name: &str, value: String| drop(expected.insert(name.to_owned(), value));
        if let Some(tag) = self.tag {
            expect("rocketmqtag", tag.to_owned());
        }
        if !self.keys.is_empty() {
            expect("rocketmqkeys", self.keys.join(" "));
        }
        for (name, value) in self.properties {
            expect(&format!("rocketmqprop{name}"), (*value).to_owned());
        }
        // Python's client keeps keys in a set.
        if let Some(keys) = extensions.get_mut("rocketmqkeys") {
            let mut sorted: Vec<_> = keys.split(' ').collect();
            sorted.sort_unstable();
            *keys = sorted.join(" ");
        }
        assert_eq!(extensions, expected);
    }
}

fn extensions(event: &Event) -> BTreeMap<String, String> {
    let all = event.extensions();
    all.map(|(name, value)| (name.to_owned(), value.as_str().into_owned()))
        .collect()
}

fn find<'a>(events: &'a [Event], id: &str) -> &'a Event {
    events
        .iter()
        .find(|event| event.id() == id)
        .unwrap_or_else(|| panic!("{id} is missing"))
}

/// What is sent by one of RocketMQ's clients is the event that [`convert`](eventlane_rocketmq::convert) says.
async fn become_events(language: Language) {
    let Some(broker) = RocketMq::shared_short_or_skip() else {
        return;
    };
    let mut official = Official::start(language, broker).await;
    let normal = Topic::create(broker, TopicType::Normal, 4, 16).await;
    let delay = Topic::create(broker, TopicType::Delay, 1, 16).await;
    let fifo = Topic::create(broker, TopicType::Fifo, 4, 16).await;
    let samples = samples();
    let messages: Vec<_> = samples.iter().map(Sample::to_json).collect();
    let began = Instant::now();
    let later = json!({ "body": encode(b"later"), "delay": 3000 });
    let later = official.send(&delay.name, &[later]).await;
    let ids = official.send(&normal.name, &messages).await;
    let numbers = (0..40).map(|number| {
        let group = format!("g{}", number % 8);
        json!({ "body": encode(number.to_string().as_bytes()), "group": group })
    });
    official
        .send(&fifo.name, &numbers.collect::<Vec<_>>())
        .await;

    let config = normal.config().with_topic(delay.name.as_str());
    let tags = Subscription::new(&normal.name).with_tags("paid || lost");
    let mut tagged = normal.config_for(tags);
    tagged.group = format!("{}-paid", normal.group);
    broker.create_group(&tagged.group, false, 16);
    let (events, ordered, tagged) = tokio::join!(
        Taken::from_source(config, samples.len() + 1),
        Taken::from_source(fifo.config(), 40),
        Taken::from_source(tagged, 1),
    );
    assert!(began.elapsed() > 2 * SECOND, "{:?}", began.elapsed());
    sample("later", TEXT).check(find(&events, &later[0]), &delay.name, &later[0]);
    for (sample, id) in samples.iter().zip(&ids) {
        sample.check(find(&events, id), &normal.name, id);
    }
    let mut groups: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for event in &ordered {
        let group = extensions(event).remove("partitionkey").unwrap();
        let text = std::str::from_utf8(event.data().unwrap().as_bytes()).unwrap();
        groups.entry(group).or_default().push(text.parse().unwrap());
    }
    assert_eq!(groups.len(), 8);
    for (group, numbers) in groups {
        let first: u32 = group[1..].parse().unwrap();
        assert_eq!(numbers, [0, 8, 16, 24, 32].map(|it| first + it), "{group}");
    }

    samples[1].check(&tagged[0], &normal.name, &ids[1]);
}

#[tokio::test]
async fn what_java_sends_becomes_events() {
    become_events(Language::Java).await;
}

#[tokio::test]
async fn what_python_sends_becomes_events() {
    become_events(Language::Python).await;
}

/// What is sent here, and what is made a dead letter here, is what was sent to RocketMQ's clients.
async fn reads_what_is_sent(language: Language) {
    let Some(broker) = RocketMq::shared_short_or_skip() else {
        return;
    };
    let mut official = Official::start(language, broker).await;
    let normal = Topic::create(broker, TopicType::Normal, 4, 16).await;
    let fifo = Topic::create(broker, TopicType::Fifo, 1, 16).await;
    let delay = Topic::create(broker, TopicType::Delay, 1, 16).await;
    let mut expected = BTreeMap::new();
    for sample in samples() {
        let id = normal.send(sample.to_outgoing()).await;
        expected.insert(id, sample.to_json());
    }
    let received = official
        .receive(&normal.name, &normal.group, expected.len())
        .await;
    let mut got = BTreeMap::new();
    for mut message in received {
        let message_map = message.as_object_mut().unwrap();
        let Some(Value::String(id)) = message_map.remove("id") else {
            panic!("no id")
        };
        assert_eq!(message_map.remove("attempt"), Some(json!(1)));
        // Python's client compares the digest.
        assert!(
            !message_map
                .remove("corrupted")
                .is_some_and(|it| it != false)
        );
        got.insert(id, message);
    }
    assert!(got == expected, "{:?}", got.keys());

    let began = Instant::now();
    let later = OutgoingMessage::new("later").with_delay(2 * SECOND);
    delay.send(later).await;
    for number in 0..10_u32 {
        let message = OutgoingMessage::new(number.to_string()).with_property("n", "1");
        fifo.send(message.with_group("g")).await;
    }
    let ordered = official.receive(&fifo.name, &fifo.group, 10).await;
    for (number, message) in ordered.iter().enumerate() {
        assert_eq!(decode(&message["body"]), number.to_string().as_bytes());
        assert_eq!(message["group"], "g");
    }
    official.receive(&delay.name, &delay.group, 1).await;
    let took = began.elapsed();
    assert!(took > SECOND, "{took:?}");

    let consumer = consumer_of(&normal, "-ours").await;
    let messages = receive(&consumer, expected.len()).await;
    for message in &messages {
        // Local mode's handle would be another message's after this.
        let lease = Duration::from_secs(20);
        let handle = consumer.change_invisible(&message.handle, lease, false);
        consumer.dead_letter(&handle.await.unwrap()).await.unwrap();
    }
    let letters = dead_letters(&mut official, &normal, "-ours", expected.len()).await;
    for letter in letters {
        let sent = &expected[letter["id"].as_str().unwrap()];
        for name in ["body", "tag", "keys"] {
            assert!(letter[name] == sent[name], "{name}: {letter}");
        }
        for (name, value) in sent["properties"].as_object().unwrap() {
            assert_eq!(&letter["properties"][name], value, "{name}");
        }
    }
}

#[tokio::test]
async fn java_reads_what_is_sent() {
    reads_what_is_sent(Language::Java).await;
}

#[tokio::test]
async fn python_reads_what_is_sent() {
    reads_what_is_sent(Language::Python).await;
}

/// Of a group of its own.
async fn consumer_of(topic: &Topic, suffix: &str) -> Consumer {
    let mut config = topic.config();
    config.group = format!("{}{suffix}", topic.group);
    topic.server.create_group(&config.group, false, 16);
    Consumer::connect(&config).await.unwrap()
}

/// The dead letters of that group.
async fn dead_letters(
    official: &mut Official,
    topic: &Topic,
    suffix: &str,
    count: usize,
) -> Vec<Value> {
    let group = format!("{}{suffix}", topic.group);
    let reader = format!("{group}-dead");
    topic.server.create_group(&reader, false, 16);
    let command = json!({
        "do": "receive", "topic": format!("%DLQ%{group}"), "group": reader, "count": count,
    });
    let start = Instant::now();
    // The topic comes into being with its first message.
    loop {
        match official.try_call(&command).await {
            Ok(answer) => break answer["messages"].as_array().unwrap().clone(),
            Err(error) => assert!(start.elapsed() < 20 * SECOND, "{error}"),
        }
        sleep(SECOND / 2).await;
    }
}

/// The clients of gRPC compress nothing; that of RocketMQ 4 does, from 4 KiB on.
#[tokio::test]
async fn bodies_that_older_clients_compress_are_read() {
    let Some(broker) = RocketMq::shared_short_or_skip() else {
        return;
    };
    let mut official = Official::start(Language::Java, broker).await;
    let topic = Topic::create(broker, TopicType::Normal, 1, 16).await;
    let text = long_text();
    let consumer = consumer_of(&topic, "-ours").await;
    let unpacked = [("zlib", None), ("lz4", Some("lz4")), ("zstd", Some("zstd"))];
    for (compression, left) in unpacked {
        let command = json!({
            "do": "send", "topic": topic.name, "namesrv": namesrv(broker),
            "compression": compression,
            "messages": [{
                "body": encode(text.as_bytes()), "tag": "packed", "keys": ["k1", "k2"],
                "properties": { "region": "eu" },
            }],
        });
        let ids = strings(&official.call(command).await["sent"]);
        let [message]: [ReceivedMessage; 1] = receive(&consumer, 1).await.try_into().unwrap();
        assert_eq!(message.id, ids[0]);
        assert_eq!(message.tag.as_deref(), Some("packed"));
        assert_eq!(message.keys, ["k1", "k2"]);
        assert_eq!(message.properties["region"], "eu");
        assert_eq!(message.content_encoding, left, "{compression}");
        match left {
            None => assert_eq!(message.body, text),
            Some(_) => assert!(message.body.len() < text.len() / 4),
        }
        match left {
            // As it was sent, still compressed.
            None => consumer.dead_letter(&message.handle).await.unwrap(),
            Some(_) => ack(&consumer, &[message]).await,
        }
    }
    let letters = dead_letters(&mut official, &topic, "-ours", 1).await;
    assert_eq!(decode(&letters[0]["body"]), text.as_bytes());
    // The same by way of the source.
    let events = Taken::from_source(topic.config(), 3).await;
    for event in events {
        let encoding = extensions(&event).remove("datacontentencoding");
        let is_whole = *event.data().unwrap().as_bytes() == text;
        assert_eq!(is_whole, encoding.is_none(), "{encoding:?}");
    }
}

/// Where clients of RocketMQ 4 begin.
pub(super) fn namesrv(broker: &RocketMq) -> String {
    let (host, port) = broker.endpoint().rsplit_once(':').unwrap();
    format!("{host}:{}", port.parse::<u16>().unwrap() + 2)
}
