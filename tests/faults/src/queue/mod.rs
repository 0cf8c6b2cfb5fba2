//! Leased queues: a server that speaks SQS, `queue-to-http`, and what happens to them, between them and
//! to their clocks.

use crate::{Load, Outcome, Scenario, toxiproxy::Toxic};

mod adapter;
mod clock;
mod line;
mod server;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let scenario = |name, quick, run| Scenario {
        name,
        events: 20_000,
        quick,
        run,
    };
    vec![
        scenario("queue/adapter-killed", Some(3_000), adapter::killed),
        scenario("queue/adapter-stopped", Some(3_000), adapter::stopped),
        scenario("queue/members-come-and-go", Some(3_000), adapter::storm),
        scenario("queue/server-killed", Some(2_000), server::killed),
        scenario("queue/server-hangs", None, server::hangs),
        scenario("queue/network-cut", None, |load| network(load, Toxic::Cut)),
        scenario("queue/network-slow", None, |load| {
            network(load, Toxic::Slow { rate: 1_000 })
        }),
        scenario("queue/network-reset", None, |load| {
            network(load, Toxic::Reset)
        }),
        scenario("queue/network-hangs", Some(3_000), |load| {
            network(load, Toxic::Hang)
        }),
        scenario("queue/asleep-past-leases", Some(3_000), clock::asleep),
        scenario("queue/wall-clock-jumps", Some(2_000), clock::jumps),
    ]
}

fn network(load: Load, toxic: Toxic) -> Outcome {
    server::network(load, toxic)
}
