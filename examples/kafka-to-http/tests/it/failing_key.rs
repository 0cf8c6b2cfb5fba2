//! One key whose events the endpoint never takes.

use std::fs;

use eventlane_testkit::{
    CheckingSink, Kafka, eventually,
    sink::{Answer, Faults},
};

use crate::adapter::{self, LIMIT};

const RECORDS: u64 = 20_000;
const KEYS: u64 = 100;
const OF_EACH: u64 = RECORDS / KEYS;
const OTHERS: u64 = RECORDS - OF_EACH;

fn failing(key: &str) -> Faults {
    Faults {
        keys: [(key.to_owned(), Answer::Status(503))].into(),
        ..Faults::default()
    }
}

#[test]
fn holds_up_nobody_else_and_is_not_lost() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(4);
    kafka.produce(&topic, RECORDS, KEYS, 100);
    let sink = CheckingSink::start(failing("k7"));
    let flags = ["--retry-max", "1000"];
    let adapter = adapter::on(kafka, &topic, &sink.url(), &flags);
    sink.wait(LIMIT, |seen| seen.distinct == OTHERS);
    assert!(
        sink.report().status(503) < 50,
        "the failing event is tried again with growing delays"
    );
    let report = adapter.stop();
    assert_eq!(
        (report.delivered, report.unsettled),
        (OTHERS, OF_EACH),
        "{report:?}"
    );
    assert!(
        kafka.lag(&topic, &topic) > 0,
        "the watermark holds at the failing event"
    );

    sink.set(|faults| faults.keys.clear());
    let report = adapter::on(kafka, &topic, &sink.url(), &["--until-idle", "2"]).finish();
    assert_eq!(
        report.delivered, OF_EACH,
        "what was done beyond the watermark is not repeated: {report:?}"
    );
    sink.report().assert_exactly(RECORDS);
    assert_eq!(kafka.lag(&topic, &topic), 0);
}

#[test]
fn goes_to_the_dead_letter_endpoint_with_its_reason() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(4);
    kafka.produce(&topic, RECORDS, KEYS, 100);
    let sink = CheckingSink::start(failing("k7"));
    let dead = CheckingSink::recording(Faults::default());
    let dead_url = dead.url();
    let flags = [
        "--retry-attempts",
        "3",
        "--retry-max",
        "100",
        "--dead-letter",
        &dead_url,
        "--until-idle",
        "2",
    ];
    let report = adapter::on(kafka, &topic, &sink.url(), &flags).finish();

    assert_eq!(
        (report.delivered, report.dead_lettered),
        (OTHERS, OF_EACH),
        "{report:?}"
    );
    let seen = sink.report();
    seen.assert_in_order(0);
    assert_eq!(
        (seen.distinct, seen.status(503)),
        (OTHERS, 3 * OF_EACH),
        "{seen:#?}"
    );
    dead.report().assert_exactly(OF_EACH);
    for letter in dead.records() {
        let attribute = |name: &str| letter.attributes.get(name).map(String::as_str);
        assert_eq!(letter.key, "k7");
        assert_eq!(attribute("knativeerrordest"), Some(sink.url().as_str()));
        assert_eq!(attribute("knativeerrorcode"), Some("503"));
        assert_eq!(attribute("eventlaneattempts"), Some("3"));
        assert!(attribute("eventlanefirstfailed").is_some(), "{letter:?}");
    }
    assert_eq!(kafka.lag(&topic, &topic), 0);
}

#[test]
fn goes_to_the_dead_letter_file_once_for_each_event() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(4);
    kafka.produce(&topic, RECORDS, KEYS, 100);
    let sink = CheckingSink::start(failing("k7"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.jsonl");
    let dead = format!("file:{}", path.display());
    let flags = [
        "--retry-attempts",
        "2",
        "--retry-max",
        "50",
        "--dead-letter",
        &dead,
        "--until-idle",
        "2",
    ];
    let report = adapter::on(kafka, &topic, &sink.url(), &flags).finish();

    assert_eq!(
        (report.delivered, report.dead_lettered),
        (OTHERS, OF_EACH),
        "{report:?}"
    );
    let letters = fs::read_to_string(path).unwrap();
    let numbers: Vec<_> = letters
        .lines()
        .map(|line| {
            let letter: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&letter["data"]["key"], &letter["knativeerrorcode"]),
                (&"k7".into(), &503.into()),
                "{line}"
            );
            letter["data"]["seq"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(numbers, (0..OF_EACH).collect::<Vec<_>>());
    assert_eq!(kafka.lag(&topic, &topic), 0);
}

#[test]
fn comes_again_after_a_restart_when_dead_letters_fail_too() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(4);
    kafka.produce(&topic, RECORDS, KEYS, 100);
    let sink = CheckingSink::start(failing("k7"));
    let dead = CheckingSink::start(Faults {
        answer: Answer::Status(500),
        ..Faults::default()
    });
    let dead_url = dead.url();
    let flags = [
        "--retry-attempts",
        "2",
        "--retry-max",
        "100",
        "--dead-letter",
        &dead_url,
    ];
    let adapter = adapter::on(kafka, &topic, &sink.url(), &flags);
    sink.wait(LIMIT, |seen| seen.distinct == OTHERS);
    dead.wait(LIMIT, |seen| seen.requests > 3);
    // Once the other partitions are committed, what is left is what the failing key holds.
    eventually(LIMIT, "three partitions are done", || {
        let (ends, committed) = (kafka.end_offsets(&topic), kafka.committed(&topic, &topic));
        let open = ends
            .iter()
            .zip(&committed)
            .filter(|(end, committed)| **committed < Some(**end))
            .count();
        assert!(
            open >= 1,
            "the watermark passed an event that is kept nowhere: {committed:?} of {ends:?}"
        );
        (open == 1).then_some(())
    });
    let report = adapter.stop();
    assert_eq!(
        (report.dead_lettered, report.dropped, report.unsettled),
        (0, 0, OF_EACH),
        "{report:?}"
    );

    dead.set(|faults| faults.answer = Answer::Accept);
    let flags: Vec<_> = flags.into_iter().chain(["--until-idle", "2"]).collect();
    let report = adapter::on(kafka, &topic, &sink.url(), &flags).finish();
    assert_eq!(report.dead_lettered, OF_EACH, "{report:?}");
    dead.report().assert_exactly(OF_EACH);
    sink.report().assert_in_order(0);
    assert_eq!(kafka.lag(&topic, &topic), 0);
}
