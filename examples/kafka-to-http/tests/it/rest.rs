//! The endpoint asks to be left alone for a while.

use std::time::{Duration, SystemTime};

use eventlane_testkit::{
    CheckingSink, Kafka,
    sink::{Answer, Faults},
};

use crate::adapter::{self, LIMIT};

/// What was on its way when the endpoint asked.
const UNDER_WAY: Duration = Duration::from_millis(300);

fn rests(retry_after: impl FnOnce() -> String, at_least: Duration) {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(2);
    kafka.produce(&topic, 5_000, 100, 100);
    let delay = Duration::from_millis(5)..Duration::from_millis(10);
    let sink = CheckingSink::recording(Faults {
        delay,
        ..Faults::default()
    });
    let adapter = adapter::on(
        kafka,
        &topic,
        &sink.url(),
        &["--until-idle", "1", "--max-in-flight", "16"],
    );
    sink.wait(LIMIT, |seen| seen.distinct > 500);
    sink.set(|faults| {
        faults
            .next
            .push_back(Answer::RetryAfter(429, retry_after()))
    });
    adapter.finish();

    sink.report().assert_exactly(5_000);
    let records = sink.records();
    let asked = records
        .iter()
        .find(|record| record.status == Some(429))
        .expect("a 429")
        .at;
    let next = records
        .iter()
        .map(|record| record.at)
        .find(|at| *at > asked + UNDER_WAY)
        .expect("it goes on");
    let under_way = records
        .iter()
        .filter(|record| record.at > asked && record.at <= asked + UNDER_WAY)
        .count();
    assert!(
        under_way <= 2 * 16,
        "{under_way} requests after the endpoint had asked for rest"
    );
    assert!(
        next >= asked + at_least,
        "a request {:?} after the endpoint had asked for rest",
        next - asked
    );
}

#[test]
fn for_so_many_seconds() {
    rests(|| "2".to_owned(), Duration::from_millis(1_950));
}

#[test]
fn until_a_date() {
    // Dates have whole seconds.
    let until = || httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3));
    rests(until, Duration::from_millis(1_950));
}
