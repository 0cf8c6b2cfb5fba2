//! From a RocketMQ topic to nowhere: what the engine costs beside the client that it uses.
//!
//! ```sh
//! cargo run --release -p eventlane-bench-rocketmq
//! ```
//!
//! Starts a RocketMQ of its own, fills topics, and lets both empty them in turns, each in a process
//! of its own: the client alone receives up to 32 messages and acknowledges them, over and over, in
//! as many tasks as eventlane may have receives. What counts is the ratio of the two, pair by pair.
#![allow(clippy::disallowed_types, reason = "a bench measures real time")]

use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, ValueEnum};
use eventlane_testkit::{
    clock::{Took, median},
    rocketmq::{Options as Broker, RocketMq, TopicType},
};

mod client;
mod lane;
mod topic;

/// Empties RocketMQ topics with eventlane and with its client alone, and compares.
#[derive(Parser)]
struct Options {
    /// Messages of a run with 16 receives at a time or more; of others less
    #[arg(long, default_value_t = 120_000)]
    messages: usize,
    /// Receives at a time, several numbers one after the other
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,32")]
    receives: Vec<usize>,
    /// How often both take their turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Proxy and broker in two processes
    #[arg(long)]
    cluster: bool,
    /// A topic with an order
    #[arg(long)]
    fifo: bool,
    /// Run one of them on this topic, and print the result
    #[arg(long, hide = true, requires_all = ["endpoint", "topic"])]
    only: Option<Contender>,
    #[arg(long, hide = true)]
    endpoint: Option<String>,
    #[arg(long, hide = true)]
    topic: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Contender {
    Client,
    Eventlane,
}

/// What one of them is to do.
struct Task {
    endpoint: String,
    /// The group has its name.
    topic: String,
    messages: usize,
    receives: usize,
}

/// The figures of a run.
#[derive(Clone, Copy)]
struct Figures {
    /// Messages a second.
    rate: f64,
    /// CPU time of a message, in µs.
    cpu: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match (options.only, &options.endpoint, &options.topic) {
        (Some(contender), Some(endpoint), Some(topic)) => {
            let task = Task {
                endpoint: endpoint.clone(),
                topic: topic.clone(),
                messages: options.messages,
                receives: options.receives.first().copied().unwrap_or(1),
            };
            let took = match contender {
                Contender::Client => client::empty(task).await,
                Contender::Eventlane => lane::empty(task).await,
            };
            println!("{}", serde_json::to_string(&took).expect("numbers"));
            ExitCode::SUCCESS
        }
        _ => compare(&options).await,
    }
}

async fn compare(options: &Options) -> ExitCode {
    let broker = RocketMq::start_or_skip(Broker {
        cluster: options.cluster,
        ..Broker::default()
    });
    let Some(broker) = broker else {
        return ExitCode::FAILURE;
    };
    // The server is three times as fast once its JVM has compiled what it does: these don't count.
    for contender in [Contender::Client, Contender::Eventlane].repeat(2) {
        run(contender, &broker, options.messages, 16, options.fifo).await;
    }
    println!(
        "messages of {} bytes, {} queues",
        topic::BODY,
        topic::QUEUES
    );
    println!("receives         client alone            eventlane     eventlane of the client");
    println!("at a time   messages/s  µs CPU   messages/s  µs CPU      throughput     CPU");
    for &receives in &options.receives {
        // As much as takes a few seconds.
        let messages = options.messages / 16 * receives.clamp(4, 16);
        let mut pairs: Vec<[Figures; 2]> = Vec::new();
        for round in 0..options.rounds {
            let mut turns = [Contender::Client, Contender::Eventlane];
            if round % 2 == 1 {
                turns.reverse();
            }
            let mut pair = [Figures {
                rate: 0.0,
                cpu: 0.0,
            }; 2];
            for contender in turns {
                let figures = run(contender, &broker, messages, receives, options.fifo).await;
                pair[contender as usize] = figures;
            }
            print(&receives.to_string(), pair, ratio(pair));
            pairs.push(pair);
        }
        let of = |figure: &dyn Fn([Figures; 2]) -> f64| median(pairs.iter().map(|it| figure(*it)));
        let side = |side: usize| Figures {
            rate: of(&|pair| pair[side].rate),
            cpu: of(&|pair| pair[side].cpu),
        };
        let ratio = Figures {
            rate: of(&|pair| ratio(pair).rate),
            cpu: of(&|pair| ratio(pair).cpu),
        };
        print("median", [side(0), side(1)], ratio);
    }
    ExitCode::SUCCESS
}

fn print(name: &str, [client, lane]: [Figures; 2], ratio: Figures) {
    println!(
        "{name:>9} {:>12.0} {:>7.1} {:>12.0} {:>7.1} {:>15.2} {:>7.2}",
        client.rate, client.cpu, lane.rate, lane.cpu, ratio.rate, ratio.cpu
    );
}

fn ratio([client, lane]: [Figures; 2]) -> Figures {
    Figures {
        rate: lane.rate / client.rate,
        cpu: lane.cpu / client.cpu,
    }
}

/// In a process of its own, on a topic and for a group of its own.
async fn run(
    contender: Contender,
    broker: &RocketMq,
    messages: usize,
    receives: usize,
    fifo: bool,
) -> Figures {
    let ty = if fifo {
        TopicType::Fifo
    } else {
        TopicType::Normal
    };
    let topic = topic::fill(broker, ty, messages).await;
    let this = std::env::current_exe().expect("this program");
    let only = format!("{contender:?}").to_lowercase();
    let output = Command::new(this)
        .args(["--only", &only, "--endpoint", broker.endpoint()])
        .args(["--topic", &topic, "--messages", &messages.to_string()])
        .args(["--receives", &receives.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let took: Took = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{contender:?}: {error}: {text}"));
    Figures {
        rate: took.rate(messages),
        cpu: took.cpu_micros(messages),
    }
}
