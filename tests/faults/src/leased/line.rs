//! A queue under load.

use std::{net::SocketAddr, process::Command, sync::Arc, thread, time::Duration};

use eventlane_testkit::{Adapter, sink::Faults};
use tokio::time::Instant;

use crate::{Load, Outcome, stage::Stage};

/// Messages a second.
const RATE: u64 = 400;

/// Requests at a time.
pub(super) const IN_FLIGHT: u64 = 16;

/// How long what was delivered may not be settled: that waits 100 ms for company; the rest is for the
/// request on a loaded machine.
const UNSETTLED: Duration = Duration::from_millis(700);

/// Of a message: longer than anything here stands still on a loaded machine, or it is lost.
pub(super) const LEASE: Duration = Duration::from_secs(10);

pub(super) const GROUPS: u64 = 40;

/// A queue of some system, and the program for it.
pub(super) trait Queue: Send + Sync {
    /// Sends at most ten messages, of a group, which is their key, and with a number. Panics unless
    /// the server has taken them all.
    fn send(&self, messages: &[(String, u64)]);
    /// Where its server is.
    fn server(&self) -> SocketAddr;
    /// The program that reads it, from a server that is reached there.
    fn program(&self, server: SocketAddr) -> Command;
    /// What is delivered and comes again, when a consumer and its leases are lost.
    fn lost(&self) -> Lost;
    /// Panics if it still has messages in the end.
    fn wait_until_empty(&self);
}

/// How much comes again at most, if what was on lease is lost.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lost {
    /// What was in flight, and what was not settled yet.
    Unsettled,
    /// All that was on lease: settled counts only up to the first that was not.
    OnLease(u64),
}

impl Lost {
    pub(super) fn why_stopped(self) -> String {
        match self {
            Self::Unsettled => "what was in flight ends and is settled".to_owned(),
            Self::OnLease(_) => self.why(),
        }
    }

    pub(super) fn why(self) -> String {
        match self {
            Self::Unsettled => {
                format!("{IN_FLIGHT} in flight, and what was delivered in the 0.7 s before")
            }
            Self::OnLease(most) => {
                format!("{most} on lease, of which acknowledgements count up to the first gap")
            }
        }
    }
}

/// A queue, and the endpoint that its messages go to.
pub(super) struct Line<Q> {
    pub(super) queue: Arc<Q>,
    pub(super) stage: Stage,
    pub(super) load: Load,
    ordered: bool,
    filled: bool,
}

/// What is left when the faults are over.
pub(super) struct Left {
    /// Those that carry the rest.
    pub(super) adapters: Vec<Adapter>,
    /// How many messages may come twice, in words.
    pub(super) why: String,
}

impl<Q: Queue> Line<Q> {
    pub(super) fn new(queue: Q, load: Load) -> Self {
        let delay = Duration::from_millis(2)..Duration::from_millis(10);
        Self {
            queue: Arc::new(queue),
            stage: Stage::start(Faults {
                delay,
                ..Faults::default()
            }),
            // All groups are sent as many.
            load: Load {
                events: load.events.next_multiple_of(GROUPS),
                ..load
            },
            ordered: true,
            filled: false,
        }
    }

    /// The same with each message a group of its own, for what keeps no order.
    pub(super) fn without_order(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// A consumer of it.
    pub(super) fn adapter(&self) -> Adapter {
        self.adapter_at(self.queue.server(), &[])
    }

    /// The same that reaches the server elsewhere, with variables in its environment.
    pub(super) fn adapter_at(&self, server: SocketAddr, variables: &[(&str, &str)]) -> Adapter {
        let mut program = self.queue.program(server);
        program
            .args(["--sink", &self.stage.sink.url()])
            .args(["--max-in-flight", &IN_FLIGHT.to_string()])
            .envs(variables.iter().copied());
        Adapter::spawn(program)
    }

    /// Sends all of it at once.
    pub(super) fn fill(&mut self) {
        send(&*self.queue, self.load.events, self.groups(), u64::MAX);
        self.filled = true;
    }

    fn groups(&self) -> u64 {
        if self.ordered {
            GROUPS
        } else {
            self.load.events
        }
    }

    /// Sends the load at an even rate, unless it was sent already, and lets faults happen meanwhile.
    pub(super) fn carry(mut self, faults: impl FnOnce(&mut Self) -> Left) -> Outcome {
        let (queue, events, groups) = (Arc::clone(&self.queue), self.load.events, self.groups());
        let Left { adapters, why } = thread::scope(|scope| {
            if !self.filled {
                scope.spawn(move || send(&*queue, events, groups, RATE));
            }
            faults(&mut self)
        });
        self.stage.wait_for_all(events);
        if self.stage.sink.report().distinct >= events {
            // What comes again for want of a delete has to be taken again, too.
            self.queue.wait_until_empty();
        }
        for adapter in adapters {
            let report = adapter.stop();
            // What it lost with its leases, it has not settled.
            assert!(!report.hard_stopped, "{report:?}");
        }
        let each = events / groups;
        self.stage.outcome(&vec![each; groups as usize], why)
    }

    /// Around `then` somebody lost what was on lease.
    pub(super) fn lost_track(&mut self, then: Instant) {
        match self.queue.lost() {
            Lost::Unsettled => (self.stage).lost_track(IN_FLIGHT, then - UNSETTLED, then),
            Lost::OnLease(most) => {
                self.stage.may_repeat(most);
                self.stage.may_rewind(1);
            }
        }
    }

    /// A consumer has stopped in order. What it delivered is settled, unless what it gave back came
    /// before it and the queue counts up to the first gap.
    pub(super) fn stopped(&mut self) {
        if let Lost::OnLease(most) = self.queue.lost() {
            self.stage.may_repeat(most);
            self.stage.may_rewind(1);
        }
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
pub(super) fn send(queue: &impl Queue, events: u64, groups: u64, rate: u64) {
    let start = Instant::now();
    let message = |at: u64| (format!("k{}", at % groups), at / groups);
    let mut sent = 0;
    while sent < events {
        let due = (rate as f64 * start.elapsed().as_secs_f64()).min(events as f64) as u64;
        let next = (sent + 10).min(events);
        if due < next {
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        queue.send(&(sent..next).map(message).collect::<Vec<_>>());
        sent = next;
    }
}
