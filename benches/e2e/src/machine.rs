//! Where it was measured.

use std::{fmt, fs, process::Command, thread};

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    rustc: String,
    librdkafka: String,
    profile: &'static str,
    /// Before the first run, over one minute: of others, since this bench had not begun.
    load: f64,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory
            .split(' ')
            .next()
            .and_then(|kib| kib.parse::<f64>().ok());
        let rustc = Command::new("rustc").arg("--version").output();
        let load = read("/proc/loadavg");
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kib.unwrap_or_default() / f64::from(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: rustc.map_or_else(
                |_| "rustc".to_owned(),
                |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            ),
            librdkafka: rdkafka::util::get_rdkafka_version().1,
            profile: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
            load: load
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or_default(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            cores,
            memory_gib,
            kernel,
            rustc,
            librdkafka,
            profile,
            load,
        } = self;
        write!(
            f,
            "{processor}, {cores} cores, {memory_gib:.0} GiB; Linux {kernel}; {rustc}; librdkafka {librdkafka}; \
             {profile}; load before: {load}"
        )
    }
}
