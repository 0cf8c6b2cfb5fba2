//! The program under test.

use std::{process::Command, time::Duration};

use eventlane_testkit::Process;
use serde::Deserialize;
use tempfile::TempDir;

/// Long enough for anything that happens at all on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// The program, running.
pub(crate) struct Adapter {
    pub(crate) process: Process,
    directory: TempDir,
}

/// What the program reports in the end.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) received: u64,
    pub(crate) delivered: u64,
    pub(crate) retried: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) unsettled: u64,
    pub(crate) unconfirmed: u64,
}

/// The program with these flags and no others.
pub(crate) fn start(flags: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocketmq-to-http"));
    command.args(flags);
    Process::spawn(command)
}

impl Adapter {
    /// Starts the program, which will leave a report.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let report = directory.path().join("report.json");
        let report_json = ["--report-json", report.to_str().expect("a path in UTF-8")];
        let process = start(&[flags, &report_json].concat());
        Self { process, directory }
    }

    /// Waits until it ends in success: by itself, as `--until-idle` makes it, or told before.
    pub(crate) fn finish(self) -> Report {
        let Self { process, directory } = self;
        let stderr = process.succeed(LIMIT);
        // Shown if the test fails.
        eprintln!("standard error of a program that has ended:\n{stderr}");
        let report = std::fs::read(directory.path().join("report.json"));
        let report = report.unwrap_or_else(|error| panic!("no report: {error}"));
        serde_json::from_slice(&report).expect("a report")
    }

    /// Asks it to stop and waits until it has, in success.
    pub(crate) fn stop(self) -> Report {
        self.process.signal("TERM");
        self.finish()
    }

    /// Kills it.
    pub(crate) fn kill(self) {
        self.process.signal("KILL");
        drop(self.process.wait(LIMIT));
    }
}
