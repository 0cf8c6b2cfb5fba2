//! The program is killed, and asked to stop, under load.

use std::time::Duration;

use eventlane_testkit::{CheckingSink, sink::Faults, sqs::ElasticMq};
use tokio::time::Instant;

use crate::adapter::{LIMIT, Queue};

const GROUPS: u32 = 40;
const EACH: u32 = 50;
const TOTAL: u64 = (GROUPS * EACH) as u64;

fn faults() -> Faults {
    Faults {
        delay: Duration::from_millis(5)..Duration::from_millis(15),
        ..Faults::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_nothing_and_keeps_the_order_of_groups() {
    let Some(server) = ElasticMq::shared_or_skip() else {
        return;
    };
    let queue = Queue::create(server, "crash", 3).await;
    queue.fill(GROUPS, EACH).await;
    let sink = CheckingSink::start(faults());
    let flags = ["--max-in-flight", "16"];
    for crash in 1..=2 {
        let adapter = queue.adapter(&sink.url(), &flags);
        sink.wait(LIMIT, |seen| seen.distinct >= crash * 500);
        adapter.signal("KILL");
        drop(adapter.wait(LIMIT));
    }
    let flags = ["--max-in-flight", "16", "--until-idle", "5"];
    queue.adapter(&sink.url(), &flags).succeed(LIMIT);
    let seen = sink.report();
    seen.assert_in_order(2);
    assert_eq!(seen.distinct, TOTAL, "{seen:#?}");
    // What was in flight, and what was delivered and waited to be deleted.
    assert!(seen.duplicates <= 2 * (16 + 64), "{seen:#?}");
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_gives_back_at_once_what_is_in_hand() {
    let Some(server) = ElasticMq::shared_or_skip() else {
        return;
    };
    // What is not given back would be missed for long.
    let queue = Queue::create(server, "stop", 600).await;
    queue.fill(GROUPS, EACH).await;
    let sink = CheckingSink::start(faults());
    let first = queue.adapter(&sink.url(), &["--max-in-flight", "8"]);
    sink.wait(LIMIT, |seen| seen.distinct >= 500);
    first.signal("TERM");
    let asked = Instant::now();
    let second = queue.adapter(&sink.url(), &["--until-idle", "3"]);
    first.succeed(LIMIT);
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
    second.succeed(LIMIT);
    sink.report().assert_exactly(TOTAL);
    assert_eq!(queue.counts().await, (0, 0));
}
