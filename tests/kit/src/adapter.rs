//! The programs that carry messages to an endpoint, and what they report.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::Deserialize;
use tempfile::TempDir;

use crate::Process;

/// Long enough for anything that happens at all on a loaded machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A program that carries messages, running. Killed when dropped.
#[derive(Debug)]
pub struct Adapter {
    pub process: Process,
    directory: TempDir,
}

/// What such a program reports in the end.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Report {
    pub received: u64,
    pub delivered: u64,
    pub retried: u64,
    pub dead_lettered: u64,
    pub dropped: u64,
    pub unsettled: u64,
    pub unconfirmed: u64,
    pub hard_stopped: bool,
}

impl Adapter {
    /// Starts a program, which is told to leave a report.
    pub fn start(program: impl AsRef<Path>, flags: &[&str]) -> Self {
        let mut command = Command::new(program.as_ref());
        command.args(flags);
        Self::spawn(command)
    }

    /// The same for a command with an environment of its own.
    pub fn spawn(mut command: Command) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        command
            .arg("--report-json")
            .arg(directory.path().join("report.json"));
        Self {
            process: Process::spawn(command),
            directory,
        }
    }

    /// Waits until it ends in success: by itself, as `--until-idle` makes it, or told before.
    pub fn finish(self) -> Report {
        let Self { process, directory } = self;
        let stderr = process.succeed(LIMIT);
        // Shown if the test fails.
        eprintln!("standard error of a program that has ended:\n{stderr}");
        let report = fs::read(directory.path().join("report.json"));
        let report = report.unwrap_or_else(|error| panic!("no report: {error}"));
        serde_json::from_slice(&report).expect("a report")
    }

    /// Asks it to stop and waits until it has, in success.
    pub fn stop(self) -> Report {
        self.process.signal("TERM");
        self.finish()
    }

    /// Kills it.
    pub fn kill(self) {
        self.process.signal("KILL");
        drop(self.process.wait(LIMIT));
    }
}

/// Builds a program of the workspace as the running one was built, and says where it is.
pub fn build(package: &str) -> PathBuf {
    let directory = profile_directory();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--package", package])
        .arg("--manifest-path")
        .arg(manifest);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let status = command.status().expect("cargo can be run");
    assert!(status.success(), "{package} can't be built");
    directory.join(package)
}

/// Where cargo puts the programs that it builds along with the running one.
pub fn profile_directory() -> PathBuf {
    let mut directory = std::env::current_exe().expect("this program has a path");
    directory.pop();
    // Tests lie one deeper.
    if directory.ends_with("deps") {
        directory.pop();
    }
    directory
}
