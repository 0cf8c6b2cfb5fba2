//! The server is not there, or not to be reached.

use std::{thread, time::Duration};

use eventlane_testkit::sqs::ElasticMq;
use tokio::time::Instant;

use super::line::{IN_FLIGHT, LEASE, Left, Line};
use crate::{
    Load, Outcome,
    toxiproxy::{Network, Toxic},
};

/// One fault for so much of the load.
const EVENTS: u64 = 2_500;

/// What it has not written to its disk yet, it forgets: it writes every half second.
const FORGOTTEN: Duration = Duration::from_millis(500);

/// Killed and started again, with its messages.
pub(super) fn killed(load: Load) -> Outcome {
    let server = ElasticMq::persistent();
    let mut line = Line::new(&server, load);
    line.fill();
    // It has them on its disk.
    thread::sleep(4 * FORGOTTEN);
    line.carry(|line| {
        let kills = line.rounds(EVENTS);
        let adapter = line.adapter();
        for kill in 1..=kills {
            line.wait_for_part(kill, kills + 1);
            let last_written = Instant::now() - FORGOTTEN;
            line.server.kill();
            line.server.revive();
            line.wait_for_more(100);
            // What was deleted just before is there again, and what was in hand can't be deleted by the
            // handles that it had.
            let most = line.stage.sink.taken_between(last_written, Instant::now());
            line.stage.may_repeat(IN_FLIGHT + most);
            line.lost_track(last_written);
        }
        Left {
            adapters: vec![adapter],
            why: format!(
                "{kills} kills, each: {IN_FLIGHT} in flight, what was not deleted 0.5 s before it, and what was \
                 delivered from then until it was back"
            ),
        }
    })
}

/// It accepts connections and answers nothing, for longer than a lease.
pub(super) fn hangs(load: Load) -> Outcome {
    let server = ElasticMq::persistent();
    Line::new(&server, load).carry(|line| {
        let times = line.rounds(EVENTS);
        let adapter = line.adapter();
        for time in 1..=times {
            line.wait_for_part(time, times + 1);
            interrupted(line, || {
                line_pause(&server);
            });
        }
        Left {
            adapters: vec![adapter],
            why: format!("{times} times for {} s: {WHY}", LONG.as_secs()),
        }
    })
}

/// Longer than a lease.
const LONG: Duration = Duration::from_secs(LEASE + 2);

const WHY: &str = "what was in flight, and what was delivered from 0.7 s before until it was over";

fn line_pause(server: &ElasticMq) {
    server.pause();
    thread::sleep(LONG);
    server.resume();
}

/// What is delivered meanwhile can't be deleted before its lease ends.
fn interrupted(line: &mut Line<'_>, fault: impl FnOnce()) {
    let began = Instant::now();
    fault();
    let over = Instant::now();
    let meanwhile = line.stage.sink.taken_between(began, over);
    line.stage.may_repeat(meanwhile);
    line.lost_track(began);
}

/// The network between has faults.
pub(super) fn network(load: Load, toxic: Toxic) -> Outcome {
    let server = ElasticMq::shared();
    let address = server.endpoint().trim_start_matches("http://");
    let network = Network::to(address.parse().expect("an address"));
    let endpoint = format!("http://{}", network.address());
    Line::new(server, load).carry(|line| {
        let times = line.rounds(EVENTS);
        let adapter = line.adapter_at(&endpoint, &[]);
        for time in 1..=times {
            line.wait_for_part(time, times + 1);
            interrupted(line, || {
                network.poison(toxic);
                thread::sleep(LONG);
                network.heal();
            });
            line.wait_for_more(100);
        }
        // Until the end the adapter needs this way.
        line.stage.wait_for_all(line.load.events);
        let report = adapter.stop();
        assert!(!report.hard_stopped, "{report:?}");
        Left {
            adapters: Vec::new(),
            why: format!("{times} times for {} s: {WHY}", LONG.as_secs()),
        }
    })
}
