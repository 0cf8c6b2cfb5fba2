//! Consumers end and begin.

use eventlane_testkit::sqs::ElasticMq;
use tokio::time::Instant;

use super::line::{IN_FLIGHT, Left, Line};
use crate::{Load, Outcome};

/// One end for so much of the load.
const EVENTS: u64 = 1_500;

/// What it had comes again when its leases have ended.
pub(super) fn killed(load: Load) -> Outcome {
    Line::new(ElasticMq::shared(), load).carry(|line| {
        let kills = line.rounds(EVENTS);
        for kill in 1..=kills {
            let adapter = line.adapter();
            line.wait_for_more(300);
            line.wait_for_part(kill, kills + 1);
            adapter.kill();
            line.lost_track(Instant::now());
        }
        Left {
            adapters: vec![line.adapter()],
            why: format!(
                "{kills} kills, each: {IN_FLIGHT} in flight, and what was delivered in the 0.7 s before it (the wait \
                 for company, and the delete)"
            ),
        }
    })
}

pub(super) fn stopped(load: Load) -> Outcome {
    Line::new(ElasticMq::shared(), load).carry(|line| {
        let stops = line.rounds(EVENTS);
        for stop in 1..=stops {
            let adapter = line.adapter();
            line.wait_for_more(300);
            line.wait_for_part(stop, stops + 1);
            let report = adapter.stop();
            assert!(!report.hard_stopped, "{report:?}");
        }
        Left {
            adapters: vec![line.adapter()],
            why: format!("{stops} stops: each finishes what is in flight, and deletes it"),
        }
    })
}

/// There are one, two, three consumers, and two, and one again, over and over.
pub(super) fn storm(load: Load) -> Outcome {
    Line::new(ElasticMq::shared(), load).carry(|line| {
        let rounds = line.rounds(EVENTS);
        let first = line.adapter();
        for _ in 0..rounds {
            let second = line.adapter();
            line.wait_for_more(EVENTS / 8);
            let third = line.adapter();
            line.wait_for_more(EVENTS / 8);
            for adapter in [second, third] {
                let report = adapter.stop();
                assert!(!report.hard_stopped, "{report:?}");
                line.wait_for_more(EVENTS / 8);
            }
        }
        Left {
            adapters: vec![first],
            why: format!(
                "{rounds} times two come and go: who goes deletes or gives back what it has"
            ),
        }
    })
}
