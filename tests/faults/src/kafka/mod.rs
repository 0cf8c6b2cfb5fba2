//! Kafka, `kafka-to-http`, and what happens to them and between them.

mod adapter;
mod topic;

use crate::Scenario;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "kafka/adapter-killed",
            events: 60_000,
            quick: Some(8_000),
            run: adapter::killed,
        },
        Scenario {
            name: "kafka/adapter-stopped",
            events: 60_000,
            quick: Some(8_000),
            run: adapter::stopped,
        },
    ]
}
