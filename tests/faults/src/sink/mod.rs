//! The endpoint misbehaves: it says what it should not, goes down, vanishes.

use std::{thread, time::Duration};

use eventlane_testkit::{
    Adapter, HostileSink, Kafka, eventually,
    sink::{Act, Report},
};

use crate::{Bound, Load, Outcome, Scenario, driver::Program, stage::LIMIT};

pub(crate) mod acts;
mod gone;

const KEYS: u64 = 200;

/// Longer than any answer takes on a loaded machine, and short enough to be waited for often.
const TIMEOUT: Duration = Duration::from_secs(2);

const IN_FLIGHT: u64 = 32;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let saying = |name, events, quick, run| Scenario {
        name,
        events,
        quick: Some(quick),
        run,
    };
    vec![
        saying("sink/hanging-answers", 40_000, 3_000, |load| {
            saying_what(load, acts::hanging(), 60)
        }),
        saying("sink/trickling-answers", 40_000, 3_000, |load| {
            saying_what(load, acts::trickling(), 60)
        }),
        saying("sink/endless-answers", 20_000, 2_000, |load| {
            saying_what(load, acts::endless(), 60)
        }),
        saying("sink/malformed-answers", 100_000, 6_000, |load| {
            saying_what(load, acts::malformed(), 10)
        }),
        saying("sink/early-answers", 100_000, 6_000, |load| {
            saying_what(load, acts::early(), 10)
        }),
        saying("sink/restarts", 100_000, 8_000, gone::restarts),
        saying("sink/half-open-connections", 60_000, 6_000, gone::half_open),
    ]
}

/// Every so many requests meet one of these acts.
fn saying_what(load: Load, acts: Vec<Act>, every: u64) -> Outcome {
    let mut names: Vec<_> = acts.iter().map(|act| act.name).collect();
    let run = Run::start(load, Duration::from_millis(2));
    run.sink.play(acts, every);
    run.deliver_all();
    let played = run.sink.played();
    names.retain(|name| !played.contains_key(name));
    assert!(names.is_empty(), "never said: {names:?}; {played:?}");
    let peak = run.adapter.process.peak_resident().expect("it runs");
    assert!(peak < MEMORY, "{} MiB of memory", peak >> 20);
    let said = played.values().sum::<u64>();
    run.outcome(|unconfirmed| {
        format!("{said} such answers; {unconfirmed} of them to what was taken, and without a head with 2xx in time")
    })
}

/// What the program takes at most, whatever an endpoint sends: its own, librdkafka's and the
/// events'.
const MEMORY: u64 = 160 << 20;

/// An adapter between a topic and a hostile endpoint.
struct Run {
    sink: HostileSink,
    adapter: Adapter,
    total: u64,
}

impl Run {
    fn start(load: Load, delay: Duration) -> Self {
        let sink = HostileSink::start(Duration::ZERO..delay);
        let url = sink.url();
        Self::to(load, sink, &url)
    }

    /// The same where the endpoint is reached under another URL.
    fn to(load: Load, sink: HostileSink, url: &str) -> Self {
        let kafka = Kafka::shared();
        let topic = kafka.topic(4);
        kafka.produce(&topic, load.events, KEYS, 200);
        let (bootstrap, timeout) = (kafka.bootstrap(), TIMEOUT.as_millis().to_string());
        let flags = [
            "--brokers",
            &bootstrap,
            "--topic",
            &topic,
            "--group",
            &topic,
            "--sink",
            url,
            "--max-in-flight",
            &IN_FLIGHT.to_string(),
            "--timeout",
            &timeout,
            "--retry-max",
            "300",
        ];
        let adapter = Program::Kafka.start(&flags);
        Self {
            sink,
            adapter,
            total: load.events,
        }
    }

    /// Waits until so many more events were taken, or all.
    fn wait_for_more(&self, events: u64) {
        let enough = (self.sink.report().distinct + events).min(self.total);
        self.sink.wait(LIMIT, |seen| seen.distinct >= enough);
    }

    fn is_done(&self) -> bool {
        self.sink.report().distinct == self.total
    }

    /// Waits until all were taken, or nothing comes any more.
    fn deliver_all(&self) {
        let (mut last, mut quiet) = (0, 0);
        while !self.is_done() && quiet < 600 {
            let attempts = self.sink.report().attempts;
            quiet = if attempts > last { 0 } else { quiet + 1 };
            last = attempts;
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops the adapter and counts.
    fn outcome(self, why: impl FnOnce(u64) -> String) -> Outcome {
        // So that what is retried after a lost answer has come again before it is counted: an
        // attempt that hangs makes itself known only after its timeout.
        eventually(LIMIT, "the end of the retries", || {
            let before = self.sink.report().attempts;
            thread::sleep(TIMEOUT + Duration::from_secs(1));
            (self.sink.report().attempts == before).then_some(())
        });
        let unconfirmed = self.sink.unconfirmed();
        let report = self.adapter.stop();
        assert_eq!(report.unsettled, 0, "{report:?}");
        let Report {
            distinct,
            duplicates,
            overtaken,
            concurrent,
            invalid,
            rewinds,
            defects,
            ..
        } = self.sink.report();
        let missing = |key| {
            let count = (self.total + KEYS - 1 - key) / KEYS;
            self.sink.missing(&format!("k{key}"), count).len() as u64
        };
        Outcome {
            sent: self.total,
            delivered: distinct,
            lost: (0..KEYS).map(missing).sum(),
            out_of_order: overtaken + concurrent + invalid + rewinds,
            duplicates,
            bound: Bound {
                most: unconfirmed,
                why: why(unconfirmed),
            },
            defects,
        }
    }
}
