//! The program from outside.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use eventlane_testkit::{Process, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// A few seconds for the consumer group, the stream, and the drain; more on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// The quickstart at work.
pub(crate) struct Quickstart {
    process: Process,
    report: PathBuf,
    _directory: TempDir,
}

impl Quickstart {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the report");
        let report = directory.path().join("report.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
        command
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
        read(&self.report)
    }
}

fn read(report: &Path) -> Value {
    let report = std::fs::read(report).expect("there is a report");
    serde_json::from_slice(&report).expect("it is JSON")
}

#[test]
fn ends_by_itself_with_everything_delivered_in_order() {
    let report = Quickstart::start(&["--for", "10s", "--port", "0"]).report();
    let (pipeline, endpoint) = (&report["pipeline"], &report["endpoint"]);
    assert!(pipeline["delivered"].as_u64() > Some(1000), "{report}");
    assert_eq!(pipeline["received"], pipeline["delivered"], "{report}");
    assert_eq!(endpoint["accepted"], pipeline["delivered"], "{report}");
    for nothing in ["unsettled", "unconfirmed", "dead_lettered", "dropped"] {
        assert_eq!(pipeline[nothing], 0, "{nothing}: {report}");
    }
    for nothing in ["order_violations", "repeated", "invalid"] {
        assert_eq!(endpoint[nothing], 0, "{nothing}: {report}");
    }
}

#[test]
fn a_port_in_use_gives_the_next_one_and_a_signal_ends_it_well() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let quickstart = Quickstart::start(&["--port", &port.to_string()]);
    let url = quickstart.url();
    let other: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    assert!((port + 1..port + 50).contains(&other), "{url}");
    quickstart.stop();
    let report = quickstart.report();
    assert_eq!(report["pipeline"]["unsettled"], 0, "{report}");
}

#[test]
fn mistakes_are_told_in_one_line() {
    for (arguments, says) in [
        (["--port", "none"], "--port"),
        (["--for", "10"], "unit"),
        (["--speed", "9"], "--speed"),
        (["--rate", "0"], "--rate"),
    ] {
        let (status, stderr) =
            Process::start(env!("CARGO_BIN_EXE_quickstart"), arguments).wait(LIMIT);
        assert_eq!(status.code(), Some(2), "{arguments:?}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
}
