//! A delivery takes longer than its lease.

use std::time::Duration;

use eventlane_testkit::{
    CheckingSink,
    rocketmq::{RocketMq, TopicType},
    sink::{Answer, Faults},
};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::{adapter::LIMIT, topic::Topic};

/// It is not repeated while it runs, and its acknowledgement holds.
pub(crate) async fn deliveries_outlast_leases(broker: &RocketMq, lease: u64) {
    let topics = [
        Topic::create(broker, TopicType::Normal).await,
        Topic::create(broker, TopicType::Fifo).await,
    ];
    let (keys, slow) = (40, Answer::Slow(Duration::from_secs(2 * lease + 3)));
    let runs = topics.each_ref().map(async |topic| {
        topic.fill(keys, 1).await;
        let sink = CheckingSink::start(Faults {
            keys: (0..keys)
                .step_by(7)
                .map(|key| (format!("k{key}"), slow.clone()))
                .collect(),
            ..Faults::default()
        });
        let lease_seconds = lease.to_string();
        let adapter = topic.adapter(&sink.url(), &["--lease", &lease_seconds]);
        sink.reached(|seen| seen.distinct == keys).await;
        // What was acknowledged in vain would come again.
        sleep(Duration::from_secs(lease + 4)).await;
        let report = tokio::task::spawn_blocking(|| adapter.stop())
            .await
            .unwrap();
        sink.report().assert_exactly(keys);
        assert_eq!(
            (report.received, report.delivered),
            (keys, keys),
            "{report:?}"
        );
    });
    timeout(LIMIT, join_all(runs)).await.expect("all of them");
}
