//! A server that speaks SQS, and `queue-to-http`.

use std::{
    net::SocketAddr,
    process::Command,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use eventlane_testkit::{
    eventually,
    sqs::{ElasticMq, Queue as SqsQueue},
};

use super::{
    line::{LEASE, Line, Lost, Queue},
    server,
};
use crate::{Load, Outcome, driver::Program, stage::LIMIT};

pub(super) struct Sqs<'a> {
    server: &'a ElasticMq,
    queue: SqsQueue,
}

impl<'a> Sqs<'a> {
    fn new(server: &'a ElasticMq, fifo: bool) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("line-{}", NUMBER.fetch_add(1, Relaxed));
        let queue = SqsQueue::create(server.endpoint(), &name, fifo, LEASE.as_secs());
        Self { server, queue }
    }

    pub(super) fn shared() -> Sqs<'static> {
        Sqs::new(ElasticMq::shared(), true)
    }
}

impl Queue for Sqs<'_> {
    fn send(&self, messages: &[(String, u64)]) {
        let sent = self.queue.send(messages);
        sent.unwrap_or_else(|error| panic!("the server takes every message: {error}"));
    }

    fn server(&self) -> SocketAddr {
        let address = self.server.endpoint().trim_start_matches("http://");
        address.parse().expect("an address")
    }

    fn program(&self, server: SocketAddr) -> Command {
        let mut program = Program::Queue.command();
        program
            .args(["--kind", "sqs", "--wait", "1"])
            .args(["--queue-url", self.queue.url()])
            .arg("--endpoint")
            .arg(format!("http://{server}"))
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
        program
    }

    fn lost(&self) -> Lost {
        Lost::Unsettled
    }

    fn wait_until_empty(&self) {
        eventually(LIMIT, "an empty queue", || {
            (self.queue.counts() == Ok((0, 0))).then_some(())
        });
    }
}

/// ElasticMQ forgets the order of what was on lease when it starts again, and nothing else: so nobody
/// asks for one.
pub(super) fn killed(load: Load) -> Outcome {
    let server = ElasticMq::persistent();
    let line = Line::new(Sqs::new(&server, false), load).without_order();
    server::killed(line, Duration::from_millis(500), |queue| {
        queue.server.kill();
        queue.server.revive();
    })
}

pub(super) fn hangs(load: Load) -> Outcome {
    let server = ElasticMq::persistent();
    server::hangs(
        Sqs::new(&server, true),
        load,
        |queue| queue.server.pause(),
        |queue| queue.server.resume(),
    )
}
