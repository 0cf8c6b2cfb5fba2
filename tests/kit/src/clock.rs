//! What a bench's run took.

#![allow(clippy::disallowed_types, reason = "a bench measures real time")]

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Real and processor time since it was made.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    cpu: f64,
}

/// What a run took: what a child process prints and its parent reads.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Took {
    pub seconds: f64,
    pub cpu_seconds: f64,
}

impl Clock {
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
            cpu: cpu_seconds(),
        }
    }

    pub fn stop(&self) -> Took {
        Took {
            seconds: self.began.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds() - self.cpu,
        }
    }
}

impl Took {
    /// Messages a second.
    pub fn rate(self, messages: usize) -> f64 {
        messages as f64 / self.seconds
    }

    /// CPU time of a message, in µs.
    pub fn cpu_micros(self, messages: usize) -> f64 {
        self.cpu_seconds * 1e6 / messages as f64
    }
}

/// Of this process, in user and kernel mode, in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// The one in the middle, or NaN of none.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
