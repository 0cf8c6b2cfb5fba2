//! The cases, by theme. Each sets its own stage, and says in one line what it shows.

mod close;
mod delivery;
mod demand;
mod hand_over;
mod leases;
mod settling;

use futures_util::future::BoxFuture;

use super::stage::{Stage, Traits, Verdict};
use crate::source::Settling;

/// A case, and when it applies.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Why it does not apply, if it doesn't.
    pub(super) exempt: fn(&Traits) -> Option<&'static str>,
    pub(super) run: for<'s> fn(&'s Stage<'_>) -> BoxFuture<'s, Verdict>,
}

macro_rules! cases {
    ($($theme:ident { $($name:ident: $exempt:expr,)+ })+) => {
        /// All cases, in the order in which they are run.
        pub(super) const ALL: &[Case] = &[$($(Case {
            name: stringify!($name),
            exempt: $exempt,
            run: |stage| Box::pin($theme::$name(stage)),
        },)+)+];
    };
}

cases! {
    delivery {
        delivers_all: never,
        keeps_order: |traits| (traits.order == super::Order::None).then_some("it keeps no order"),
        redelivers_what_was_abandoned: never,
        loses_nothing_when_polls_are_dropped: never,
    }
    settling {
        settles_by_position: unless_log,
        commits_only_below_the_gap: unless_log,
        settles_one_by_one: unless_queue,
        settles_while_a_poll_waits: never,
        refuses_the_wrong_settlement: never,
    }
    hand_over {
        epochs_rise: unless_handed_over,
        fences_late_settlements: unless_handed_over,
        hands_over_what_was_settled: unless_handed_over,
    }
    leases {
        redelivers_when_a_lease_ends: unless_leased,
        fences_ended_leases: unless_leased,
        keeps_extended_leases: |traits| {
            let none = (!traits.capability.extend).then_some("it can't extend leases");
            unless_leased(traits).or(none)
        },
        releases_when_told: |traits| {
            (!traits.capability.release).then_some("it can't release messages")
        },
    }
    demand {
        caps_records: never,
        caps_bytes: never,
        gives_nothing_without_demand: never,
        pauses_and_resumes: |traits| (!traits.capability.pause).then_some("it can't be paused"),
    }
    close {
        gives_back_when_closed: never,
        fences_when_closed: never,
    }
}

fn never(_: &Traits) -> Option<&'static str> {
    None
}

fn unless_log(traits: &Traits) -> Option<&'static str> {
    (traits.capability.settling != Settling::Cumulative).then_some("it is settled one by one")
}

fn unless_queue(traits: &Traits) -> Option<&'static str> {
    (traits.capability.settling != Settling::Individual).then_some("it is settled by position")
}

fn unless_leased(traits: &Traits) -> Option<&'static str> {
    traits
        .capability
        .lease
        .is_none()
        .then_some("it has no leases")
}

fn unless_handed_over(traits: &Traits) -> Option<&'static str> {
    let none = (!traits.hands_over).then_some("it hands nothing over to a second source");
    none.or(unless_log(traits))
}
