//! The network has faults, on the way to the broker and on the way to the endpoint.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use eventlane_testkit::{Kafka, kafka::Options};

use super::topic::{IN_FLIGHT, Left, Topic, in_peace};
use crate::{
    Load, Outcome,
    toxiproxy::{Network, Toxic},
};

/// One fault for so much of the load, on the way to the broker and on that to the endpoint, after which
/// nobody has to find his group again.
const BROKER_EVENTS: u64 = 12_000;
const ENDPOINT_EVENTS: u64 = 8_000;

/// A broker that is reached through a network with faults.
struct Remote {
    kafka: Kafka,
    network: Network,
}

/// Long enough for each kind to hurt: a member is thrown out after 6 s, an attempt given up after 4 s.
fn length(toxic: Toxic) -> Duration {
    Duration::from_secs(match toxic {
        Toxic::Cut | Toxic::Reset => 3,
        Toxic::Slow { .. } => 5,
        Toxic::Hang => 10,
    })
}

pub(super) fn to_the_broker(load: Load, toxic: Toxic) -> Outcome {
    // One for all, one at a time.
    static REMOTE: Mutex<Option<Remote>> = Mutex::new(None);
    let mut remote = REMOTE.lock().unwrap_or_else(PoisonError::into_inner);
    let Remote { kafka, network } = remote.get_or_insert_with(|| {
        let kafka = Kafka::start(Options {
            proxied: true,
            own_proxies: true,
            ..Options::default()
        });
        let network = Network::new(kafka.routes());
        Remote { kafka, network }
    });
    network.heal();
    Topic::behind_proxies(kafka, load).carry(|topic| {
        let faults = topic.rounds(BROKER_EVENTS);
        let adapter = topic.adapter(&[]);
        for fault in 1..=faults {
            topic.wait_for_part(fault, faults + 1);
            topic.outage_begins();
            network.poison(toxic);
            thread::sleep(length(toxic));
            network.heal();
            topic.wait_for_recovery();
        }
        Left {
            adapters: vec![adapter],
            why: format!("{faults} × {} s", length(toxic).as_secs()),
        }
    })
}

pub(super) fn to_the_endpoint(load: Load, toxic: Toxic) -> Outcome {
    Topic::new(Kafka::shared(), load).carry(|topic| {
        let network = Network::to(topic.stage.sink.address());
        let url = format!("http://{}/", network.address());
        let flags = ["--timeout", "4000", "--retry-max", "500"];
        let adapter = topic.adapter_to(&url, &flags);
        let faults = topic.rounds(ENDPOINT_EVENTS);
        for fault in 1..=faults {
            topic.wait_for_part(fault, faults + 1);
            network.poison(toxic);
            thread::sleep(length(toxic));
            network.heal();
            topic.wait_for_more(200);
        }
        // Until the end the adapter needs this way.
        topic.wait_for_all();
        let report = in_peace(adapter);
        let (most, why) = match toxic {
            Toxic::Slow { .. } => (0, "every attempt is answered in time"),
            Toxic::Cut => (faults * IN_FLIGHT, "each, what was in flight"),
            // Of its two directions, one ends before the other.
            Toxic::Hang => (
                faults * 2 * IN_FLIGHT,
                "each, what was in flight as it began and as it ended",
            ),
            Toxic::Reset => (
                report.retried,
                "requests arrive and their answers do not: every attempt that failed",
            ),
        };
        topic.stage.may_repeat(most);
        // What is tried again and again may be taken each time.
        topic.stage.may_rewind(most);
        Left {
            adapters: Vec::new(),
            why: format!("{faults} × {} s: {why}", length(toxic).as_secs()),
        }
    })
}
