//! A FIFO queue under load.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use eventlane_testkit::{
    Adapter, eventually,
    sink::Faults,
    sqs::{ElasticMq, Queue},
};
use tokio::time::Instant;

use crate::{
    Load, Outcome,
    driver::Program,
    stage::{LIMIT, Stage},
};

/// Messages a second.
const RATE: u64 = 400;

/// Requests at a time.
pub(super) const IN_FLIGHT: u64 = 16;

/// How long what was delivered may not be deleted: deletes wait 100 ms for company; the rest is for the
/// request on a loaded machine.
pub(super) const UNDELETED: Duration = Duration::from_millis(700);

/// Of a message, in seconds.
pub(super) const LEASE: u64 = 4;

const GROUPS: u64 = 40;

/// A queue, and the endpoint that its messages go to.
pub(super) struct Line<'a> {
    pub(super) server: &'a ElasticMq,
    pub(super) stage: Stage,
    pub(super) load: Load,
    queue: Queue,
    sent: u64,
}

/// What is left when the faults are over.
pub(super) struct Left {
    /// Those that carry the rest.
    pub(super) adapters: Vec<Adapter>,
    /// How many messages may come twice, in words.
    pub(super) why: String,
}

impl<'a> Line<'a> {
    pub(super) fn new(server: &'a ElasticMq, load: Load) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("line-{}", NUMBER.fetch_add(1, Relaxed));
        let delay = Duration::from_millis(2)..Duration::from_millis(10);
        Self {
            server,
            stage: Stage::start(Faults {
                delay,
                ..Faults::default()
            }),
            // All groups are sent as many.
            load: Load {
                events: load.events.next_multiple_of(GROUPS),
                ..load
            },
            queue: Queue::create(server.endpoint(), &name, LEASE),
            sent: 0,
        }
    }

    /// A consumer of it.
    pub(super) fn adapter(&self) -> Adapter {
        self.adapter_at(self.server.endpoint(), &[])
    }

    /// The same that reaches the server elsewhere, with variables in its environment.
    pub(super) fn adapter_at(&self, endpoint: &str, variables: &[(&str, &str)]) -> Adapter {
        let mut program = Program::QueueToHttp.command();
        program
            .args(["--kind", "sqs", "--wait", "1"])
            .args(["--queue-url", self.queue.url(), "--endpoint", endpoint])
            .args(["--sink", &self.stage.sink.url()])
            .args(["--max-in-flight", &IN_FLIGHT.to_string()])
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .envs(variables.iter().copied());
        Adapter::spawn(program)
    }

    /// Sends all of it at once.
    pub(super) fn fill(&mut self) {
        self.send(u64::MAX);
    }

    fn send(&mut self, rate: u64) {
        send(&self.queue, self.load.events, rate);
        self.sent = self.load.events;
    }

    /// Sends the load at an even rate, unless it was sent already, and lets faults happen meanwhile.
    pub(super) fn carry(mut self, faults: impl FnOnce(&mut Self) -> Left) -> Outcome {
        let Self { queue, load, .. } = &self;
        let (queue, events) = (queue.clone(), load.events);
        let Left { adapters, why } = thread::scope(|scope| {
            let sent = self.sent;
            scope.spawn(move || {
                if sent == 0 {
                    send(&queue, events, RATE);
                }
            });
            faults(&mut self)
        });
        self.stage.wait_for_all(events);
        // Its leases have to end before it can be seen that nothing is left on them.
        for adapter in adapters {
            let report = adapter.stop();
            assert!(
                (report.unsettled, report.hard_stopped) == (0, false),
                "a stop in peace left something behind: {report:?}"
            );
        }
        let outcome = self
            .stage
            .outcome(&vec![events / GROUPS; GROUPS as usize], why);
        assert!(
            outcome.lost > 0 || self.queue.counts() == Ok((0, 0)),
            "everything was delivered, and left: {:?}",
            self.queue.counts()
        );
        outcome
    }

    /// How many messages are on lease.
    pub(super) fn leased(&self) -> u64 {
        eventually(LIMIT, "the queue's counts", || {
            self.queue.counts().ok().map(|(_, leased)| leased)
        })
    }

    /// `then` somebody lost what was in flight, and could not delete what it had delivered: as much as
    /// was on lease, and has come to the endpoint.
    pub(super) fn lost_track(&mut self, then: Instant) {
        self.stage.lost_track(IN_FLIGHT, then - UNDELETED, then);
    }

    /// Waits until so many more messages have been taken.
    pub(super) fn wait_for_more(&self, events: u64) {
        self.stage.wait_for_more(events, self.load.events);
    }

    /// Waits until the load is so far.
    pub(super) fn wait_for_part(&self, part: u64, of: u64) {
        self.stage.wait_for(self.load.events * part / of);
    }

    /// How often a fault that costs so much of the load can happen, at least once.
    pub(super) fn rounds(&self, events: u64) -> u64 {
        (self.load.events / events).max(1)
    }
}

/// Sends to each group in turn.
fn send(queue: &Queue, events: u64, rate: u64) {
    let start = Instant::now();
    let message = |at: u64| (format!("k{}", at % GROUPS), at / GROUPS);
    let mut sent = 0;
    while sent < events {
        let due = (rate as f64 * start.elapsed().as_secs_f64()).min(events as f64) as u64;
        if due < (sent + 10).min(events) {
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        let ten: Vec<_> = (sent..(sent + 10).min(events)).map(message).collect();
        queue
            .send(&ten)
            .unwrap_or_else(|error| panic!("the server takes every message: {error}"));
        sent += ten.len() as u64;
    }
}
