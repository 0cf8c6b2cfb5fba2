//! Everything arrives, once and in order.

use std::{thread, time::Duration};

use eventlane_testkit::{
    CheckingSink, Kafka,
    sink::{Answer, Faults},
};

use crate::adapter::{self, LIMIT};

#[test]
fn a_hundred_thousand_records_through_jitter_and_failures() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(4);
    kafka.produce(&topic, 100_000, 1_000, 220);
    let delay = Duration::ZERO..Duration::from_millis(20);
    let sink = CheckingSink::start(Faults {
        delay,
        fail_first: 0.05,
        ..Faults::default()
    });

    let flags = ["--max-in-flight", "256", "--until-idle", "2"];
    let report = adapter::on(kafka, &topic, &sink.url(), &flags).finish();

    let seen = sink.report();
    seen.assert_exactly(100_000);
    assert!((4_000..6_000).contains(&seen.status(503)), "{seen:#?}");
    assert_eq!(
        (report.received, report.delivered),
        (100_000, 100_000),
        "{report:?}"
    );
    assert_eq!(
        (report.retried, report.unsettled),
        (seen.status(503), 0),
        "{report:?}"
    );
    assert_eq!(kafka.lag(&topic, &topic), 0);
}

#[test]
fn nothing_is_lost_while_credentials_are_refused() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(4);
    kafka.produce(&topic, 20_000, 200, 100);
    let sink = CheckingSink::start(Faults {
        delay: millis(0)..millis(10),
        ..Faults::default()
    });
    let adapter = adapter::on(kafka, &topic, &sink.url(), &["--retry-max", "500"]);

    sink.wait(LIMIT, |seen| seen.distinct > 3_000);
    sink.set(|faults| faults.answer = Answer::Status(401));
    sink.wait(LIMIT, |seen| seen.status(401) > 0);
    let before = sink.report();
    thread::sleep(Duration::from_secs(2));
    let after = sink.report();
    sink.set(|faults| faults.answer = Answer::Accept);
    assert!(after.distinct < 20_000, "the refusal came in the middle");
    let probes = after.requests - before.requests;
    assert!(
        probes < 64 + 20,
        "{probes} requests while everything is refused: what was in flight, then a probe at a time"
    );

    sink.wait(LIMIT, |seen| seen.distinct == 20_000);
    let report = adapter.stop();
    sink.report().assert_exactly(20_000);
    assert_eq!(
        (report.dead_lettered, report.dropped, report.unsettled),
        (0, 0, 0),
        "{report:?}"
    );
    assert_eq!(kafka.lag(&topic, &topic), 0);
}

#[test]
fn every_mode_and_every_ordering_delivers_all() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(2);
    kafka.produce(&topic, 5_000, 50, 100);
    let batched = [
        "--mode",
        "batched",
        "--batch-events",
        "100",
        "--linger",
        "10",
    ];
    let runs: [(&str, &[&str], u64); 4] = [
        ("structured", &["--mode", "structured"], 5_000),
        ("batched", &batched, 500),
        ("partition", &["--ordering", "partition"], 5_000),
        ("none", &["--ordering", "none"], 5_000),
    ];
    for (name, flags, most_requests) in runs {
        let sink = CheckingSink::start(Faults::default());
        let group = format!("{topic}-{name}");
        let flags: Vec<_> = flags.iter().copied().chain(["--until-idle", "1"]).collect();
        let report =
            adapter::start(&kafka.bootstrap(), &topic, &group, &sink.url(), &flags).finish();
        let seen = sink.report();
        assert_eq!(
            (seen.distinct, seen.duplicates, seen.invalid),
            (5_000, 0, 0),
            "{name}: {seen:#?}"
        );
        assert_eq!(
            (report.delivered, kafka.lag(&group, &topic)),
            (5_000, 0),
            "{name}: {report:?}"
        );
        assert!(
            seen.requests <= most_requests,
            "{name}: {} requests",
            seen.requests
        );
        match name {
            "none" => {}
            "partition" => assert!(
                seen.peak <= 2,
                "partition: {} requests at a time",
                seen.peak
            ),
            _ => seen.assert_exactly(5_000),
        }
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(1);
    kafka.produce(&topic, 100, 10, 100);
    let sink = CheckingSink::start(Faults {
        answer: Answer::Stall,
        ..Faults::default()
    });
    let adapter = adapter::on(
        kafka,
        &topic,
        &sink.url(),
        &["--grace", "300", "--timeout", "300000"],
    );
    sink.wait(LIMIT, |seen| seen.requests > 0);
    adapter.process.signal("INT");
    eventlane_testkit::eventually(LIMIT, "the first signal", || {
        adapter.process.stderr().contains("stopping").then_some(())
    });
    adapter.process.signal("INT");
    let (status, _) = adapter.process.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1));
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
