//! From a real Kafka to an HTTP endpoint: what eventlane costs beside a bare loop.
//!
//! ```sh
//! cargo run --release -p eventlane-bench-e2e
//! ```
//!
//! Starts a Kafka of its own, fills topics, and lets `kafka-to-http` (with key order) and its peer
//! carry them in turns, each in a process of its own, to an endpoint in yet another. What counts is
//! the ratio of the two: the numbers are those of one machine. Prints tables and writes
//! `target/bench-e2e.json`.
//!
//! The peer is rdkafka with hyper's `client::conn::http1` and a task for each connection: the
//! fastest that hyper offers, a sixth cheaper than the same loop over hyper-util's pooled client.
#![allow(clippy::disallowed_types, reason = "a bench measures real time")]

use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use eventlane_testkit::{Kafka, adapter::build, kafka};

mod bare;
mod check;
mod fill;
mod machine;
mod report;
mod run;
mod scenario;
mod sink;

use fill::{Filler, Records};
use machine::Machine;
use report::Report;
use run::Setup;
use scenario::{Contender, Load, Scenario};

/// Carries events from a real Kafka to an HTTP endpoint, with eventlane and without, and compares.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// A scenario; can be repeated [default: all]
    #[arg(long = "scenario", value_name = "NAME", value_parser = scenario::ALL.map(|one| one.name))]
    scenarios: Vec<String>,
    /// How often both take their turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Events a run [default: 400,000; in batches and for consuming alone five times as many]
    #[arg(long)]
    events: Option<u64>,
    /// Seconds of a live run
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Only sees whether everything works: a few thousand events, one round
    #[arg(long)]
    quick: bool,
    /// Where the report goes
    #[arg(long, default_value = "target/bench-e2e.json")]
    json: PathBuf,
    /// A kafka-to-http that is built already
    #[arg(long, value_name = "PATH")]
    kafka_to_http: Option<PathBuf>,
    /// Print the first request of each run
    #[arg(long)]
    show: bool,
}

/// The parts that run in processes of their own.
#[derive(Subcommand)]
enum Part {
    /// The endpoint
    #[command(hide = true)]
    Sink(sink::Options),
    /// rdkafka and hyper
    #[command(hide = true)]
    BareLoop(bare::Options),
    /// rdkafka alone
    #[command(hide = true)]
    Consume(bare::Consume),
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    let done = match options.part.take() {
        Some(Part::Sink(options)) => sink::run(options),
        Some(Part::BareLoop(options)) => bare::run(&options),
        Some(Part::Consume(options)) => bare::consume(&options),
        None => compare(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> std::io::Result<()> {
    let machine = Machine::look();
    let Some(kafka) = Kafka::start_or_skip(kafka::Options::default()) else {
        return Ok(());
    };
    let kafka_to_http = options.kafka_to_http.clone();
    let kafka_to_http = kafka_to_http.unwrap_or_else(|| build("kafka-to-http"));
    let mut scenarios = Vec::new();
    // Scenarios that want the same records share a topic.
    let mut topics: Vec<(Scenario, u64, Filler)> = Vec::new();
    for scenario in scenario::ALL {
        if !options.scenarios.is_empty()
            && !options.scenarios.iter().any(|name| name == scenario.name)
        {
            continue;
        }
        let setup = Setup {
            kafka: &kafka,
            kafka_to_http: kafka_to_http.clone(),
            scenario,
            events: options.events(&scenario),
            show: options.show,
        };
        let mut runs = Vec::new();
        for round in 0..if options.quick { 1 } else { options.rounds } {
            for contender in [scenario.peer, Contender::Eventlane] {
                let topic = topic(&kafka, &mut topics, &scenario, setup.events);
                let group = format!(
                    "{}-{}-{round}",
                    scenario.name,
                    contender.name().replace(' ', "-")
                );
                let measured = setup.run(contender, topic, &group);
                eprintln!("{group}: {}", serde_json::to_string(&measured)?);
                runs.push(measured);
            }
        }
        scenarios.push(report::Result::new(scenario, runs, options.quick));
    }
    let report = Report { machine, scenarios };
    if let Some(directory) = options.json.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(&options.json, serde_json::to_string_pretty(&report)?)?;
    println!("{report}");
    Ok(())
}

/// A topic with enough records, filled if there is none; for a live load an empty one.
fn topic<'a>(
    kafka: &Kafka,
    topics: &'a mut Vec<(Scenario, u64, Filler)>,
    scenario: &Scenario,
    events: u64,
) -> &'a mut Filler {
    let live = matches!(scenario.load, Load::Live(_));
    let fits = |(other, count, _): &(Scenario, u64, Filler)| {
        !live && (other.keys, other.size) == (scenario.keys, scenario.size) && *count >= events
    };
    let at = topics.iter().position(fits).unwrap_or_else(|| {
        let mut filler = Filler::new(kafka, Records::new(scenario.keys, scenario.size), !live);
        if !live {
            // What comes after the last event that counts keeps everybody busy until then.
            filler.fill(events + events / 10);
        }
        topics.push((*scenario, if live { 0 } else { events }, filler));
        topics.len() - 1
    });
    &mut topics[at].2
}

impl Options {
    fn events(&self, scenario: &Scenario) -> u64 {
        match scenario.load {
            Load::Live(rate) => rate * if self.quick { 2 } else { self.seconds },
            _ if self.quick => 5000,
            Load::Batches => 5 * self.events.unwrap_or(400_000),
            Load::Backlog => self.events.unwrap_or(400_000),
        }
    }
}
