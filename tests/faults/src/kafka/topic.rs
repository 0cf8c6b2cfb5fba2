//! A topic under load.

use std::{fmt::Write, thread, time::Duration};

use eventlane_testkit::{Adapter, Kafka, adapter::Report, eventually, kafka::Keys, sink::Faults};
use tokio::time::Instant;

use crate::{
    Load, Outcome,
    driver::Program,
    stage::{LIMIT, Stage},
};

/// Records a second. The adapter takes several times as many, also in a build without optimisation, so
/// that it catches up.
pub(super) const RATE: u64 = 1_000;

/// Requests at a time.
pub(super) const IN_FLIGHT: u64 = 32;

/// How long what was delivered may be uncommitted: the commit interval, 1 s, and as much again for the
/// commit itself on a loaded machine.
pub(super) const UNCOMMITTED: Duration = Duration::from_secs(2);

/// What the connector logs when the group has thrown it out. If it no longer did, the bounds would be
/// too low, never too high.
const LOST: &str = "the group has given our partitions to others";

pub(super) const CONSUMER_PROTOCOL: &str = "group.protocol=consumer";

const KEYS: u64 = 200;
const PARTITIONS: u16 = 6;

/// A topic, and the endpoint that its records go to.
pub(super) struct Topic<'a> {
    pub(super) kafka: &'a Kafka,
    pub(super) stage: Stage,
    pub(super) load: Load,
    name: String,
    bootstrap: String,
    /// When faults began that may keep members from their group.
    outages: Vec<Instant>,
}

/// What is left when the faults are over.
pub(super) struct Left {
    /// Those that carry the rest.
    pub(super) adapters: Vec<Adapter>,
    /// How many events may come twice, in words.
    pub(super) why: String,
}

impl<'a> Topic<'a> {
    pub(super) fn new(kafka: &'a Kafka, load: Load) -> Self {
        let delay = Duration::from_millis(1)..Duration::from_millis(8);
        Self {
            kafka,
            stage: Stage::start(Faults {
                delay,
                ..Faults::default()
            }),
            load,
            name: kafka.topic(PARTITIONS),
            bootstrap: kafka.bootstrap(),
            outages: Vec::new(),
        }
    }

    /// The same, with adapters that come through the listeners for proxies.
    pub(super) fn behind_proxies(kafka: &'a Kafka, load: Load) -> Self {
        Self {
            bootstrap: kafka.proxied_bootstrap(),
            ..Self::new(kafka, load)
        }
    }

    /// A member of the topic's group.
    pub(super) fn adapter(&self, flags: &[&str]) -> Adapter {
        self.adapter_to(&self.stage.sink.url(), flags)
    }

    /// The same, by another way to the endpoint.
    pub(super) fn adapter_to(&self, url: &str, flags: &[&str]) -> Adapter {
        let in_flight = IN_FLIGHT.to_string();
        let usual = [
            "--brokers",
            &self.bootstrap,
            "--topic",
            &self.name,
            "--group",
            &self.name,
            "--sink",
            url,
            "--max-in-flight",
            &in_flight,
            // Dead members are noticed after so long.
            "--set",
            "session.timeout.ms=6000",
        ];
        let mut all = [&usual, flags].concat();
        // Under KIP-848 that is the broker's business.
        if !flags.contains(&CONSUMER_PROTOCOL) {
            all.extend(["--set", "heartbeat.interval.ms=1000"]);
        }
        Program::Kafka.start(&all)
    }

    /// Produces the load at an even rate, by way of nothing that is under test, and lets faults happen
    /// meanwhile.
    pub(super) fn carry(mut self, faults: impl FnOnce(&mut Self) -> Left) -> Outcome {
        let mut producer = self.kafka.producer(&self.name, Keys::InTurn(KEYS));
        let events = self.load.events;
        let (sent, left) = thread::scope(|scope| {
            let produced = scope.spawn(move || {
                producer.send_evenly(events, RATE, 100);
                // Panics unless every record was acknowledged by all replicas.
                producer.flush();
                producer.sent().to_vec()
            });
            let left = faults(&mut self);
            let sent = produced.join().expect("the brokers take every record");
            (sent, left)
        });
        self.wait_for_all();
        let Left { adapters, mut why } = left;
        for adapter in adapters {
            self.account_for_losses(&adapter, &mut why);
            in_peace(adapter);
        }
        self.stage.outcome(&sent, why)
    }

    /// Waits until everything is delivered and committed, or nothing comes any more.
    pub(super) fn wait_for_all(&self) {
        let total = self.load.events;
        self.stage.wait_for_all(total);
        // What is missing has to be counted, and holds its position.
        if self.stage.sink.report().distinct == total {
            // What comes again may still be on its way.
            eventually(LIMIT, "everything delivered is committed", || {
                (self.kafka.lag(&self.name, &self.name) == 0).then_some(())
            });
        }
    }

    /// From now on the group may throw members out.
    pub(super) fn outage_begins(&mut self) {
        self.outages.push(Instant::now());
    }

    /// Each time that the group has thrown an adapter out, what it did since its last commit comes again.
    fn account_for_losses(&mut self, adapter: &Adapter, why: &mut String) {
        if self.outages.is_empty() {
            return;
        }
        let losses = adapter.process.said(LOST);
        for &lost in &losses {
            let began = self.outages.iter().rfind(|began| **began < lost);
            let settled = began.map_or(lost, |began| *began - UNCOMMITTED);
            self.stage.lost_track(IN_FLIGHT, settled, lost);
        }
        match losses.len() {
            0 => why.push_str(": the member stays in its group, so none"),
            times => write!(
                why,
                ": the group throws it out {times} ×, each: {IN_FLIGHT} in flight, and what was delivered \
                 from 2 s before the fault until then"
            )
            .expect("writing to a string"),
        }
    }

    /// Waits until so many more events have been taken.
    pub(super) fn wait_for_more(&self, events: u64) {
        self.stage.wait_for_more(events, self.load.events);
    }

    /// Waits until nothing is left of a fault: commits get through, and hardly anything is behind.
    pub(super) fn wait_for_recovery(&self) {
        let position = || -> i64 {
            let committed = self.kafka.committed(&self.name, &self.name);
            committed.into_iter().flatten().sum()
        };
        let before = position();
        eventually(LIMIT, "the group has caught up", || {
            let lag = self.kafka.lag(&self.name, &self.name);
            // A producer that is not yet back makes no lag either.
            (lag == 0 || (lag < 2 * RATE as i64 && position() > before)).then_some(())
        });
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

/// Stops an adapter that has nothing left to do.
pub(super) fn in_peace(adapter: Adapter) -> Report {
    let report = adapter.stop();
    assert!(
        (report.unsettled, report.hard_stopped) == (0, false),
        "a stop in peace left something behind: {report:?}"
    );
    report
}
