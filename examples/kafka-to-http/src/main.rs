//! Carries topics of a Kafka to an HTTP endpoint as CloudEvents: eventlane embedded, with its options as flags.
//!
//! ```sh
//! cargo run --release -p kafka-to-http -- \
//!     --brokers localhost:9092 --topic orders --group billing --sink http://localhost:8080/
//! ```
//!
//! Runs until SIGTERM or SIGINT, then finishes what is in flight, commits, and leaves the group; a second signal stops
//! at once. Errors are one line on standard error; `RUST_LOG=info` shows what goes on. The flags about the delivery are
//! those of every such example: `examples/flags` has them, and makes the pipeline of them.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use eventlane::{Error, Pipeline};
use eventlane_example_flags::Delivery;
use eventlane_kafka::{KafkaConfig, KafkaSink, KafkaSource, StartOffset};

/// Every event is a few small allocations: with the C library's allocator they cost 2 of 14 µs of
/// CPU per event.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Carries topics of a Kafka to an HTTP endpoint as CloudEvents, in order, and loses none.
#[derive(Parser)]
struct Options {
    /// Brokers to begin with, as host:port, separated by commas
    #[arg(long)]
    brokers: String,
    /// A topic, or a pattern that begins with ^; can be repeated
    #[arg(long = "topic", required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// The consumer group
    #[arg(long)]
    group: String,
    /// Where to begin in a partition of which the group has committed nothing
    #[arg(long, value_enum, default_value = "earliest")]
    start: Start,
    /// A topic for events that the endpoint puts into its answers
    #[arg(long, value_name = "TOPIC", conflicts_with = "reply")]
    reply_topic: Option<String>,
    /// Any property of librdkafka; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,

    #[command(flatten)]
    delivery: Delivery,
}

#[derive(Clone, Copy, ValueEnum)]
enum Start {
    Earliest,
    Latest,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    eventlane_example_flags::run(
        "kafka-to-http",
        |options: &Options| &options.delivery,
        pipeline,
    )
    .await
}

/// Everything is checked before a connection is made, and the broker before the first record is read.
async fn pipeline(options: Options) -> Result<Pipeline, Error> {
    let mut prepared = options.delivery.prepare()?;
    let start = match options.start {
        Start::Earliest => StartOffset::Earliest,
        Start::Latest => StartOffset::Latest,
    };
    let mut kafka =
        KafkaConfig::new(options.brokers, options.group, options.topics).with_start(start);
    for (name, value) in options.properties {
        kafka = kafka.with_property(name, value);
    }
    if let Some(topic) = options.reply_topic {
        let replies = KafkaSink::connect(kafka.sink(topic)).await?;
        prepared = prepared.with_replies_to(replies);
    }
    let source = KafkaSource::connect(kafka).await?;
    Ok(options.delivery.pipeline("kafka-to-http", source, prepared))
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
