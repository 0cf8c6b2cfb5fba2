//! A topic under load.

use std::{thread, time::Duration};

use eventlane_testkit::{Adapter, Kafka, kafka::Keys, sink::Faults};

use crate::{Load, Outcome, driver::Program, stage::Stage};

/// Records a second. The adapter takes several times as many, also in a build without optimisation, so
/// that it catches up.
pub(super) const RATE: u64 = 1_000;

/// Requests at a time.
pub(super) const IN_FLIGHT: u64 = 32;

/// How long what was delivered may be uncommitted: the commit interval, 1 s, and as much again for the
/// commit itself on a loaded machine.
pub(super) const UNCOMMITTED: Duration = Duration::from_secs(2);

const KEYS: u64 = 200;
const PARTITIONS: u16 = 6;

/// A topic, and the endpoint that its records go to.
pub(super) struct Topic<'a> {
    pub(super) kafka: &'a Kafka,
    pub(super) name: String,
    pub(super) stage: Stage,
    pub(super) load: Load,
    bootstrap: String,
}

impl<'a> Topic<'a> {
    pub(super) fn new(kafka: &'a Kafka, load: Load) -> Self {
        let delay = Duration::from_millis(1)..Duration::from_millis(8);
        Self {
            kafka,
            name: kafka.topic(PARTITIONS),
            stage: Stage::start(Faults {
                delay,
                ..Faults::default()
            }),
            load,
            bootstrap: kafka.bootstrap(),
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
            "--set",
            "heartbeat.interval.ms=1000",
        ];
        Program::KafkaToHttp.start(&[&usual, flags].concat())
    }

    /// Produces the load at an even rate, by way of nothing that is under test, and lets faults happen
    /// meanwhile. They leave behind the adapters that carry the rest, and say how many events may come
    /// twice by what they did.
    pub(super) fn carry(
        mut self,
        faults: impl FnOnce(&mut Self) -> (Vec<Adapter>, String),
    ) -> Outcome {
        let mut producer = self.kafka.producer(&self.name, Keys::InTurn(KEYS));
        let length = Duration::from_secs_f64(self.load.events as f64 / RATE as f64);
        let (sent, adapters, why) = thread::scope(|scope| {
            let produced = scope.spawn(move || {
                producer.send_at_rate(RATE, 100, length);
                // Panics unless every record was acknowledged by all replicas.
                producer.flush();
                producer.sent().to_vec()
            });
            let (adapters, why) = faults(&mut self);
            let sent = produced.join().expect("the brokers take every record");
            (sent, adapters, why)
        });
        self.stage.wait_for_all(sent.iter().sum());
        for adapter in adapters {
            let report = adapter.stop();
            assert!(
                (report.unsettled, report.hard_stopped) == (0, false),
                "a stop in peace left something behind: {report:?}"
            );
        }
        let outcome = self.stage.outcome(&sent, why);
        let lag = self.kafka.lag(&self.name, &self.name);
        assert!(
            outcome.lost > 0 || lag == 0,
            "everything was delivered, {lag} records are not committed"
        );
        outcome
    }

    /// Waits until the load is so far.
    pub(super) fn wait_for_part(&self, part: u64, of: u64) {
        self.stage.wait_for(self.load.events * part / of);
    }
}
