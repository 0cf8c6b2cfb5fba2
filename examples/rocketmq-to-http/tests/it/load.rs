//! Everything arrives, once and in order, through jitter and failures.

use std::time::Duration;

use eventlane_testkit::{
    CheckingSink,
    rocketmq::{RocketMq, TopicType},
    sink::Faults,
};
use tokio::time::Instant;

use crate::topic::Topic;

/// `each` messages of each of `keys` keys.
pub(crate) async fn all_arrives(broker: &RocketMq, ty: TopicType, keys: u64, each: u64) {
    let topic = Topic::create(broker, ty).await;
    let began = Instant::now();
    topic.fill(keys, each).await;
    let filled = began.elapsed();
    let sink = CheckingSink::start(Faults {
        delay: Duration::ZERO..Duration::from_millis(20),
        fail_first: 0.05,
        ..Faults::default()
    });

    let began = Instant::now();
    let adapter = topic.adapter(&sink.url(), &["--max-in-flight", "256"]);
    let total = keys * each;
    sink.wait(Duration::from_secs(300), |seen| seen.distinct == total);
    let carried = began.elapsed();
    let report = adapter.stop();

    println!("{ty:?}: {total} sent in {filled:.1?}, carried in {carried:.1?}: {report:?}");
    let seen = sink.report();
    if topic.is_fifo() {
        seen.assert_exactly(total);
    }
    assert_eq!((seen.duplicates, seen.invalid), (0, 0), "{seen:#?}");
    let failed = total / 25..total / 16;
    assert!(failed.contains(&seen.status(503)), "{seen:#?}");
    assert_eq!(
        (report.received, report.delivered, report.retried),
        (total, total, seen.status(503)),
        "{report:?}"
    );
    assert_eq!((report.unsettled, report.unconfirmed), (0, 0), "{report:?}");
    topic.assert_no_dead_letters().await;
}
