//! An endpoint that never answers, and a gigabyte waiting for it.

use std::{thread, time::Duration};

use eventlane_testkit::{
    CheckingSink, Kafka,
    sink::{Answer, Faults},
};

use crate::adapter::{self, LIMIT};

const MIB: u64 = 1 << 20;

#[test]
fn stays_within_its_budget() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(4);
    kafka.produce(&topic, 250_000, 1_000, 4_096);
    let sink = CheckingSink::start(Faults {
        answer: Answer::Stall,
        ..Faults::default()
    });
    let budget = 32 * MIB;
    let bytes = budget.to_string();
    let flags = [
        "--buffer-bytes",
        bytes.as_str(),
        "--timeout",
        "3000",
        "--retry-max",
        "200",
        "--grace",
        "3",
    ];
    let adapter = adapter::on(kafka, &topic, &sink.url(), &flags);
    sink.wait(LIMIT, |seen| seen.requests >= 64);
    // Attempts time out and are made again meanwhile; the fetcher has long filled its queues.
    thread::sleep(Duration::from_secs(10));
    let peak = adapter.process.peak_resident().expect("it runs");
    assert!(peak < budget + 64_000_000, "{} MiB", peak / MIB);

    let report = adapter.stop();
    assert!(
        report.received < 32_000 && report.delivered == 0,
        "{report:?}"
    );
    assert_eq!(kafka.lag(&topic, &topic), 250_000);
}
