//! One of two programs is stopped under load, with more in hand than it can deliver.

use std::time::Duration;

use eventlane_testkit::{
    rocketmq::{RocketMq, TopicType},
    sink::{Answer, Faults},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::{
    adapter::LIMIT,
    pair::Pair,
    topic::{Sent, Topic},
};

const KEYS: u64 = 40;
const GRACE: Duration = Duration::from_secs(1);
/// In groups that are not FIFO, the broker takes 2 to 3 s for what is given back.
const SOON: Duration = Duration::from_secs(4);

/// What the first one can't deliver any more, the second one has within about four seconds, though
/// the leases would last for two minutes.
pub(crate) async fn one_of_two_is_stopped(broker: &RocketMq, ty: TopicType) {
    let topic = Topic::create(broker, ty).await;
    let sinks = Pair::start(&Faults {
        delay: Duration::from_millis(1)..Duration::from_millis(8),
        ..Faults::default()
    });
    let flags = ["--lease", "120", "--grace", "1"];
    let first = topic.adapter(&sinks.first.url(), &flags);
    let second = topic.adapter(&sinks.second.url(), &flags);

    let (stop_load, stopped) = oneshot::channel::<()>();
    let load = topic.load(KEYS, Duration::from_millis(80), async {
        drop(stopped.await);
    });
    let course = async {
        sinks.first.reached(|seen| seen.distinct >= 300).await;
        sinks.second.reached(|seen| seen.distinct >= 300).await;
        sinks.first.set(|faults| faults.answer = Answer::Stall);
        let before = sinks.first.report().attempts;
        let stalled = before + 10;
        sinks.first.reached(|seen| seen.attempts >= stalled).await;
        let told = Instant::now();
        first.process.signal("TERM");
        sleep(GRACE + SOON + Duration::from_secs(2)).await;
        drop(stop_load);
        told
    };
    let (sent, told) = tokio::join!(load, course);
    let report = first.finish();
    let ended = told.elapsed();
    assert!(report.unsettled > 0, "it had nothing in hand: {report:?}");
    // All of it, and in order, whoever had it.
    let taken = loop {
        let taken = sinks.taken();
        if sent.iter().all(|it| taken.contains_key(&it.id())) {
            break taken;
        }
        assert!(
            told.elapsed() < LIMIT,
            "of {} {} came",
            sent.len(),
            taken.len()
        );
        sleep(Duration::from_millis(50)).await;
    };
    let report = second.stop();
    assert_eq!((report.unsettled, report.unconfirmed), (0, 0), "{report:?}");
    if topic.is_fifo() {
        sinks.assert_in_order();
    }
    let before = sent.iter().filter(|it| it.at < told).map(Sent::id);
    let stalled = sinks.first.records().into_iter();
    let stalled = stalled
        .filter(|it| it.status.is_none())
        .map(|it| (it.key, it.seq));
    let took = before
        .chain(stalled)
        .map(|id| taken[&id].saturating_duration_since(told));
    let last = took.max().unwrap();
    let repeated = sinks.repeated();
    println!(
        "{ty:?}: of {} sent, the last one from before the stop came after {last:.1?}, {repeated} repeated; \
         the first program ended after {ended:.1?}",
        sent.len()
    );
    assert!(last < GRACE + SOON + Duration::from_secs(1), "{last:?}");
    topic.assert_no_dead_letters().await;
}
