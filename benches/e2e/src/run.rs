//! One run: a topic, a sink, and a child process that carries from one to the other.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use eventlane_testkit::{Kafka, Process, eventually};
use serde::Serialize;

use crate::{
    check::Seen,
    fill::{Filler, KEYS},
    scenario::{Contender, Load, Scenario},
};

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(300);

/// After the last delivery of a live run, so long until what is not committed is counted.
const SETTLED: Duration = Duration::from_secs(2);

/// What one run has shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) contender: Contender,
    pub(crate) events: u64,
    pub(crate) events_per_second: f64,
    /// Of the process under test, user and system.
    pub(crate) cpu_micros_per_event: f64,
    /// The most resident memory of the process under test.
    pub(crate) peak_mib: f64,
    /// What the endpoint has seen; nothing if nothing was sent.
    pub(crate) seen: Option<Seen>,
    /// Live: records that were not committed two seconds after the last delivery.
    pub(crate) uncommitted: Option<i64>,
}

/// What all runs of a scenario share.
pub(crate) struct Setup<'a> {
    pub(crate) kafka: &'a Kafka,
    pub(crate) kafka_to_http: PathBuf,
    pub(crate) scenario: Scenario,
    pub(crate) events: u64,
    /// Shows the first request.
    pub(crate) show: bool,
}

impl Setup<'_> {
    /// A topic that holds more than enough, or for a live load a new one.
    pub(crate) fn run(&self, contender: Contender, filler: &mut Filler, group: &str) -> Measured {
        if contender == Contender::Consuming {
            return self.consume(&filler.topic, group);
        }
        let mut sink = Sink::start(&self.scenario, self.events, self.show);
        let mut process = Process::spawn(self.command(contender, &filler.topic, group, &sink));
        let mut before = Duration::ZERO;
        if let Load::Live(rate) = self.scenario.load {
            filler.fill(1);
            sink.line(&mut process);
            before = process.cpu().unwrap_or_default();
            filler.stream(self.events - 1, rate);
        } else {
            sink.line(&mut process);
        }
        let seen = sink.seen(&mut process);
        let mut measured = Measured::new(contender, seen.events, seen.seconds, before, &process);
        measured.seen = Some(seen);
        measured.uncommitted = matches!(self.scenario.load, Load::Live(_)).then(|| {
            thread::sleep(SETTLED);
            self.kafka.lag(group, &filler.topic)
        });
        if contender == Contender::Eventlane {
            process.signal("TERM");
            process.succeed(LIMIT);
        }
        sink.end();
        measured
    }

    fn command(&self, contender: Contender, topic: &str, group: &str, sink: &Sink) -> Command {
        let brokers = self.kafka.bootstrap();
        let in_flight = self.scenario.in_flight.to_string();
        let mut command = if contender == Contender::Eventlane {
            let mut command = Command::new(&self.kafka_to_http);
            command.args([
                "--sink",
                &format!("http://{}/", sink.address),
                "--ordering",
                "key",
            ]);
            if self.scenario.load == Load::Batches {
                command.args([
                    "--mode",
                    "batched",
                    "--batch-events",
                    "100",
                    "--linger",
                    "10",
                ]);
            }
            command
        } else {
            let mut command = this();
            command.args(["bare-loop", "--sink", &sink.address]);
            command
        };
        command.args(["--brokers", &brokers, "--topic", topic, "--group", group]);
        command.args(["--max-in-flight", &in_flight]);
        command
    }

    fn consume(&self, topic: &str, group: &str) -> Measured {
        let brokers = self.kafka.bootstrap();
        let mut command = this();
        command
            .args(["consume", "--count", &self.events.to_string()])
            .args(["--brokers", &brokers, "--topic", topic, "--group", group]);
        let process = Process::spawn(command);
        let seconds = eventually(LIMIT, "consuming everything", || {
            let line = process.stderr();
            let line = line.strip_suffix('\n')?;
            Some(line.parse::<f64>().unwrap_or_else(|_| panic!("{line}")))
        });
        Measured::new(
            Contender::Consuming,
            self.events,
            seconds,
            Duration::ZERO,
            &process,
        )
    }
}

impl Measured {
    /// Of a process that has done its work and still lives.
    fn new(
        contender: Contender,
        events: u64,
        seconds: f64,
        cpu_before: Duration,
        process: &Process,
    ) -> Self {
        let cpu = process.cpu().unwrap_or_default().saturating_sub(cpu_before);
        let peak = process.peak_resident().unwrap_or_default();
        Self {
            contender,
            events,
            events_per_second: events as f64 / seconds.max(1e-9),
            cpu_micros_per_event: cpu.as_secs_f64() * 1e6 / events as f64,
            peak_mib: peak as f64 / f64::from(1 << 20),
            seen: None,
            uncommitted: None,
        }
    }
}

/// The sink in its process.
struct Sink {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    address: String,
}

impl Sink {
    fn start(scenario: &Scenario, events: u64, show: bool) -> Self {
        let mut command = this();
        command
            .args(["sink", "--expect", &events.to_string()])
            .args(["--keys", &KEYS.to_string()])
            .args(["--delay", &scenario.delay.to_string()])
            .args(matches!(scenario.load, Load::Live(_)).then_some("--latency"))
            .args(show.then_some("--show"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program can be run");
        let output = child.stdout.take().expect("standard output is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.map(|line| sender.send(line)).all(|sent| sent.is_ok());
        });
        let mut sink = Self {
            input: child.stdin.take(),
            child,
            lines,
            address: String::new(),
        };
        sink.address = sink
            .lines
            .recv_timeout(Duration::from_secs(20))
            .expect("the sink says where it is");
        sink
    }

    /// Its next line, which depends on what is under test.
    fn line(&mut self, process: &mut Process) -> String {
        let start = Instant::now();
        loop {
            match self.lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => return line,
                Err(RecvTimeoutError::Disconnected) => panic!("the sink has ended"),
                Err(RecvTimeoutError::Timeout) => {}
            }
            assert!(process.is_running(), "it has ended: {}", process.stderr());
            assert!(
                start.elapsed() < LIMIT,
                "not within {LIMIT:?}: {}",
                process.stderr()
            );
        }
    }

    fn seen(&mut self, process: &mut Process) -> Seen {
        let line = self.line(process);
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    fn end(mut self) {
        drop(self.input.take());
        let status = self.child.wait().expect("a child can be waited for");
        assert!(status.success(), "the sink: {status}");
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // After `end` there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn this() -> Command {
    Command::new(std::env::current_exe().expect("this program has a path"))
}
