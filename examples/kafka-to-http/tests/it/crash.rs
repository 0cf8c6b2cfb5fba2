//! The program is killed under load.

use std::time::Duration;

use eventlane_testkit::{
    CheckingSink, Kafka,
    sink::{Answer, Faults},
};

use crate::adapter::{self, LIMIT};

const IN_FLIGHT: u64 = 32;

#[test]
fn loses_nothing_and_repeats_little() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(4);
    let (records, keys) = (16_000, 400);
    kafka.produce(&topic, records, keys, 100);
    // One key fails all the time, so that the watermark of its partition stays where it is: what is
    // not repeated there, it owes to the metadata of the commits.
    let delay = Duration::from_millis(30)..Duration::from_millis(50);
    let faults = Faults {
        delay,
        keys: [("k7".to_owned(), Answer::Status(503))].into(),
        ..Faults::default()
    };
    let sink = CheckingSink::recording(faults);
    let in_flight = IN_FLIGHT.to_string();
    let flags = ["--max-in-flight", in_flight.as_str(), "--retry-max", "500"];

    let mut allowed = 0;
    for crash in 1..=2 {
        let adapter = adapter::on(kafka, &topic, &sink.url(), &flags);
        sink.wait(LIMIT, |seen| seen.distinct >= crash * 6_000);
        adapter.kill();
        // What was in flight, and what was done since the last commit: commits are a second apart,
        // and take a moment.
        let taken = sink.records();
        let last = taken.last().expect("records").at;
        let uncommitted = taken
            .iter()
            .filter(|record| {
                record.status == Some(204) && last - record.at < Duration::from_millis(1_500)
            })
            .count();
        allowed += IN_FLIGHT + uncommitted as u64;
    }
    sink.set(|faults| faults.keys.clear());
    let report = adapter::on(
        kafka,
        &topic,
        &sink.url(),
        &["--until-idle", "8", "--max-in-flight", "256"],
    )
    .finish();

    assert_eq!(report.unsettled, 0, "{report:?}");
    let seen = sink.report();
    seen.assert_in_order(2);
    assert_eq!(seen.distinct, records, "{seen:#?}");
    assert!(
        seen.duplicates <= allowed,
        "{} duplicates, at most {allowed}",
        seen.duplicates
    );
    assert_eq!(kafka.lag(&topic, &topic), 0);
}
