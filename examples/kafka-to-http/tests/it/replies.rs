//! Events in answers, to a topic of their own: also when the program is killed under load.

use eventlane_testkit::{
    CheckingSink, Kafka, Process,
    sink::{Answer, Faults},
};

use crate::adapter::{self, LIMIT};

#[test]
fn every_event_has_its_reply_in_order_although_the_program_is_killed() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let (topic, replies) = (kafka.topic(4), kafka.topic(3));
    let (records, keys) = (4_000, 100);
    kafka.produce(&topic, records, keys, 100);
    let endpoint = CheckingSink::start(Faults {
        answer: Answer::Reply,
        ..Faults::default()
    });
    let flags = ["--reply-topic", &replies, "--max-in-flight", "32"];
    let adapter = adapter::on(kafka, &topic, &endpoint.url(), &flags);
    endpoint.wait(LIMIT, |seen| seen.distinct >= 1_000);
    adapter.kill();
    let stop_when_idle = [&flags[..], &["--until-idle", "2"]].concat();
    let report = adapter::on(kafka, &topic, &endpoint.url(), &stop_when_idle).finish();
    assert_eq!(report.unsettled, 0, "{report:?}");
    assert_eq!(kafka.lag(&topic, &topic), 0);

    // The replies themselves, to an endpoint that checks.
    let stored: i64 = kafka.end_offsets(&replies).iter().sum();
    let checked = CheckingSink::recording(Faults::default());
    let report = adapter::on(kafka, &replies, &checked.url(), &["--until-idle", "1"]).finish();
    assert_eq!(report.delivered, stored as u64);
    let seen = checked.report();
    seen.assert_in_order(1);
    assert_eq!(seen.distinct, records, "{seen:#?}");
    // No more is repeated than was asked again.
    assert!(
        seen.duplicates <= endpoint.report().duplicates + 32,
        "{seen:#?}"
    );
    for record in checked.records() {
        let attribute = |name: &str| record.attributes.get(name).map(String::as_str);
        assert!(attribute("id").unwrap().starts_with("re:"), "{record:?}");
        assert_eq!(attribute("eventlanehops"), Some("1"));
    }
}

#[test]
fn a_place_for_replies_that_can_not_work_is_named() {
    for (flags, hint) in [
        (
            ["--reply-topic", "x", "--reply", "http://localhost"],
            "cannot be used with",
        ),
        (["--reply", "nowhere", "--max-in-flight", "1"], "https://"),
    ] {
        let usual = ["--brokers", "localhost:1", "--topic", "t", "--group", "g"];
        let sink = ["--sink", "http://localhost:1"];
        let arguments = usual.into_iter().chain(sink).chain(flags);
        let program = Process::start(env!("CARGO_BIN_EXE_kafka-to-http"), arguments);
        let (status, said) = program.wait(LIMIT);
        assert!(!status.success());
        assert!(said.contains(hint), "{said}");
    }
}
