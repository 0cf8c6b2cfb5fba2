//! A broker whose process is the proxy, too.

use std::fs;

use eventlane_testkit::{
    CheckingSink,
    rocketmq::{RocketMq, TopicType},
    sink::{Answer, Faults},
};

use crate::{adapter::LIMIT, crash, handover, leases, load, topic::Topic};

const KEYS: u64 = 500;

/// 50,000 messages a topic; `EVENTLANE_LOAD` is another number.
fn each() -> u64 {
    let total = std::env::var("EVENTLANE_LOAD").ok();
    let total = total.map_or(50_000, |it| it.parse().expect("EVENTLANE_LOAD is a number"));
    total / KEYS
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_messages_in_order_through_jitter_and_failures() {
    if let Some(broker) = RocketMq::shared_or_skip() {
        load::all_arrives(broker, TopicType::Fifo, KEYS, each()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_messages_through_jitter_and_failures() {
    if let Some(broker) = RocketMq::shared_or_skip() {
        load::all_arrives(broker, TopicType::Normal, KEYS, each()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_is_killed() {
    if let Some(broker) = RocketMq::shared_or_skip() {
        crash::one_of_two_is_killed(broker, TopicType::Normal).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_is_killed_in_order() {
    if let Some(broker) = RocketMq::shared_or_skip() {
        crash::one_of_two_is_killed(broker, TopicType::Fifo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_is_stopped() {
    if let Some(broker) = RocketMq::shared_or_skip() {
        handover::one_of_two_is_stopped(broker, TopicType::Normal).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_is_stopped_in_order() {
    if let Some(broker) = RocketMq::shared_or_skip() {
        handover::one_of_two_is_stopped(broker, TopicType::Fifo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_outlast_leases() {
    if let Some(broker) = RocketMq::shared_or_skip() {
        leases::deliveries_outlast_leases(broker, 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poisoned_messages_become_dead_letters_of_ours() {
    let Some(broker) = RocketMq::shared_or_skip() else {
        return;
    };
    let topic = Topic::create(broker, TopicType::Fifo).await;
    let (keys, each) = (40, 25);
    topic.fill(keys, each).await;
    let poison = [
        ("k3".to_owned(), Answer::Status(400)),
        ("k5".to_owned(), Answer::Status(503)),
    ];
    let sink = CheckingSink::start(Faults {
        keys: poison.into(),
        ..Faults::default()
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("letters");
    let file = format!("file:{}", path.display());
    let flags = ["--dead-letter", &file, "--retry-attempts", "3"];
    let adapter = topic.adapter(&sink.url(), &flags);
    let letters = || fs::read_to_string(&path).unwrap_or_default();
    sink.wait(LIMIT, |seen| seen.distinct == (keys - 2) * each);
    eventlane_testkit::eventually(LIMIT, "all dead letters", || {
        (letters().lines().count() as u64 == 2 * each).then_some(())
    });
    let report = adapter.stop();
    assert_eq!(
        (report.dead_lettered, report.unsettled, report.unconfirmed),
        (2 * each, 0, 0),
        "{report:?}"
    );
    sink.report().assert_exactly((keys - 2) * each);
    let letters = letters();
    let of = |key: &str| {
        let mark = format!(r#""partitionkey":"{key}""#);
        letters.lines().filter(|line| line.contains(&mark)).count() as u64
    };
    assert_eq!((of("k3"), of("k5")), (each, each), "{letters}");
    topic.assert_no_dead_letters().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poisoned_messages_become_dead_letters_of_the_broker() {
    let Some(broker) = RocketMq::shared_or_skip() else {
        return;
    };
    let topic = Topic::create(broker, TopicType::Fifo).await;
    let (keys, each) = (20, 10);
    topic.fill(keys, each).await;
    let sink = CheckingSink::start(Faults {
        keys: [("k3".to_owned(), Answer::Status(400))].into(),
        ..Faults::default()
    });
    let flags = ["--dead-letter", "broker"];
    let adapter = topic.adapter(&sink.url(), &flags);
    sink.wait(LIMIT, |seen| seen.distinct == (keys - 1) * each);
    let letters = topic.dead_letters(usize::try_from(each).unwrap()).await;
    assert!(letters.iter().all(|key| key == "k3"), "{letters:?}");
    let report = adapter.stop();
    assert_eq!(
        (report.dead_lettered, report.unsettled, report.unconfirmed),
        (each, 0, 0),
        "{report:?}"
    );
    sink.report().assert_exactly((keys - 1) * each);
}
