//! eventlane's promise under real faults: real brokers, adapters in processes of their own, and an endpoint
//! that knows what it must get.
//!
//! A [`Scenario`] is a load and the faults under it. What comes of it is counted by the endpoint and
//! judged in one place, [`Judged`]. The scenarios of a kind of fault are a folder; [`scenarios`] lists
//! them all.

mod driver;
mod file;
mod kafka;
mod leased;
mod scenario;
mod sink;
pub mod soak;
mod stage;
pub mod table;
mod toxiproxy;

pub use scenario::{Bound, Judged, Load, Outcome, Scenario, run, scenarios};
