//! The file of dead letters can't take them: its disk is full, or can't be written to.
//!
//! What is promised: the position holds as long as a letter can't be kept; as soon as there is room, all
//! of them are, each a whole line, those of a key in order.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use eventlane_testkit::{
    Adapter, CheckingSink, Kafka, eventually,
    sink::{Answer, Faults, Record},
};
use serde_json::Value;

use crate::{Bound, Load, Outcome, Scenario, driver::Program, stage::LIMIT};

mod disk;

use disk::Disk;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let scenario = |name, run| Scenario {
        name,
        events: 40_000,
        quick: Some(3_000),
        run,
    };
    vec![
        scenario("file/disk-full", disk_full),
        scenario("file/read-only", read_only),
        scenario("file/size-limit", size_limit),
    ]
}

const KEYS: u64 = 40;

/// The events of every fourth key are refused, and become letters.
const REFUSED: u64 = 4;

/// There is room for a few letters, and then not even for one.
fn disk_full(load: Load) -> Outcome {
    let disk = Disk::new(64 << 20);
    let mut run = Run::new(load);
    let adapter = run.start(&disk.letters(), |program| disk.command(program));
    let letters = disk.seen_by(&adapter, &disk.letters());
    for _ in 0..2 {
        disk.leave(&adapter, Some(32 << 10));
        run.send_half();
        run.assert_held(&letters);
        disk.leave(&adapter, None);
        run.wait_for_all(&letters);
    }
    run.outcome(adapter, &letters, "the disk was full twice")
}

/// Another disk is where the file was, and nothing can be created there.
fn read_only(load: Load) -> Outcome {
    let disk = Disk::new(64 << 20);
    let mut run = Run::new(load);
    let adapter = run.start(&disk.letters(), |program| disk.command(program));
    let letters = disk.seen_by(&adapter, &disk.letters());
    for _ in 0..2 {
        let before = read(&letters).expect("it can be read");
        disk.cover(&adapter);
        run.send_half();
        run.assert_held_with(&before);
        disk.uncover(&adapter);
        run.wait_for_all(&letters);
    }
    run.outcome(adapter, &letters, "it was read-only twice")
}

/// The file may not grow further: writes are short, then fail, as on a full disk. Anybody may set such a
/// limit.
fn size_limit(load: Load) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let letters = directory.path().join("dead.jsonl");
    let mut run = Run::new(load);
    let adapter = run.start(&letters, |program| {
        let mut command = Command::new("sh");
        // Blocks of 512 bytes. The signal that says so would end the program.
        command
            .args(["-c", "trap '' XFSZ; ulimit -S -f 64; exec \"$0\" \"$@\""])
            .arg(program.get_program())
            .args(program.get_args());
        command
    });
    run.send_half();
    run.assert_held(&letters);
    limit(&adapter, "unlimited");
    run.wait_for_all(&letters);
    let more = fs::metadata(&letters).expect("a file").len() + 20_000;
    limit(&adapter, &more.to_string());
    run.send_half();
    run.assert_held(&letters);
    limit(&adapter, "unlimited");
    run.wait_for_all(&letters);
    run.outcome(adapter, &letters, "its limit was reached twice")
}

fn limit(adapter: &Adapter, bytes: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &adapter.process.id().to_string()])
        // The hard limit stays.
        .arg(format!("--fsize={bytes}:unlimited"))
        .status();
    let set = status.is_ok_and(|status| status.success());
    assert!(set, "prlimit: it is in the package util-linux");
}

/// An adapter between a topic and an endpoint that refuses some keys.
struct Run {
    kafka: &'static Kafka,
    topic: String,
    sink: CheckingSink,
    load: Load,
    sent: u64,
}

/// The letters of each key, by their numbers, and where they were in the log.
#[derive(Debug, Default)]
struct Letters {
    keys: BTreeMap<String, Vec<u64>>,
    ids: HashSet<String>,
}

impl Run {
    fn new(load: Load) -> Self {
        let kafka = Kafka::shared();
        let refused = |key| (format!("k{key}"), Answer::Status(422));
        let sink = CheckingSink::recording(Faults {
            keys: (0..KEYS).step_by(REFUSED as usize).map(refused).collect(),
            ..Faults::default()
        });
        Self {
            topic: kafka.topic(4),
            kafka,
            sink,
            load,
            sent: 0,
        }
    }

    fn start(&self, letters: &Path, given: impl FnOnce(&Command) -> Command) -> Adapter {
        let mut program = Program::Kafka.command();
        program
            .args(["--brokers", &self.kafka.bootstrap()])
            .args(["--topic", &self.topic, "--group", &self.topic])
            .args(["--sink", &self.sink.url()])
            .args(["--retry-max", "300"])
            .arg("--dead-letter")
            .arg(format!("file:{}", letters.display()));
        let adapter = Adapter::spawn(given(&program));
        // Its file is there as soon as its flags were read.
        let letters = PathBuf::from(format!("/proc/{}/root", adapter.process.id()))
            .join(letters.strip_prefix("/").expect("an absolute path"));
        eventually(LIMIT, "a file of dead letters", || {
            letters.exists().then_some(())
        });
        adapter
    }

    fn send_half(&mut self) {
        let half = (self.load.events / 2).next_multiple_of(KEYS);
        // Numbers go on from where the first half ended.
        let mut producer = self
            .kafka
            .producer(&self.topic, eventlane_testkit::kafka::Keys::InTurn(KEYS));
        producer.begin_at(self.sent / KEYS);
        producer.send(half, 200);
        producer.flush();
        self.sent += half;
    }

    /// Letters are missing, nothing that is missing is committed, and everybody else's events go on.
    fn assert_held(&self, letters: &Path) {
        let delivered = self.sent - self.sent / REFUSED;
        self.sink.wait(LIMIT, |seen| seen.distinct == delivered);
        // It has found out that it can't, and has tried again.
        thread::sleep(Duration::from_secs(1));
        self.assert_held_with(&whole(letters));
        assert!(whole(letters).count() > 0, "there was room for some");
    }

    fn assert_held_with(&self, kept: &Letters) {
        let delivered = self.sent - self.sent / REFUSED;
        self.sink.wait(LIMIT, |seen| seen.distinct == delivered);
        thread::sleep(Duration::from_secs(1));
        assert!(kept.count() < self.sent / REFUSED, "all letters were kept");
        let committed = self.kafka.committed(&self.topic, &self.topic);
        for record in self.refused() {
            let id = &record.attributes["id"];
            if kept.ids.contains(id) {
                continue;
            }
            let (partition, offset) = place(id);
            let committed = committed[partition].unwrap_or(0);
            assert!(
                committed <= offset,
                "{committed} of partition {partition} is committed, and no letter kept of {id}"
            );
        }
    }

    fn refused(&self) -> impl Iterator<Item = Record> {
        let records = self.sink.records().into_iter();
        records.filter(|record| record.status == Some(422))
    }

    /// Waits until all letters were kept, or no more come.
    fn wait_for_all(&self, letters: &Path) {
        let all = self.sent / REFUSED;
        let (mut last, mut quiet) = (0, 0);
        while last < all && quiet < 300 {
            thread::sleep(Duration::from_millis(50));
            let kept = whole(letters).count();
            quiet = if kept > last { 0 } else { quiet + 1 };
            last = kept;
        }
    }

    fn outcome(self, adapter: Adapter, letters: &Path, why: &str) -> Outcome {
        // The file ends with the program's namespace.
        let before = whole(letters);
        let report = adapter.stop();
        assert_eq!(report.unsettled, 0, "{report:?}");
        assert_eq!(report.dead_lettered, before.ids.len() as u64, "{report:?}");
        assert_eq!(self.kafka.lag(&self.topic, &self.topic), 0);
        let seen = self.sink.report();
        let each = self.sent / KEYS;
        let (mut lost, mut backwards) = (0, 0);
        for key in 0..KEYS {
            let name = format!("k{key}");
            if key % REFUSED == 0 {
                let kept = before.keys.get(&name).map_or(&[][..], Vec::as_slice);
                lost += (0..each).filter(|seq| !kept.contains(seq)).count() as u64;
                backwards += kept.windows(2).filter(|two| two[0] > two[1]).count() as u64;
            } else {
                lost += self.sink.missing(&name, each).len() as u64;
            }
        }
        Outcome {
            sent: self.sent,
            delivered: seen.distinct + before.ids.len() as u64,
            lost,
            out_of_order: seen.overtaken + seen.concurrent + seen.invalid + backwards,
            duplicates: seen.duplicates + before.count() - before.ids.len() as u64,
            bound: Bound {
                most: 0,
                why: format!("{why}; what did not become a whole line is no letter"),
            },
            defects: seen.defects,
        }
    }
}

impl Letters {
    fn count(&self) -> u64 {
        self.keys.values().map(|seqs| seqs.len() as u64).sum()
    }
}

/// The letters when the program is not just writing one: a line that is not whole is one that it is
/// about to cut off.
fn whole(path: &Path) -> Letters {
    eventually(LIMIT, "whole lines", || read(path))
}

/// `None` if the last line is not whole.
fn read(path: &Path) -> Option<Letters> {
    let text = fs::read_to_string(path).ok()?;
    if !text.is_empty() && !text.ends_with('\n') {
        return None;
    }
    let mut letters = Letters::default();
    for line in text.lines() {
        let letter: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("a line that is no letter: {error}: {line:?}"));
        let data = &letter["data"];
        let (key, seq) = (data["key"].as_str()?, data["seq"].as_u64()?);
        letters.keys.entry(key.to_owned()).or_default().push(seq);
        letters.ids.insert(letter["id"].as_str()?.to_owned());
    }
    Some(letters)
}

/// Of an event's id: `partition:3/offset:17`.
fn place(id: &str) -> (usize, i64) {
    let place = id.strip_prefix("partition:").and_then(|rest| {
        let (partition, offset) = rest.split_once("/offset:")?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    });
    place.unwrap_or_else(|| panic!("no place in the log: {id}"))
}
