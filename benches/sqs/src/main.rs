//! From an SQS queue to nowhere: what eventlane costs beside a bare loop of the AWS SDK.
//!
//! ```sh
//! cargo run --release -p eventlane-bench-sqs
//! ```
//!
//! Starts an ElasticMQ of its own, fills a queue, and lets both empty it in turns, each in a process
//! of its own: the bare loop receives ten messages and deletes them in one batch, over and over, in
//! as many tasks as eventlane may have receives. What counts is the ratio of the two.
#![allow(clippy::disallowed_types, reason = "a bench measures real time")]

use std::process::{Command, ExitCode};

use clap::{Parser, ValueEnum};
use eventlane_testkit::{
    clock::{Took, median},
    sqs::ElasticMq,
};

mod bare;
mod lane;
mod queue;

/// Empties an SQS queue with eventlane and with a bare loop, and compares.
#[derive(Parser)]
struct Options {
    /// Messages of a run
    #[arg(long, default_value_t = 20_000)]
    messages: usize,
    /// Receives at a time
    #[arg(long, default_value_t = 4)]
    receivers: usize,
    /// How often both take their turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Run one of them on this queue, and print the result
    #[arg(long, hide = true, requires_all = ["endpoint", "queue_url"])]
    only: Option<Contender>,
    #[arg(long, hide = true)]
    endpoint: Option<String>,
    #[arg(long, hide = true)]
    queue_url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Contender {
    Bare,
    Eventlane,
}

/// One thread, as in the programs of `examples`: on several, what one side saves by waiting less it
/// pays for waking threads, and no two runs agree.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    match (&options.only, &options.endpoint, &options.queue_url) {
        (Some(contender), Some(endpoint), Some(url)) => {
            let took = match contender {
                Contender::Bare => bare::empty(endpoint, url, &options).await,
                Contender::Eventlane => lane::empty(endpoint, url, &options).await,
            };
            println!("{}", serde_json::to_string(&took).expect("numbers"));
            ExitCode::SUCCESS
        }
        _ => compare(&options).await,
    }
}

async fn compare(options: &Options) -> ExitCode {
    let Some(server) = ElasticMq::start_or_skip() else {
        return ExitCode::FAILURE;
    };
    let messages = options.messages;
    println!(
        "{messages} messages of 220 bytes, {} receives at a time",
        options.receivers
    );
    println!("{:>9} {:>12} {:>14}", "", "messages/s", "µs CPU/message");
    let mut all: Vec<(Contender, Took)> = Vec::new();
    // The first round warms the server up, and does not count.
    for round in 0..=options.rounds {
        for contender in [Contender::Bare, Contender::Eventlane] {
            let url = queue::fill(server.endpoint(), messages).await;
            let took = run(contender, server.endpoint(), &url, options);
            if round == 0 {
                continue;
            }
            let name = format!("{contender:?}").to_lowercase();
            let (rate, cpu) = (took.rate(messages), took.cpu_micros(messages));
            println!("{name:>9} {rate:>12.0} {cpu:>14.1}");
            all.push((contender, took));
        }
    }
    let of = |which: Contender, figure: &dyn Fn(Took) -> f64| {
        let all = all.iter().filter(|(contender, _)| *contender == which);
        median(all.map(|(_, took)| figure(*took)))
    };
    let ratio = |figure: &dyn Fn(Took) -> f64| {
        of(Contender::Eventlane, figure) / of(Contender::Bare, figure)
    };
    println!(
        "eventlane, of the bare loop: {:.2} of the throughput, {:.2} of the CPU per message",
        ratio(&|took| took.rate(messages)),
        ratio(&|took| took.cpu_micros(messages)),
    );
    ExitCode::SUCCESS
}

fn run(contender: Contender, endpoint: &str, url: &str, options: &Options) -> Took {
    let this = std::env::current_exe().expect("this program");
    let only = format!("{contender:?}").to_lowercase();
    let output = Command::new(this)
        .args(["--only", &only, "--endpoint", endpoint, "--queue-url", url])
        .args(["--messages", &options.messages.to_string()])
        .args(["--receivers", &options.receivers.to_string()])
        .output()
        .expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!(
            "{contender:?}: {error}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    })
}
