//! The clock on the wall jumps, which nothing may depend on.

use std::{fs, path::PathBuf};

use super::line::{Left, Line, Queue};
use crate::{
    Load, Outcome,
    toxiproxy::{Network, Toxic},
};

/// An hour ahead, a day back, a year ahead, three more and a few back, under way.
const JUMPS: [&str; 8] = [
    "+3600",
    "-86400",
    "+31536000",
    "+63072000",
    "+94608000",
    "+126144000",
    "-3600",
    "+0",
];

/// It jumps under a program that runs, and has bodies of requests and answers under way all the time,
/// since they come at 10 KB/s. Leases are measured by the monotonic one, which does not; that
/// one stands still in a program that is asleep, which is another scenario.
pub(super) fn jumps(queue: impl Queue, load: Load) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clock = directory.path().join("clock");
    let set = |jump: &str| fs::write(&clock, jump).expect("the clock can be set");
    set("+0");
    let library = libfaketime();
    let text = |path: &PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
    let variables = [
        ("LD_PRELOAD", &*text(&library)),
        ("FAKETIME_TIMESTAMP_FILE", &text(&clock)),
        // It would look at the file every ten seconds.
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let network = Network::to(queue.server());
    network.poison(Toxic::Slow { rate: 10 });
    Line::new(queue, load).carry(|line| {
        let adapter = line.adapter_at(network.address(), &variables);
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
    let mut files = places.map(|place| place.path().join("faketime/libfaketimeMT.so.1"));
    files.find(|file| file.exists()).expect(
        "libfaketime is missing; install it with: apt-get install libfaketime; EVENTLANE_SKIP_REAL=1 leaves this out",
    )
}
