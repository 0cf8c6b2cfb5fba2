//! What is measured.

use serde::Serialize;

use crate::fill::Keys;

/// One thing to find out, and who takes part.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) keys: Keys,
    /// Bytes of a record's payload.
    pub(crate) size: usize,
    pub(crate) in_flight: usize,
    /// How long the endpoint takes to answer, in milliseconds.
    pub(crate) delay: u64,
    pub(crate) load: Load,
    pub(crate) peer: Contender,
    /// What eventlane is to reach.
    pub(crate) targets: &'static [Target],
}

/// Where the records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Load {
    /// They are there already.
    Backlog,
    /// The same, delivered in batches of 100 that wait 10 ms for company at most.
    Batches,
    /// So many a second.
    Live(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Contender {
    /// rdkafka and hyper with nothing in between.
    #[serde(rename = "bare loop")]
    BareLoop,
    /// rdkafka without sending anything.
    #[serde(rename = "consuming alone")]
    Consuming,
    /// kafka-to-http with key order.
    #[serde(rename = "eventlane")]
    Eventlane,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BareLoop => "bare loop",
            Self::Consuming => "consuming alone",
            Self::Eventlane => "eventlane",
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Target {
    /// At least this share of the peer's events per second.
    Share(f64),
    /// At most this many times the peer's CPU time per event.
    Cpu(f64),
    /// At least so many events per second.
    Rate(f64),
    /// At least so many, or this share of the peer's, whichever is more.
    RateOrShare(f64, f64),
    /// Nothing uncommitted two seconds after the last delivery.
    Committed,
}

const AS_BARE: &[Target] = &[Target::Share(0.85), Target::Cpu(1.2)];

const BACKLOG: Scenario = Scenario {
    name: "backlog",
    about: "220-byte events, 1,000 keys alike often, the endpoint answers at once",
    keys: Keys::Uniform,
    size: 220,
    in_flight: 64,
    delay: 0,
    load: Load::Backlog,
    peer: Contender::BareLoop,
    targets: AS_BARE,
};

pub(crate) const ALL: [Scenario; 6] = [
    BACKLOG,
    Scenario {
        name: "zipf",
        about: "220-byte events, 1,000 keys of Zipf distribution, the endpoint answers at once",
        keys: Keys::Zipf,
        ..BACKLOG
    },
    Scenario {
        name: "large",
        about: "1 KB events, 1,000 keys alike often, the endpoint answers at once",
        size: 1000,
        ..BACKLOG
    },
    Scenario {
        name: "slow",
        about: "220-byte events, 1,000 keys alike often, the endpoint answers after 10 ms, 1,000 requests in flight",
        in_flight: 1000,
        delay: 10,
        targets: &[Target::Rate(25_000.0)],
        ..BACKLOG
    },
    Scenario {
        name: "batched",
        about: "220-byte events in batches of 100 (linger 10 ms), 1,000 keys alike often, 8 requests in flight",
        // With 64 batches in flight most keys wait for one, and what waits for them has left the
        // cache when its turn comes: a third slower.
        in_flight: 8,
        load: Load::Batches,
        peer: Contender::Consuming,
        targets: &[Target::RateOrShare(250_000.0, 0.25)],
        ..BACKLOG
    },
    Scenario {
        name: "live",
        about: "2,000 events of 220 bytes a second, 1,000 keys of Zipf distribution; latency from the time at which an event was to be sent",
        keys: Keys::Zipf,
        load: Load::Live(2000),
        targets: &[Target::Committed],
        ..BACKLOG
    },
];
