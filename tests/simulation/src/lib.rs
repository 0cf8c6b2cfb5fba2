//! Deterministic simulation of eventlane: the real engine and the real queue poller on a paused
//! clock, in worlds where everything goes wrong that can, and an oracle that knows nothing of how
//! they work. `README.md` says what is checked, and how to repeat and shrink a seed.

mod dice;
mod lanes;
mod ledger;
mod life;
mod log;
mod log_source;
mod observe;
mod plan;
mod queue;
mod run;
mod settle;
mod shrink;
mod sink;
mod watch;
mod world;

pub use dice::Fault;
pub use plan::Plan;
pub use run::run;
pub use shrink::{Cuts, shrink};
pub use watch::{Watch, watch};

/// What came of a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What must not be; empty if all is well.
    pub violations: Vec<String>,
    /// What happened, if it was asked for.
    pub trace: Vec<String>,
    /// What went wrong as planned.
    pub faults: Vec<Fault>,
    /// Events that the sink took, duplicates included.
    pub accepted: u64,
    /// How often an event was taken once more.
    pub duplicates: u64,
}
