//! Leased queues, a server that speaks SQS and RocketMQ: what happens to them, to the programs that read
//! them, between them, and to their clocks.

use crate::{Load, Outcome, Scenario, toxiproxy::Toxic};

mod bare;
mod clock;
mod consumer;
mod line;
mod rocketmq;
mod server;
mod sqs;

use rocketmq::Topic;
use sqs::Sqs;

pub(crate) fn scenarios() -> Vec<Scenario> {
    [sqs_scenarios(), rocketmq_scenarios()].concat()
}

fn sqs_scenarios() -> Vec<Scenario> {
    vec![
        scenario("queue/adapter-killed", Some(2_000), |load| {
            consumer::killed(Sqs::shared(), load)
        }),
        scenario("queue/adapter-stopped", None, |load| {
            consumer::stopped(Sqs::shared(), load)
        }),
        scenario("queue/members-come-and-go", Some(2_000), |load| {
            consumer::storm(Sqs::shared(), load)
        }),
        scenario("queue/server-killed", Some(2_000), sqs::killed),
        scenario("queue/server-hangs", None, sqs::hangs),
        scenario("queue/network-cut", None, |load| {
            server::network(Sqs::shared(), load, Toxic::Cut)
        }),
        scenario("queue/network-slow", None, |load| {
            server::network(Sqs::shared(), load, Toxic::Slow { rate: 1_000 })
        }),
        scenario("queue/network-reset", None, |load| {
            server::network(Sqs::shared(), load, Toxic::Reset)
        }),
        scenario("queue/network-hangs", Some(2_000), |load| {
            server::network(Sqs::shared(), load, Toxic::Hang)
        }),
        scenario("queue/asleep-past-leases", Some(2_000), |load| {
            consumer::asleep(Sqs::shared(), load)
        }),
        scenario("queue/wall-clock-jumps", None, |load| {
            clock::jumps(Sqs::shared(), load)
        }),
    ]
}

fn rocketmq_scenarios() -> Vec<Scenario> {
    vec![
        scenario("rocketmq/adapter-killed", Some(2_000), |load| {
            consumer::killed(Topic::shared(), load)
        }),
        scenario("rocketmq/adapter-stopped", None, |load| {
            consumer::stopped(Topic::shared(), load)
        }),
        scenario("rocketmq/members-come-and-go", None, |load| {
            consumer::storm(Topic::shared(), load)
        }),
        scenario("rocketmq/broker-killed", None, rocketmq::broker_killed),
        scenario(
            "rocketmq/bare-broker-killed",
            None,
            rocketmq::broker_killed_bare,
        ),
        scenario("rocketmq/proxy-killed", None, rocketmq::proxy_killed),
        scenario("rocketmq/network-cut", None, |load| {
            server::network(Topic::shared(), load, Toxic::Cut)
        }),
        scenario("rocketmq/network-slow", None, |load| {
            server::network(Topic::shared(), load, Toxic::Slow { rate: 1_000 })
        }),
        scenario("rocketmq/network-reset", None, |load| {
            server::network(Topic::shared(), load, Toxic::Reset)
        }),
        scenario("rocketmq/network-hangs", Some(2_000), |load| {
            server::network(Topic::shared(), load, Toxic::Hang)
        }),
        scenario("rocketmq/asleep-past-leases", Some(2_000), |load| {
            consumer::asleep(Topic::shared(), load)
        }),
    ]
}

fn scenario(name: &'static str, quick: Option<u64>, run: fn(Load) -> Outcome) -> Scenario {
    Scenario {
        name,
        events: 10_000,
        quick,
        run,
    }
}
