//! The server is not there, or not to be reached.

use std::{thread, time::Duration};

use tokio::time::Instant;

use super::line::{IN_FLIGHT, LEASE, Left, Line, Queue};
use crate::{
    Load, Outcome,
    toxiproxy::{Network, Toxic},
};

/// One fault for so much of the load.
const EVENTS: u64 = 2_500;

/// Killed and started again by `restart`, with its messages, of which it has not written to its disk
/// what is younger than `unwritten`.
pub(super) fn killed<Q: Queue>(
    mut line: Line<Q>,
    unwritten: Duration,
    restart: impl Fn(&Q),
) -> Outcome {
    line.fill();
    // It has them on its disk.
    thread::sleep(4 * unwritten);
    line.carry(|line| {
        let kills = line.rounds(EVENTS);
        let adapter = line.adapter();
        for kill in 1..=kills {
            line.wait_for_part(kill, kills + 1);
            let began = Instant::now();
            restart(&line.queue);
            interrupted(line, began - unwritten);
            line.wait_for_more(100);
        }
        Left {
            adapters: vec![adapter],
            why: format!(
                "{kills} kills, each: {}, and what it had not written in {:?}, or until it was back",
                line.queue.lost().why(),
                unwritten
            ),
        }
    })
}

/// Longer than a lease.
const LONG: Duration = Duration::from_secs(LEASE.as_secs() + 2);

/// It accepts connections and answers nothing, for longer than a lease.
pub(super) fn hangs<Q: Queue>(
    queue: Q,
    load: Load,
    pause: impl Fn(&Q),
    resume: impl Fn(&Q),
) -> Outcome {
    Line::new(queue, load).carry(|line| {
        let times = line.rounds(EVENTS);
        let adapter = line.adapter();
        for time in 1..=times {
            line.wait_for_part(time, times + 1);
            let began = Instant::now();
            pause(&line.queue);
            thread::sleep(LONG);
            resume(&line.queue);
            interrupted(line, began);
            line.wait_for_more(100);
        }
        Left {
            adapters: vec![adapter],
            why: why(line, times),
        }
    })
}

/// The network between has faults.
pub(super) fn network(queue: impl Queue, load: Load, toxic: Toxic) -> Outcome {
    let network = Network::to(queue.server());
    Line::new(queue, load).carry(|line| {
        let times = line.rounds(EVENTS);
        let adapter = line.adapter_at(network.address(), &[]);
        for time in 1..=times {
            line.wait_for_part(time, times + 1);
            let began = Instant::now();
            network.poison(toxic);
            thread::sleep(LONG);
            network.heal();
            interrupted(line, began);
            line.wait_for_more(100);
        }
        Left {
            adapters: vec![adapter],
            why: why(line, times),
        }
    })
}

fn why<Q: Queue>(line: &Line<Q>, times: u64) -> String {
    format!(
        "{times} times for {} s, each: {}, or until it was over",
        LONG.as_secs(),
        line.queue.lost().why()
    )
}

/// What was delivered since then can't be settled before its lease ends.
fn interrupted<Q: Queue>(line: &mut Line<Q>, began: Instant) {
    let meanwhile = line.stage.sink.taken_between(began, Instant::now());
    line.stage.may_repeat(meanwhile + IN_FLIGHT);
    line.lost_track(began);
}
