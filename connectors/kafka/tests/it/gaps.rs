//! Offsets that never come: transactions, compaction, and what an earlier run had finished.

use std::time::Duration;

use eventlane::{
    ErrorKind,
    source::{Demand, Receipt, Signal},
};
use eventlane_kafka::{EventConfig, OnInvalid};
use eventlane_testkit::{Kafka, eventually};
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};

use crate::support::{PATIENCE, PLENTY, Reader, config, keep_log, log, offsets, produce, special};

type Sender = ThreadedProducer<DefaultProducerContext>;

#[tokio::test]
async fn transactions_leave_no_trace() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(1);
    let to = topic.clone();
    let mut client = kafka.client();
    // librdkafka blocks.
    tokio::task::spawn_blocking(move || {
        let producer: Sender = client.set("transactional.id", &to).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        for commit in [true, false, true, false] {
            producer.begin_transaction().unwrap();
            for _ in 0..5 {
                let record = BaseRecord::<str, str>::to(&to).payload("x");
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
            producer.flush(PATIENCE).unwrap();
            match commit {
                true => producer.commit_transaction(PATIENCE).unwrap(),
                false => producer.abort_transaction(PATIENCE).unwrap(),
            }
        }
    })
    .await
    .unwrap();
    // Each transaction takes five offsets and one for its marker.
    let end = 24;
    eventually(PATIENCE, "the last marker", || {
        (kafka.end_offsets(&topic) == [end as i64]).then_some(())
    });
    let mut reader = Reader::open(config(kafka, "transactions", &topic)).await;
    let read = reader.read(10).await;
    assert_eq!(offsets(&read), [0, 1, 2, 3, 4, 12, 13, 14, 15, 16]);
    // The end is all markers and aborted records; still it is reached.
    let position = reader
        .wait("the end", |signal| match signal {
            Signal::Advanced(positions) => positions.last().copied(),
            _ => None,
        })
        .await;
    assert_eq!(position.next, end);
    reader
        .settle(
            Receipt {
                seq: end,
                ..read[0].receipt
            },
            &[],
        )
        .await
        .unwrap();
    assert_eq!(kafka.lag("transactions", &topic), 0);
    assert_eq!(reader.source.monitor().lag(), Some(0));
    reader.close().await;
}

#[tokio::test]
async fn compaction_leaves_gaps() {
    let Some(kafka) = special() else { return };
    let properties = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("segment.ms", "100"),
        ("segment.bytes", "1048576"),
        ("min.compaction.lag.ms", "0"),
    ];
    kafka.create_topic("compacted", 1, &properties);
    let producer: Sender = kafka.client().create().unwrap();
    let send = |key: &str| {
        let record = BaseRecord::to("compacted").key(key).payload("x");
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
    };
    for at in 0..20 {
        send(if at % 10 == 0 { "rare" } else { "frequent" });
    }
    // A new segment, so that the one before can be cleaned; and again until it was.
    let mut left = Vec::new();
    for round in 0..60 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        send("frequent");
        let group = format!("compacted-{round}");
        let mut reader = Reader::open(config(kafka, &group, "compacted")).await;
        left = offsets(&reader.read_all().await);
        reader.close().await;
        if left.len() < 21 {
            break;
        }
    }
    assert!(left.len() < 21 && left.contains(&10), "{left:?}");
    assert!(left.windows(2).all(|pair| pair[0] < pair[1]), "{left:?}");
}

#[tokio::test]
async fn what_was_done_beyond_the_offset_is_remembered() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(1);
    produce(kafka, &topic, 0, 0..12);
    let config = config(kafka, "remembered", &topic);
    let mut reader = Reader::open(config.clone()).await;
    let receipt = reader.read(12).await[0].receipt;
    reader
        .settle(Receipt { seq: 2, ..receipt }, &[4..6, 7..8, 10..12])
        .await
        .unwrap();
    reader.close().await;

    let mut reader = Reader::open(config.clone()).await;
    let read = reader.read(3).await;
    assert_eq!(offsets(&read), [2, 3, 6]);
    // The engine has not come far: it does not know of what lies ahead. A second restart still
    // does.
    let receipt = read[0].receipt;
    reader
        .settle(Receipt { seq: 3, ..receipt }, &[])
        .await
        .unwrap();
    reader.close().await;

    let mut reader = Reader::open(config.clone()).await;
    let read = reader.read(4).await;
    assert_eq!(offsets(&read), [3, 6, 8, 9]);
    // What was done at the very end is told as an advance.
    let position = reader
        .wait("the end", |signal| match signal {
            Signal::Advanced(positions) => positions.last().copied(),
            _ => None,
        })
        .await;
    assert_eq!(position.next, 12);
    reader
        .settle(
            Receipt {
                seq: 12,
                ..read[0].receipt
            },
            &[],
        )
        .await
        .unwrap();
    reader.close().await;
    assert_eq!(kafka.committed_metadata("remembered", &topic), [""]);

    let mut reader = Reader::open(config.with_commit_metadata(false)).await;
    assert!(reader.read_all().await.is_empty());
    reader.close().await;
}

#[tokio::test]
async fn a_broker_with_little_room_for_metadata_gets_less() {
    let Some(kafka) = special() else { return };
    let topic = kafka.topic(2);
    produce(kafka, &topic, 0, 0..400);
    produce(kafka, &topic, 1, 0..10);
    let config = config(kafka, "little", &topic);
    let mut reader = Reader::open(config.clone()).await;
    reader.read(410).await;
    let beyond: Vec<_> = (1..200).map(|at| at * 2..at * 2 + 1).collect();
    let (partition, epoch) = reader.partition(0);
    reader
        .settle(
            Receipt {
                partition,
                epoch,
                seq: 1,
            },
            &beyond,
        )
        .await
        .unwrap();
    let (partition, epoch) = reader.partition(1);
    reader
        .settle(
            Receipt {
                partition,
                epoch,
                seq: 10,
            },
            &[],
        )
        .await
        .unwrap();
    reader.close().await;
    assert_eq!(kafka.committed("little", &topic), [Some(1), Some(10)]);
    let kept = kafka.committed_metadata("little", &topic);
    assert!(
        kept[0].starts_with("el1:") && kept[0].len() <= 100,
        "{kept:?}"
    );
    let mut reader = Reader::open(config).await;
    let read = reader.read(3).await;
    assert_eq!(offsets(&read), [1, 3, 5]);
    reader.close().await;
}

#[tokio::test]
async fn metadata_of_others_is_ignored() {
    use rdkafka::{
        Offset, TopicPartitionList,
        consumer::{BaseConsumer, CommitMode, Consumer},
    };
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(1);
    produce(kafka, &topic, 0, 0..5);
    let other: BaseConsumer = kafka.client().set("group.id", "foreign").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(2))
        .unwrap();
    list.find_partition(&topic, 0)
        .unwrap()
        .set_metadata("el1:AwID, or so");
    other.commit(&list, CommitMode::Sync).unwrap();
    drop(other);
    let mut reader = Reader::open(config(kafka, "foreign", &topic)).await;
    assert_eq!(offsets(&reader.read(3).await), [2, 3, 4]);
    reader.close().await;
}

#[tokio::test]
async fn a_topic_made_anew_starts_over() {
    use rdkafka::{
        admin::{AdminClient, AdminOptions},
        client::DefaultClientContext,
    };
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    keep_log();
    kafka.create_topic("anew", 1, &[]);
    produce(kafka, "anew", 0, 0..10);
    let quick =
        config(kafka, "anew", "anew").with_property("topic.metadata.refresh.interval.ms", "500");
    let mut reader = Reader::open(quick).await;
    let read = reader.read(10).await;
    reader
        .settle(
            Receipt {
                seq: 10,
                ..read[0].receipt
            },
            &[],
        )
        .await
        .unwrap();
    let admin: AdminClient<DefaultClientContext> = kafka.client().create().unwrap();
    admin
        .delete_topics(&["anew"], &AdminOptions::new())
        .await
        .unwrap()[0]
        .as_ref()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(1000)).await;
    kafka.create_topic("anew", 1, &[]);
    produce(kafka, "anew", 0, 0..3);
    let read = reader.read(3).await;
    assert_eq!(offsets(&read), [0, 1, 2]);
    let (partition, epoch) = (read[0].receipt.partition, read[0].receipt.epoch);
    assert!(
        reader
            .assigned
            .iter()
            .any(|a| (a.partition, a.epoch) == (partition, epoch)),
        "{}",
        log()
    );
    reader.close().await;
}

#[tokio::test]
async fn what_only_claims_to_be_an_event_can_stop_the_source() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(1);
    produce(kafka, &topic, 0, 0..1);
    let producer: Sender = kafka.client().create().unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "ce_specversion",
            value: Some("1.0"),
        })
        .insert(Header::<&str> {
            key: "null",
            value: None,
        });
    let record = BaseRecord::<str, str>::to(&topic)
        .payload("x")
        .headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
    produce(kafka, &topic, 0, 1..2);

    let wrapped = config(kafka, "wrapped", &topic);
    let mut reader = Reader::open(wrapped.clone()).await;
    assert!(
        reader
            .read(3)
            .await
            .iter()
            .all(|delivery| delivery.invalid.is_none())
    );
    reader.close().await;

    let event = EventConfig::new().with_on_invalid(OnInvalid::Reject);
    let rejected = config(kafka, "rejected", &topic).with_event(event);
    let mut reader = Reader::open(rejected).await;
    let read = reader.read(3).await;
    let invalid: Vec<_> = read
        .iter()
        .map(|delivery| delivery.invalid.is_some())
        .collect();
    assert_eq!(invalid, [false, true, false]);
    reader.close().await;

    let event = EventConfig::new().with_on_invalid(OnInvalid::Stop);
    let mut reader = Reader::open(config(kafka, "stopped", &topic).with_event(event)).await;
    let mut read = Vec::new();
    let error = loop {
        match eventlane::Source::poll(&mut *reader.source, PLENTY).await {
            Ok(Signal::Deliveries(deliveries)) => read.extend(offsets(&deliveries)),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.to_string().contains("offset: 1"), "{error}");
    assert!(read.iter().all(|offset| *offset < 1), "{read:?}");
    reader.signal(Demand::NONE, Duration::ZERO).await;
    reader.close().await;
}
