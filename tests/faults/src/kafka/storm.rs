//! Members join and leave.

use std::{thread, time::Duration};

use eventlane_testkit::{Adapter, Kafka};
use tokio::time::Instant;

use super::topic::{IN_FLIGHT, Left, RATE, Topic, UNCOMMITTED};
use crate::{Load, Outcome};

/// Between one member and four.
const EVERY: Duration = Duration::from_secs(5);
const OTHERS: usize = 3;

/// How members leave.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaving {
    Stopped,
    Killed,
}

/// Members of a protocol (properties of librdkafka), of whom so many events are repeated each time that
/// some come or go.
pub(super) fn storm(load: Load, leaving: Leaving, protocol: &[&str], repeated: u64) -> Outcome {
    let mut flags = Vec::new();
    flags.extend(protocol.iter().flat_map(|property| ["--set", property]));
    Topic::new(Kafka::shared(), load).carry(|topic| {
        let one = topic.adapter(&flags);
        let mut others: Vec<Adapter> = Vec::new();
        topic.wait_for_more(200);
        let (start, mut switches) = (Instant::now(), 0);
        // As long as there is load for one more.
        let until = Duration::from_secs(topic.load.events / RATE);
        while EVERY * (switches + 1) < until || !others.is_empty() {
            switches += 1;
            if others.is_empty() {
                others = (0..OTHERS).map(|_| topic.adapter(&flags)).collect();
            } else {
                leave(topic, std::mem::take(&mut others), leaving);
            }
            topic.stage.may_repeat(repeated);
            topic.stage.may_rewind(1);
            let next = start + EVERY * switches;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Left {
            adapters: vec![one],
            why: why(switches, leaving, repeated),
        }
    })
}

fn leave(topic: &mut Topic<'_>, others: Vec<Adapter>, leaving: Leaving) {
    match leaving {
        Leaving::Stopped => {
            others.iter().for_each(|other| other.process.signal("TERM"));
            for other in others {
                let report = other.finish();
                assert!(!report.hard_stopped, "{report:?}");
            }
        }
        Leaving::Killed => {
            let members = others.len() as u64;
            let killed = Instant::now();
            others.into_iter().for_each(Adapter::kill);
            topic
                .stage
                .lost_track(members * IN_FLIGHT, killed - UNCOMMITTED, Instant::now());
        }
    }
}

fn why(switches: u32, leaving: Leaving, repeated: u64) -> String {
    let each = match repeated {
        0 => "none".to_owned(),
        repeated => format!("each, what is in flight: {repeated}"),
    };
    match leaving {
        Leaving::Stopped => format!("{switches} × between 1 and 4 members: {each}"),
        Leaving::Killed => format!(
            "{switches} × between 1 and 4 members: {each}; of those killed, what is in flight, and what was delivered \
             in the 2 s before"
        ),
    }
}
