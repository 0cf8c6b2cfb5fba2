//! Consumers end and begin, and sleep.

use std::{thread, time::Duration};

use tokio::time::Instant;

use super::line::{IN_FLIGHT, LEASE, Left, Line, Queue};
use crate::{Load, Outcome};

/// One end for so much of the load.
const EVENTS: u64 = 1_500;

/// What it had comes again when its leases have ended.
pub(super) fn killed(queue: impl Queue, load: Load) -> Outcome {
    Line::new(queue, load).carry(|line| {
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
            why: format!("{kills} kills, each: {}", line.queue.lost().why()),
        }
    })
}

pub(super) fn stopped(queue: impl Queue, load: Load) -> Outcome {
    Line::new(queue, load).carry(|line| {
        let stops = line.rounds(EVENTS);
        for stop in 1..=stops {
            let adapter = line.adapter();
            line.wait_for_more(300);
            line.wait_for_part(stop, stops + 1);
            let report = adapter.stop();
            assert!(!report.hard_stopped, "{report:?}");
            line.stopped();
        }
        Left {
            adapters: vec![line.adapter()],
            why: format!("{stops} stops, each: {}", line.queue.lost().why_stopped()),
        }
    })
}

/// There are one, two, three consumers, and two, and one again, over and over.
pub(super) fn storm(queue: impl Queue, load: Load) -> Outcome {
    Line::new(queue, load).carry(|line| {
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
                line.stopped();
                line.wait_for_more(EVENTS / 8);
            }
        }
        Left {
            adapters: vec![first],
            why: format!(
                "{rounds} times two come and go, each: {}",
                line.queue.lost().why_stopped()
            ),
        }
    })
}

/// One of two is stopped for longer than its leases, which the other one gets; then it goes on, with all
/// that it still believes to have, and the answers to what it had sent. For it, the clock has jumped.
pub(super) fn asleep(queue: impl Queue, load: Load) -> Outcome {
    let long = LEASE + Duration::from_secs(2);
    Line::new(queue, load).carry(|line| {
        let times = line.rounds(EVENTS);
        let adapters = vec![line.adapter(), line.adapter()];
        for time in 1..=times {
            line.wait_for_part(time, times + 1);
            let sleeper = &adapters[time as usize % 2];
            line.wait_for_more(100);
            sleeper.process.signal("STOP");
            line.lost_track(Instant::now());
            // A request that was under way, and not yet on the wire, leaves when it wakes: nobody can
            // know then that its lease is over.
            line.stage.may_overlap(IN_FLIGHT);
            thread::sleep(long);
            sleeper.process.signal("CONT");
            line.wait_for_more(100);
        }
        Left {
            adapters,
            why: format!(
                "{times} times for {} s with leases of {} s, each: {}",
                long.as_secs(),
                LEASE.as_secs(),
                line.queue.lost().why()
            ),
        }
    })
}
