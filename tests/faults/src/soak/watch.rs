//! What a running program has in use.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use eventlane_testkit::Process;
use tokio::time::Instant;

const PERIOD: Duration = Duration::from_secs(5);

/// At one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Since the first one.
    pub(super) at: Duration,
    /// Whether nothing has gone wrong for a while.
    pub(super) quiet: bool,
    /// Resident memory, in bytes.
    pub(super) resident: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
    pub(super) tasks: u64,
}

/// Samples a program every 5 s until `done`.
pub(super) fn watch(
    process: &Process,
    busy: &AtomicBool,
    done: &AtomicBool,
    every: Duration,
) -> Vec<Sample> {
    let start = Instant::now();
    let (mut samples, mut disturbed) = (Vec::new(), start);
    while !done.load(Relaxed) {
        if busy.load(Relaxed) {
            disturbed = Instant::now();
        }
        let at = start.elapsed();
        if at >= PERIOD * samples.len() as u32 {
            let quiet = disturbed.elapsed() > every / 4;
            if let Some(sample) = sample(process, at, quiet) {
                // As it goes, should the rest of the run never be reported.
                if samples.len() % 12 == 0 {
                    eprintln!("{sample:?}");
                }
                samples.push(sample);
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
    samples
}

/// As comma-separated values.
pub(super) fn table(samples: &[Sample]) -> String {
    let row = |it: &Sample| {
        format!(
            "{:.1},{},{},{},{},{}\n",
            it.at.as_secs_f64(),
            it.quiet,
            it.resident / 1024,
            it.descriptors,
            it.threads,
            it.tasks
        )
    };
    let head = "seconds,quiet,resident kB,descriptors,threads,tasks\n".to_owned();
    samples.iter().map(row).fold(head, |text, row| text + &row)
}

fn sample(process: &Process, at: Duration, quiet: bool) -> Option<Sample> {
    let stderr = process.stderr();
    let tasks = |line: &str| line.strip_prefix("tasks: ")?.parse().ok();
    Some(Sample {
        at,
        quiet,
        resident: process.resident()?,
        descriptors: process.descriptors()?,
        threads: process.threads()?,
        tasks: stderr.lines().rev().find_map(tasks)?,
    })
}
