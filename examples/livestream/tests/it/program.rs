//! The program from outside.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use eventlane_testkit::{Kafka, Process, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// A few seconds for the consumer groups, the stream, and the drain; more on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// The livestream at work.
pub(crate) struct Livestream {
    process: Process,
    report: PathBuf,
    _directory: TempDir,
}

impl Livestream {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the report");
        let report = directory.path().join("report.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_livestream"));
        command
            .args(["--port", "0"])
            .args(arguments)
            .arg("--report-json")
            .arg(&report)
            .stdout(Stdio::null());
        Self {
            process: Process::spawn(command),
            report,
            _directory: directory,
        }
    }

    /// Where its page is: the first thing that it says.
    pub(crate) fn url(&self) -> String {
        eventually(Duration::from_secs(30), "the URL", || {
            let said = self.process.stderr();
            let (first, _) = said.split_once('\n')?;
            let url = first.split(' ').find(|word| word.starts_with("http://"))?;
            Some(url.to_owned())
        })
    }

    pub(crate) fn stop(&self) {
        self.process.signal("TERM");
    }

    /// Waits for its success, and returns its report.
    pub(crate) fn report(self) -> Value {
        self.process.succeed(LIMIT);
        let report = std::fs::read(&self.report).expect("there is a report");
        serde_json::from_slice(&report).expect("it is JSON")
    }
}

/// What was sent was scored, what was scored came back, in order.
pub(crate) fn assert_complete(report: &Value) {
    assert_eq!(report["sent"], report["scored"], "{report}");
    assert_eq!(report["scored"], report["replies"], "{report}");
    for nothing in ["lost", "left", "order_violations"] {
        assert_eq!(report[nothing], 0, "{nothing}: {report}");
    }
    for pipeline in ["scoring", "returning"] {
        for nothing in ["unsettled", "unconfirmed", "dead_lettered", "dropped"] {
            assert_eq!(report[pipeline][nothing], 0, "{nothing}: {report}");
        }
    }
}

/// Also on a real Kafka, whose topics are gone in the end.
#[test]
fn ends_by_itself_and_loses_nothing() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let brokers = kafka.bootstrap();
    let arguments = ["--brokers", &brokers, "--for", "7s", "--rate", "100"];
    let report = Livestream::start(&arguments).report();
    assert!(report["sent"].as_u64() > Some(100), "{report}");
    assert_complete(&report);
    assert_eq!(report["workers"]["killed"], 0, "{report}");
    assert_eq!(kafka.topics(), Vec::<String>::new());
}

#[test]
fn mistakes_are_told_in_one_line() {
    for (arguments, says) in [
        (["--port", "none"], "--port"),
        (["--workers", "0"], "--workers"),
        (["--speed", "9"], "--speed"),
    ] {
        let (status, stderr) =
            Process::start(env!("CARGO_BIN_EXE_livestream"), arguments).wait(LIMIT);
        assert_eq!(status.code(), Some(2), "{arguments:?}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
}
