//! Of two programs that share a group, one is killed.

use std::time::Duration;

use eventlane_testkit::{
    eventually,
    rocketmq::{RocketMq, TopicType},
    sink::{Faults, Record},
};
use tokio::time::Instant;

use crate::{
    adapter::LIMIT,
    pair::Pair,
    topic::{BATCH, QUEUES, Topic},
};

const IN_FLIGHT: u64 = 32;
const LEASE: Duration = Duration::from_secs(10);

/// The other gets what the first one had when its leases have ended, in order; and little more than
/// what was in flight comes twice.
pub(crate) async fn one_of_two_is_killed(broker: &RocketMq, ty: TopicType) {
    let topic = Topic::create(broker, ty).await;
    let (keys, each) = (200, 30);
    topic.fill(keys, each).await;
    let sinks = Pair::start(&Faults {
        delay: Duration::from_millis(5)..Duration::from_millis(60),
        ..Faults::default()
    });
    let in_flight = IN_FLIGHT.to_string();
    let flags = ["--max-in-flight", &in_flight, "--lease", "10"];
    let first = topic.adapter(&sinks.first.url(), &flags);
    let second = topic.adapter(&sinks.second.url(), &flags);
    sinks.second.wait(LIMIT, |seen| seen.distinct > 500);
    sinks.first.wait(LIMIT, |seen| {
        seen.distinct > 500 && seen.attempts >= seen.distinct + IN_FLIGHT / 4
    });
    first.kill();
    let killed = Instant::now();
    let delivered = sinks.delivered();
    let recent = |it: &&Record| killed - it.at < Duration::from_millis(500);
    let recent = delivered.iter().filter(recent).count() as u64;

    let total = keys * each;
    let all = || (sinks.distinct() == total).then_some(());
    assert!(all().is_none(), "it was killed too late");
    eventually(LIMIT, "everything", all);
    let recovered = killed.elapsed();
    let report = second.stop();
    let repeated = sinks.repeated();
    println!(
        "{ty:?}: killed after {}, all there {recovered:.1?} later, {repeated} repeated: {report:?}",
        delivered.len()
    );
    assert_eq!((report.unsettled, report.unconfirmed), (0, 0), "{report:?}");
    // A lease, and the 2 to 3 s that the broker takes to notice its end; the rest is the load.
    assert!(recovered < LEASE + Duration::from_secs(15), "{recovered:?}");
    let allowed = match topic.is_fifo() {
        // What was acknowledged of a queue's batch counts only up to the first that was not.
        true => u64::from(QUEUES * BATCH),
        // Acknowledgements wait for company, 100 ms, and take a moment.
        false => IN_FLIGHT + recent,
    };
    assert!(
        repeated <= allowed,
        "{repeated} repeated, at most {allowed}"
    );
    if topic.is_fifo() {
        sinks.assert_in_order();
    }
    topic.assert_no_dead_letters().await;
}
