//! What the quickstart and the livestream have in common: a simulated live room, an endpoint's
//! moods, who checks the order, and what every page of theirs looks like.

pub mod crowd;
pub mod faults;
pub mod latency;
pub mod ledger;
pub mod live_stream;
pub mod page;
pub mod program;
