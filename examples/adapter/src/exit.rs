//! What the process's exit code says.

use std::process::ExitCode;

/// How a run ended. Of several, the worst counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done: pipelines drained, checks passed.
    #[default]
    Done = 0,
    /// Work was cut off at the end of the grace time, or what was done could not be settled. It
    /// comes again at the next start.
    Unsettled = 3,
    /// A pipeline failed, or a check did.
    Failed = 1,
    /// The configuration or the command line can't work; nothing was consumed.
    Config = 2,
    /// A second signal ended the process at once.
    Interrupted = 4,
}

impl Exit {
    /// The worse of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Done => 0,
            Self::Unsettled => 1,
            Self::Failed => 2,
            Self::Config => 3,
            Self::Interrupted => 4,
        };
        if rank(other) > rank(self) {
            other
        } else {
            self
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
