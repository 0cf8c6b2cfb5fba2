//! The poller, over a broker in memory whose every rule it has to keep, under a paused clock.

mod broker;
mod conformance;
mod groups;
mod leases;
mod letters;
mod receives;
mod settling;
mod stopping;
mod support;
