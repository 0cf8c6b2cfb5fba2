//! What the tests have in common.

use std::time::Duration;

use eventlane_kafka::KafkaConfig;
use eventlane_testkit::Kafka;

/// A configuration under which the group notices soon what happens to its members.
pub(crate) fn config(kafka: &Kafka, group: &str, topic: &str) -> KafkaConfig {
    KafkaConfig::new(kafka.bootstrap(), group, [topic]).with_session_timeout(Duration::from_secs(6))
}
