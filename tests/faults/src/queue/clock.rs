//! Clocks jump: the one that leases are measured by, while the program does not run; and the one on the
//! wall, which nothing may depend on.

use std::{fs, path::PathBuf, thread, time::Duration};

use eventlane_testkit::sqs::ElasticMq;
use tokio::time::Instant;

use super::line::{IN_FLIGHT, LEASE, Left, Line};
use crate::{Load, Outcome};

/// One sleep for so much of the load.
const EVENTS: u64 = 1_500;

/// One of two consumers is stopped for longer than its leases, which the other one gets; then it goes
/// on, with all that it still believes to have, and the answers to what it had sent.
pub(super) fn asleep(load: Load) -> Outcome {
    Line::new(ElasticMq::shared(), load).carry(|line| {
        let times = line.rounds(EVENTS);
        let adapters = vec![line.adapter(), line.adapter()];
        for time in 1..=times {
            line.wait_for_part(time, times + 1);
            let sleeper = &adapters[time as usize % 2];
            line.wait_for_more(100);
            let asleep = Instant::now();
            sleeper.process.signal("STOP");
            line.lost_track(asleep);
            thread::sleep(Duration::from_secs(LEASE + 2));
            sleeper.process.signal("CONT");
            line.wait_for_more(100);
        }
        Left {
            adapters,
            why: format!(
                "{times} times for {} s with leases of {LEASE} s, each: {IN_FLIGHT} in flight, and what was delivered \
                 in the 0.7 s before",
                LEASE + 2
            ),
        }
    })
}

/// An hour ahead, a day back, a year ahead, under way.
const JUMPS: [&str; 5] = ["+3600", "-86400", "+31536000", "-3600", "+0"];

/// The time of day jumps under a program that runs. What runs by the monotonic clock does not notice.
pub(super) fn jumps(load: Load) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clock = directory.path().join("clock");
    let set = |jump: &str| fs::write(&clock, jump).expect("the clock can be set");
    set("+0");
    let library = libfaketime();
    let variables = [
        ("LD_PRELOAD", library.to_str().expect("a path in UTF-8")),
        (
            "FAKETIME_TIMESTAMP_FILE",
            clock.to_str().expect("a path in UTF-8"),
        ),
        // It would look at the file every ten seconds.
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    Line::new(ElasticMq::shared(), load).carry(|line| {
        let adapter = line.adapter_at(line.server.endpoint(), &variables);
        for (part, jump) in (1..).zip(JUMPS) {
            line.wait_for_part(part, JUMPS.len() as u64 + 1);
            set(jump);
        }
        Left {
            adapters: vec![adapter],
            why: format!(
                "{} jumps: leases are measured by another clock",
                JUMPS.len()
            ),
        }
    })
}

fn libfaketime() -> PathBuf {
    let places = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let files = places.map(|place| place.path().join("faketime/libfaketimeMT.so.1"));
    files.into_iter().find(|file| file.exists()).expect(
        "libfaketime is missing; install it with: apt-get install libfaketime; EVENTLANE_SKIP_REAL=1 leaves this out",
    )
}
