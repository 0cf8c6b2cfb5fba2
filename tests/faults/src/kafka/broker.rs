//! Brokers die and come back, and their partitions move.

use std::{thread, time::Duration};

use eventlane_testkit::{Kafka, kafka::Options};

use super::topic::{Left, Topic};
use crate::{Load, Outcome};

/// One death for so much of the load.
const EVENTS: u64 = 12_000;

/// How a broker goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Death {
    /// SIGKILL.
    Sudden,
    /// SIGTERM: it hands its partitions to others first.
    Orderly,
}

pub(super) fn the_only_one_dies(load: Load) -> Outcome {
    let kafka = Kafka::start(Options::default());
    Topic::new(&kafka, load).carry(|topic| {
        let deaths = topic.rounds(EVENTS);
        let adapter = topic.adapter(&[]);
        for death in 1..=deaths {
            topic.wait_for_part(death, deaths + 1);
            topic.outage_begins();
            kafka.kill(1);
            thread::sleep(Duration::from_secs(1));
            kafka.revive(1);
            topic.wait_for_recovery();
        }
        Left {
            adapters: vec![adapter],
            why: format!("{deaths} × dead and back"),
        }
    })
}

pub(super) fn one_of_three_dies(load: Load, how: Death) -> Outcome {
    let kafka = Kafka::start(Options {
        three_nodes: true,
        ..Options::default()
    });
    Topic::new(&kafka, load).carry(|topic| {
        let deaths = topic.rounds(EVENTS);
        let adapter = topic.adapter(&[]);
        for death in 1..=deaths {
            topic.wait_for_part(death, deaths + 1);
            // Each leads a third of the partitions.
            let node = (death % 3 + 1) as u16;
            topic.outage_begins();
            match how {
                Death::Sudden => kafka.kill(node),
                Death::Orderly => kafka.term(node),
            }
            topic.wait_for_more(2_000.min(topic.load.events / 4));
            kafka.revive(node);
            topic.wait_for_recovery();
        }
        Left {
            adapters: vec![adapter],
            why: format!("{deaths} × dead and back"),
        }
    })
}
