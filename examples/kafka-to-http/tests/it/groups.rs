//! A second consumer joins and leaves.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use eventlane_testkit::{CheckingSink, Kafka, kafka::Keys, sink::Faults};

use crate::adapter::{self, LIMIT};

const IN_FLIGHT: u64 = 32;

/// Members of a classic group hear of a rebalance at their next heartbeat.
const HEARTBEAT: &str = "heartbeat.interval.ms=1000";

/// Three times, under a steady load. At most so many events are repeated each time that somebody
/// comes or goes.
fn joins_and_leaves(protocol: &[&str], repeated: u64) {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(6);
    let sink = CheckingSink::start(Faults {
        delay: millis(1)..millis(8),
        ..Faults::default()
    });
    let in_flight = IN_FLIGHT.to_string();
    let mut flags = vec!["--max-in-flight", &in_flight];
    flags.extend(protocol.iter().flat_map(|property| ["--set", property]));
    let start = |path: &str| {
        let url = format!("{}{path}", sink.url());
        adapter::on(kafka, &topic, &url, &flags)
    };
    let (done, mut producer) = (
        AtomicBool::new(false),
        kafka.producer(&topic, Keys::InTurn(100)),
    );
    let total = thread::scope(|scope| {
        let stop_producing = StopOnDrop(&done);
        let produced = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                producer.send_at_rate(500, 100, Duration::from_secs(1));
            }
            producer.flush();
            producer.total()
        });
        let first = start("first");
        sink.wait(LIMIT, |seen| seen.path("/first") > 200);
        for _ in 0..3 {
            let before = sink.report().path("/second");
            let second = start("second");
            sink.wait(LIMIT, |seen| seen.path("/second") > before + 300);
            assert!(!second.stop().hard_stopped);
            let alone = sink.report().path("/first");
            sink.wait(LIMIT, |seen| seen.path("/first") > alone + 800);
        }
        drop(stop_producing);
        let total = produced.join().expect("the producer does not panic");
        sink.wait(LIMIT, |seen| seen.distinct == total);
        let report = first.stop();
        assert_eq!((report.unsettled, report.unconfirmed), (0, 0), "{report:?}");
        total
    });
    let seen = sink.report();
    seen.assert_in_order(if repeated == 0 { 0 } else { 6 });
    assert_eq!(seen.distinct, total, "{seen:#?}");
    assert!(seen.duplicates <= 6 * repeated, "{seen:#?}");
    assert_eq!(kafka.lag(&topic, &topic), 0);
}

#[test]
fn under_cooperative_sticky_nothing_is_repeated() {
    joins_and_leaves(
        &[
            "partition.assignment.strategy=cooperative-sticky",
            HEARTBEAT,
        ],
        0,
    );
}

#[test]
fn under_range_no_more_than_was_in_flight_is_repeated() {
    joins_and_leaves(
        &["partition.assignment.strategy=range", HEARTBEAT],
        IN_FLIGHT,
    );
}

#[test]
fn under_the_consumer_protocol_no_more_than_was_in_flight_is_repeated() {
    joins_and_leaves(&["group.protocol=consumer"], IN_FLIGHT);
}

/// Ends the load also when the test fails; its thread would be waited for otherwise.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
