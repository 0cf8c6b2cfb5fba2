//! What a real server can't be made to do.

use std::{collections::BTreeSet, time::Duration};

use eventlane::{Error, ErrorKind};
use eventlane_rocketmq::{
    Retries, RocketMqConfig, RocketMqQueue,
    client::{Consumer, OutgoingMessage, Producer, ReceivedMessage},
};
use eventlane_testkit::rocketmq::TopicType;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    fake::{Fake, FakeOptions, Fault, Group, Kind, pb},
    support::{SECOND, ack, bodies, body, receive},
};

mod credentials;
mod delivering;
mod failing;
mod handles;
mod messages;
mod sessions;
mod settings;

const LEASE: Duration = Duration::from_millis(1500);

/// A server with one topic, `t`, which the group `g` reads.
fn start(fifo: bool, options: FakeOptions) -> Fake {
    let fake = Fake::start(options);
    let ty = if fifo {
        TopicType::Fifo
    } else {
        TopicType::Normal
    };
    fake.create_topic("t", ty, 1);
    fake.create_group("g", fifo, 16);
    fake
}

fn normal() -> Fake {
    start(false, FakeOptions::default())
}

fn config(fake: &Fake) -> RocketMqConfig {
    RocketMqConfig::new(fake.endpoint(), "g")
        .with_topic("t")
        .with_lease(LEASE)
        .with_wait(SECOND)
        .with_connect_timeout(SECOND)
        .with_request_timeout(SECOND / 2)
}

async fn consumer(fake: &Fake) -> Consumer {
    Consumer::connect(&config(fake)).await.unwrap()
}

fn put(fake: &Fake, numbers: std::ops::Range<u32>) {
    for number in numbers {
        fake.put_text(0, "t", &number.to_string(), None);
    }
}

#[track_caller]
fn assert_line(error: &Error, kind: ErrorKind, part: &str) {
    let line = error.to_string();
    assert_eq!(error.kind(), kind, "{line}");
    assert!(!line.contains('\n') && line.len() < 500, "{line}");
    assert!(line.contains(part), "{part:?}: {line}");
}
