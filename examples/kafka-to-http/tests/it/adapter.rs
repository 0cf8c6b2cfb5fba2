//! The program under test.

use std::time::Duration;

use eventlane_testkit::{Adapter, Kafka};

/// Long enough for anything that happens at all on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// Carries `topic` to `sink` for `group`, with further flags. Dead members of the group are noticed
/// after 6 s.
pub(crate) fn start(
    bootstrap: &str,
    topic: &str,
    group: &str,
    sink: &str,
    flags: &[&str],
) -> Adapter {
    let usual = [
        "--brokers",
        bootstrap,
        "--topic",
        topic,
        "--group",
        group,
        "--sink",
        sink,
        "--set",
        "session.timeout.ms=6000",
    ];
    Adapter::start(
        env!("CARGO_BIN_EXE_kafka-to-http"),
        &[&usual, flags].concat(),
    )
}

/// The same for a group of the topic's own on plaintext brokers.
pub(crate) fn on(kafka: &Kafka, topic: &str, sink: &str, flags: &[&str]) -> Adapter {
    start(&kafka.bootstrap(), topic, topic, sink, flags)
}
