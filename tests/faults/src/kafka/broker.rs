//! Brokers die and come back, and their partitions move.

use std::{thread, time::Duration};

use eventlane_testkit::{Kafka, kafka::Options};
use tokio::time::Instant;

use super::topic::{IN_FLIGHT, Left, Topic, UNCOMMITTED};
use crate::{Load, Outcome};

/// One death for so much of the load.
const EVENTS: u64 = 8_000;

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
            let died = Instant::now();
            kafka.kill(1);
            thread::sleep(Duration::from_secs(1));
            kafka.revive(1);
            topic.stage.wait_for_more(200);
            topic
                .stage
                .may_have_lost_track(IN_FLIGHT, died - UNCOMMITTED);
        }
        Left {
            adapters: vec![adapter],
            why: format!("{deaths} deaths: none as long as the member stays in its group"),
            answers_lost: false,
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
            let died = Instant::now();
            match how {
                Death::Sudden => kafka.kill(node),
                Death::Orderly => kafka.term(node),
            }
            topic.stage.wait_for_more(2_000.min(topic.load.events / 4));
            kafka.revive(node);
            topic
                .stage
                .may_have_lost_track(IN_FLIGHT, died - UNCOMMITTED);
        }
        Left {
            adapters: vec![adapter],
            why: format!(
                "{deaths} deaths: none as long as the member stays in its group; else {IN_FLIGHT} in flight, \
                 and what was delivered from 2 s before"
            ),
            answers_lost: false,
        }
    })
}
