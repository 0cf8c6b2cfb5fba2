//! Hours in small: a steady load, a fault every minute, and a program that must not grow.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use eventlane_testkit::{
    Adapter, HostileSink, Kafka,
    kafka::{self, Keys, Producer},
};
use tokio::time::Instant;

use crate::{Bound, Judged, Outcome, driver::Program, stage::LIMIT, toxiproxy::Network};

mod faults;
mod growth;
mod watch;

use faults::{FAULTS, World};
pub use growth::{Growth, Trend};
use watch::{Sample, watch};

/// How long, how much, how often something goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    pub length: Duration,
    /// Events a second.
    pub rate: u64,
    /// From the beginning of one fault to that of the next.
    pub every: Duration,
}

/// What it came to.
#[derive(Debug)]
pub struct Soaked {
    pub judged: Judged,
    /// The faults, in the order in which they were made.
    pub faults: Vec<&'static str>,
    pub growth: Growth,
    /// All samples, as comma-separated values.
    pub samples: String,
}

const KEYS: u64 = 2_000;
const PARTITIONS: u16 = 6;
const IN_FLIGHT: u64 = 32;

/// Runs it, and says on standard error what goes on.
///
/// # Panics
/// If something can't be had or does not work.
pub fn run(soak: &Soak) -> Soaked {
    let start = Instant::now();
    let kafka = Kafka::start(kafka::Options {
        proxied: true,
        own_proxies: true,
        ..kafka::Options::default()
    });
    let topic = kafka.topic(PARTITIONS);
    let world = World {
        network: Network::new(kafka.routes()),
        sink: HostileSink::start(Duration::ZERO..Duration::from_millis(4)),
        account: Mutex::default(),
        busy: AtomicBool::new(false),
        short: soak.every / 12,
        kafka: &kafka,
        topic: &topic,
    };
    let adapter = world.adapter();
    let (done, mut producer) = (
        AtomicBool::new(false),
        kafka.producer(&topic, Keys::InTurn(KEYS)),
    );
    fill(&world, &mut producer);
    let (sent, faults, samples) = thread::scope(|scope| {
        let _done = DoneOnDrop(&done);
        let samples = scope.spawn(|| watch(&adapter.process, &world.busy, &done, soak.every));
        let sent = scope.spawn(|| {
            producer.send_at_rate(soak.rate, SIZE, soak.length);
            producer.flush();
            producer.sent().to_vec()
        });
        let faults = make_faults(soak, &world);
        let sent = sent.join().expect("the broker takes every record");
        world.wait_for_all(sent.iter().sum());
        done.store(true, Relaxed);
        (sent, faults, samples.join().expect("no panic"))
    });
    let outcome = end(&world, adapter, &sent);
    Soaked {
        judged: Judged {
            name: "soak",
            took: start.elapsed(),
            outcome: Ok(outcome),
        },
        faults,
        growth: Growth::of(&samples, soak.every * (FAULTS.len() as u32 + 1)),
        samples: watch::table(&samples),
    }
}

/// More than the program fetches ahead.
const BACKLOG: u64 = 200_000;

/// Fills every buffer once, up to its bound: as much waits as can't be held, and the endpoint takes
/// nothing. An allocator keeps for the next time what that took, so that later outages, which fill the
/// buffers more or less, add nothing. What adds up after this is a leak.
fn fill(world: &World<'_>, producer: &mut Producer) {
    eprintln!("{BACKLOG} events wait");
    world.refuse();
    producer.send(BACKLOG, SIZE);
    producer.flush();
    thread::sleep(Duration::from_secs(5));
    world.sink.play(Vec::new(), 1);
    world.wait_for_all(BACKLOG);
}

/// Of an event, in bytes.
const SIZE: usize = 150;

/// Ends the watch also when something fails; its thread would be waited for otherwise.
struct DoneOnDrop<'a>(&'a AtomicBool);

impl Drop for DoneOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// One after the other, until there is no time for another one.
fn make_faults(soak: &Soak, world: &World<'_>) -> Vec<&'static str> {
    let start = Instant::now();
    let mut made = Vec::new();
    for (number, fault) in (1_u32..).zip(FAULTS.iter().cycle()) {
        let due = soak.every * number;
        // The last one is to be over before the load is.
        if due + soak.every > soak.length {
            break;
        }
        thread::sleep(due.saturating_sub(start.elapsed()));
        eprintln!("{:>5} s: {}", start.elapsed().as_secs(), fault.name);
        world.busy.store(true, Relaxed);
        (fault.make)(world);
        world.busy.store(false, Relaxed);
        made.push(fault.name);
    }
    made
}

fn end(world: &World<'_>, adapter: Adapter, sent: &[u64]) -> Outcome {
    let unconfirmed = world.sink.unconfirmed();
    let report = adapter.stop();
    assert_eq!(
        (report.unsettled, report.hard_stopped),
        (0, false),
        "{report:?}"
    );
    let seen = world.sink.report();
    let missing =
        |(key, count): (usize, &u64)| world.sink.missing(&format!("k{key}"), *count).len() as u64;
    let lost: u64 = sent.iter().enumerate().map(missing).sum();
    let lag = world.kafka.lag(world.topic, world.topic);
    assert!(lost > 0 || lag == 0, "{lag} records are not committed");
    let account = world.account();
    let backwards = seen.rewinds.saturating_sub(account.rewinds);
    Outcome {
        sent: sent.iter().sum(),
        delivered: seen.distinct,
        lost,
        out_of_order: seen.overtaken + seen.concurrent + backwards + seen.invalid,
        duplicates: seen.duplicates,
        bound: Bound {
            most: unconfirmed + account.repeated,
            why: format!(
                "{unconfirmed} taken without a good answer; {} in flight or not yet committed when a \
                 broker or a member was lost",
                account.repeated
            ),
        },
        defects: seen.defects,
    }
}

impl World<'_> {
    /// A member of the group, by way of the network.
    fn adapter(&self) -> Adapter {
        let (bootstrap, url) = (self.kafka.proxied_bootstrap(), self.sink.url());
        Program::Kafka.start(&[
            "--brokers",
            &bootstrap,
            "--topic",
            self.topic,
            "--group",
            self.topic,
            "--sink",
            &url,
            "--max-in-flight",
            &IN_FLIGHT.to_string(),
            "--timeout",
            "3000",
            "--retry-max",
            "1000",
            "--set",
            "session.timeout.ms=6000",
            "--set",
            "heartbeat.interval.ms=1000",
            "--tasks-every",
            "1",
        ])
    }

    /// Waits until all were taken, or nothing comes for a long time.
    fn wait_for_all(&self, total: u64) {
        let (mut last, mut since) = (0, Instant::now());
        while self.sink.report().distinct < total && since.elapsed() < LIMIT {
            let attempts = self.sink.report().attempts;
            if attempts > last {
                (last, since) = (attempts, Instant::now());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}
