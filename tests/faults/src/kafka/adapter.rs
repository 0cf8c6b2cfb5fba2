//! The adapter ends and starts again, over and over.

use std::{thread, time::Duration};

use eventlane_testkit::Kafka;
use tokio::time::Instant;

use super::topic::{IN_FLIGHT, Left, Topic, UNCOMMITTED};
use crate::{Load, Outcome};

/// One end for so much of the load.
const EVENTS: u64 = 4_000;

/// Keys whose requests are under way at a kill, for longer than commits are apart: whoever commits what
/// was not delivered loses them.
const HELD: u64 = 8;
const HOLD: Duration = Duration::from_millis(1_500);

pub(super) fn killed(load: Load, flags: &[&str]) -> Outcome {
    Topic::new(Kafka::shared(), load).carry(|topic| {
        let kills = topic.rounds(EVENTS);
        for kill in 1..=kills {
            let adapter = topic.adapter(flags);
            topic.wait_for_more(500);
            topic.wait_for_part(kill, kills + 1);
            topic.stage.hold(HELD);
            thread::sleep(HOLD);
            let killed = Instant::now();
            adapter.kill();
            topic.stage.hold(0);
            topic
                .stage
                .lost_track(IN_FLIGHT, killed - UNCOMMITTED, Instant::now());
        }
        Left {
            adapters: vec![topic.adapter(flags)],
            why: format!(
                "{kills} × killed, each: {IN_FLIGHT} in flight, and what was delivered in the 2 s before it \
                 (the commit interval, and the commit)"
            ),
        }
    })
}

pub(super) fn stopped(load: Load) -> Outcome {
    Topic::new(Kafka::shared(), load).carry(|topic| {
        let stops = topic.rounds(EVENTS);
        for stop in 1..=stops {
            let adapter = topic.adapter(&[]);
            topic.wait_for_more(500);
            topic.wait_for_part(stop, stops + 1);
            let report = adapter.stop();
            assert!(!report.hard_stopped, "{report:?}");
        }
        Left {
            adapters: vec![topic.adapter(&[])],
            why: format!("{stops} × stopped: what is in flight is finished, and committed"),
        }
    })
}
