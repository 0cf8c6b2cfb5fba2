//! The adapter ends and starts again, over and over.

use eventlane_testkit::Kafka;
use tokio::time::Instant;

use super::topic::{IN_FLIGHT, Topic, UNCOMMITTED};
use crate::{Load, Outcome};

/// One for so many events.
const EVENTS_A_RESTART: u64 = 8_000;

fn restarts(load: Load) -> u64 {
    (load.events / EVENTS_A_RESTART).max(2)
}

pub(super) fn killed(load: Load) -> Outcome {
    let kills = restarts(load);
    Topic::new(Kafka::shared(), load).carry(|topic| {
        for kill in 1..=kills {
            let adapter = topic.adapter(&[]);
            topic.stage.wait_for_more(500);
            topic.wait_for_part(kill, kills + 1);
            adapter.kill();
            topic
                .stage
                .lost_track(IN_FLIGHT, Instant::now() - UNCOMMITTED);
        }
        let why = format!(
            "{kills} kills: each time {IN_FLIGHT} in flight and what was delivered in the last 2 s (the \
             commit interval, and the commit)"
        );
        (vec![topic.adapter(&[])], why)
    })
}

pub(super) fn stopped(load: Load) -> Outcome {
    let stops = restarts(load);
    Topic::new(Kafka::shared(), load).carry(|topic| {
        for stop in 1..=stops {
            let adapter = topic.adapter(&[]);
            topic.stage.wait_for_more(500);
            topic.wait_for_part(stop, stops + 1);
            let report = adapter.stop();
            assert!(
                (report.unsettled, report.unconfirmed, report.hard_stopped) == (0, 0, false),
                "{report:?}"
            );
        }
        let why = format!("{stops} stops: each finishes what is in flight and commits it");
        (vec![topic.adapter(&[])], why)
    })
}
