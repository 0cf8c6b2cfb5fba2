//! A broker, and a proxy that is another process.

use std::sync::OnceLock;

use eventlane_testkit::rocketmq::{Options, RocketMq, TopicType};

use crate::{crash, handover, leases, load};

/// What these tests share. The end of the process ends it.
fn shared() -> Option<&'static RocketMq> {
    static SHARED: OnceLock<Option<RocketMq>> = OnceLock::new();
    let options = Options {
        cluster: true,
        short: true,
        ..Options::default()
    };
    let start = || RocketMq::start_or_skip(options);
    SHARED.get_or_init(start).as_ref()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_arrives() {
    if let Some(broker) = shared() {
        load::all_arrives(broker, TopicType::Fifo, 100, 50).await;
        load::all_arrives(broker, TopicType::Normal, 100, 50).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_is_killed() {
    if let Some(broker) = shared() {
        crash::one_of_two_is_killed(broker, TopicType::Fifo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_is_stopped() {
    if let Some(broker) = shared() {
        handover::one_of_two_is_stopped(broker, TopicType::Normal).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_outlast_leases() {
    if let Some(broker) = shared() {
        leases::deliveries_outlast_leases(broker, 3).await;
    }
}
