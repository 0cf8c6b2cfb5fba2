//! The program under test.

use std::time::Duration;

use eventlane_testkit::{Kafka, Process};
use serde::Deserialize;
use tempfile::TempDir;

/// Long enough for anything that happens at all on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

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
    pub(crate) dropped: u64,
    pub(crate) unsettled: u64,
    pub(crate) unconfirmed: u64,
    pub(crate) hard_stopped: bool,
}

impl Adapter {
    /// Carries `topic` to `sink` for `group`, with further flags. Dead members of the group are
    /// noticed after 6 s.
    pub(crate) fn start(
        bootstrap: &str,
        topic: &str,
        group: &str,
        sink: &str,
        flags: &[&str],
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let report = directory.path().join("report.json");
        let usual = [
            "--brokers",
            bootstrap,
            "--topic",
            topic,
            "--group",
            group,
            "--sink",
            sink,
        ];
        let session = ["--set", "session.timeout.ms=6000"];
        let arguments = usual
            .into_iter()
            .chain(session)
            .chain(flags.iter().copied());
        let report_json = ["--report-json", report.to_str().expect("a path in UTF-8")];
        let process = Process::start(
            env!("CARGO_BIN_EXE_kafka-to-http"),
            arguments.chain(report_json),
        );
        Self { process, directory }
    }

    /// The same for a group of the topic's own on plaintext brokers.
    pub(crate) fn on(kafka: &Kafka, topic: &str, sink: &str, flags: &[&str]) -> Self {
        Self::start(&kafka.bootstrap(), topic, topic, sink, flags)
    }

    /// Waits until it ends by itself, as `--until-idle` makes it, in success.
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
