//! Where an adapter runs that is given resources: its files, its secrets, its endpoint.

use std::{fmt::Write, fs};

use eventlane_testkit::Process;

use super::gateway::Gateway;
use crate::support::{Files, command};

/// An endpoint, and resources that carry to it.
pub(super) struct Host {
    pub(super) gateway: Gateway,
    pub(super) files: Files,
    resources: String,
}

impl Host {
    pub(super) fn new() -> Self {
        Self {
            gateway: Gateway::start(),
            files: Files::new(),
            resources: String::new(),
        }
    }

    /// A resource as it is written.
    pub(super) fn resource(&mut self, text: &str) {
        write!(self.resources, "---\n{text}").unwrap();
    }

    /// A secret, as a cluster mounts it.
    pub(super) fn secret(&self, name: &str, key: &str, value: &[u8]) {
        let directory = self.files.path("secrets").join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(key), value).unwrap();
    }

    /// An adapter with all resources.
    pub(super) fn start(&self) -> Process {
        self.start_with(&["--grace", "3s"], &[])
    }

    /// The same with further flags and an environment.
    pub(super) fn start_with(&self, flags: &[&str], variables: &[(&str, &str)]) -> Process {
        let file = self.files.write("resources.yaml", &self.resources);
        let mut command = command(["run", "--log-format", "text", "--listen", "127.0.0.1:0"]);
        command.arg("--secrets").arg(self.files.path("secrets"));
        command.args(flags).arg(file);
        command.envs(variables.iter().copied());
        Process::spawn(command)
    }
}
