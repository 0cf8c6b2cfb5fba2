//! The program under test.

use std::{process::Command, time::Duration};

use eventlane_testkit::{Adapter, Process};

/// Long enough for anything that happens at all on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

const PROGRAM: &str = env!("CARGO_BIN_EXE_rocketmq-to-http");

/// The program with these flags and no others.
pub(crate) fn start(flags: &[&str]) -> Process {
    let mut command = Command::new(PROGRAM);
    command.args(flags);
    Process::spawn(command)
}

/// The program, which will leave a report.
pub(crate) fn reporting(flags: &[&str]) -> Adapter {
    Adapter::start(PROGRAM, flags)
}
