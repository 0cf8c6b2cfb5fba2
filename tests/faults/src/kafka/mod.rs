//! Kafka, `kafka-to-http`, and what happens to them and between them.

mod adapter;
mod broker;
mod network;
mod storm;
mod topic;

use broker::Death;
use storm::Leaving;

use crate::{Load, Outcome, Scenario, toxiproxy::Toxic};

/// Of a connection to the broker, which all partitions of a node share.
const SLOW_BROKER: Toxic = Toxic::Slow { rate: 400 };
const SLOW_SINK: Toxic = Toxic::Slow { rate: 50 };

const RANGE: &[&str] = &["partition.assignment.strategy=range"];
const CONSUMER: &[&str] = &[topic::CONSUMER_PROTOCOL];

#[rustfmt::skip]
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario { quick: Some(8_000), ..short("kafka/adapter-killed", |load| adapter::killed(load, &[])) },
        Scenario { events: 20_000, ..long("kafka/adapter-killed-partition-order", |load| adapter::killed(load, &["--ordering", "partition"])) },
        short("kafka/adapter-stopped", adapter::stopped),
        short("kafka/broker-killed", broker::the_only_one_dies),
        short("kafka/leader-killed", |load| broker::one_of_three_dies(load, Death::Sudden)),
        long("kafka/leader-moved", |load| broker::one_of_three_dies(load, Death::Orderly)),
        short("kafka/broker-link-cut", |load| network::to_the_broker(load, Toxic::Cut)),
        short("kafka/broker-link-slow", |load| network::to_the_broker(load, SLOW_BROKER)),
        short("kafka/broker-link-reset", |load| network::to_the_broker(load, Toxic::Reset)),
        short("kafka/broker-link-hangs", |load| network::to_the_broker(load, Toxic::Hang)),
        short("kafka/sink-link-cut", |load| network::to_the_endpoint(load, Toxic::Cut)),
        short("kafka/sink-link-slow", |load| network::to_the_endpoint(load, SLOW_SINK)),
        short("kafka/sink-link-reset", |load| network::to_the_endpoint(load, Toxic::Reset)),
        short("kafka/sink-link-hangs", |load| network::to_the_endpoint(load, Toxic::Hang)),
        short("kafka/storm-of-stops", |load| storm::storm(load, Leaving::Stopped, &[], 0)),
        short("kafka/storm-of-kills", |load| storm::storm(load, Leaving::Killed, &[], 0)),
        long("kafka/storm-of-stops-range", |load| storm::storm(load, Leaving::Stopped, RANGE, 4 * topic::IN_FLIGHT)),
        long("kafka/storm-of-stops-consumer-protocol", |load| storm::storm(load, Leaving::Stopped, CONSUMER, 4 * topic::IN_FLIGHT)),
    ]
}

/// Runs among the tests, too.
fn short(name: &'static str, run: fn(Load) -> Outcome) -> Scenario {
    Scenario {
        quick: Some(6_000),
        ..long(name, run)
    }
}

/// Runs only by the command.
fn long(name: &'static str, run: fn(Load) -> Outcome) -> Scenario {
    Scenario {
        name,
        events: 60_000,
        quick: None,
        run,
    }
}
