//! Carries topics of a Kafka to an HTTP endpoint as CloudEvents: eventlane embedded, with its
//! options as flags.
//!
//! ```sh
//! cargo run --release -p kafka-to-http -- \
//!     --brokers localhost:9092 --topic orders --group billing --sink http://localhost:8080/
//! ```
//!
//! Runs until SIGTERM or SIGINT, then finishes what is in flight, commits, and leaves the group; a
//! second signal stops at once. Errors are one line on standard error; `RUST_LOG=info` shows what
//! goes on.

use std::{
    io::{IsTerminal, stderr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, ValueEnum, error::ErrorKind::DisplayHelp};
use eventlane::{
    BatchPolicy, Budgets, Error, ErrorKind, OnExhausted, Ordering, Pipeline, Report, Retry,
    event::http::Mode,
    sink::{
        FileDeadLetter,
        http::{HttpDeadLetter, HttpSink, HttpSinkConfig},
    },
};
use eventlane_kafka::{KafkaConfig, KafkaSource, StartOffset};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

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
    /// Where the events go
    #[arg(long, value_name = "URL")]
    sink: String,
    /// Where to begin in a partition of which the group has committed nothing
    #[arg(long, value_enum, default_value = "earliest")]
    start: Start,
    /// Any property of librdkafka; can be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,

    /// What stays in order: nothing, each partition, or each key of a partition
    #[arg(long, value_enum, default_value = "key")]
    ordering: Order,
    /// Requests in flight at a time
    #[arg(long, default_value_t = 64, value_name = "N")]
    max_in_flight: usize,
    /// Bytes of events to hold in memory
    #[arg(long, default_value_t = 64 << 20, value_name = "BYTES")]
    buffer_bytes: usize,

    /// How an event becomes a request; batched only for endpoints that are known to take it
    #[arg(long, value_enum, default_value = "binary")]
    mode: HttpMode,
    /// Events in a batch
    #[arg(long, default_value_t = 1, value_name = "N")]
    batch_events: usize,
    /// Bytes in a batch
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    batch_bytes: usize,
    /// How long an event may wait for company in its batch
    #[arg(long, default_value = "0", value_name = "MS", value_parser = milliseconds)]
    linger: Duration,

    /// How often an event is tried, the first attempt included
    #[arg(long, default_value_t = 10, value_name = "N")]
    retry_attempts: u32,
    /// The delay before the first retry; it doubles from there
    #[arg(long, default_value = "50", value_name = "MS", value_parser = milliseconds)]
    retry_initial: Duration,
    /// The longest delay between retries
    #[arg(long, default_value = "30000", value_name = "MS", value_parser = milliseconds)]
    retry_max: Duration,
    /// How long one attempt may take
    #[arg(long, default_value = "30000", value_name = "MS", value_parser = milliseconds)]
    timeout: Duration,
    /// Where events go that are given up: an endpoint, or file:PATH for JSON lines
    #[arg(long, value_name = "URL|file:PATH")]
    dead_letter: Option<String>,
    /// What becomes of an event that is refused, or whose attempts have all failed [default:
    /// dead-letter with --dead-letter, else block]
    #[arg(long, value_enum)]
    on_exhausted: Option<Exhausted>,

    /// Stop when nothing has come for so long and nothing is in hand
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    until_idle: Option<Duration>,
    /// How long a stop may take
    #[arg(long, default_value = "30", value_name = "SECS", value_parser = seconds)]
    grace: Duration,
    /// Write what was done to this file in the end
    #[arg(long, value_name = "PATH")]
    report_json: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Start {
    Earliest,
    Latest,
}

#[derive(Clone, Copy, ValueEnum)]
enum Order {
    None,
    Partition,
    Key,
}

#[derive(Clone, Copy, ValueEnum)]
enum HttpMode {
    Binary,
    Structured,
    Batched,
}

#[derive(Clone, Copy, ValueEnum)]
enum Exhausted {
    Block,
    DeadLetter,
    Drop,
    Stop,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if error.kind() == DisplayHelp => error.exit(),
        Err(error) => return fail(&usage(&error)),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .init();
    match run(options).await {
        Ok(report) => {
            eprintln!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

async fn run(options: Options) -> Result<Report, Error> {
    let report_json = options.report_json.clone();
    let pipeline = pipeline(options).await?;
    let (result, report) = match pipeline.run_until(shutdown()?).await {
        Ok(report) => (Ok(()), report),
        Err(ended) => (Err(ended.error), ended.report),
    };
    if let Some(path) = report_json {
        let json = serde_json::to_vec_pretty(&report).expect("numbers can be written as JSON");
        std::fs::write(&path, json).map_err(|error| {
            wrong(format!("can't write the report: {error}")).with_context("file", path.display())
        })?;
    }
    result.map(|()| report)
}

/// Everything is checked before a connection is made, and the broker before the first record is
/// read.
async fn pipeline(options: Options) -> Result<Pipeline, Error> {
    let sink = HttpSinkConfig::new(&options.sink)
        .with_mode(match options.mode {
            HttpMode::Binary => Mode::Binary,
            HttpMode::Structured => Mode::Structured,
            HttpMode::Batched => Mode::Batched,
        })
        .with_max_idle_connections(options.max_in_flight);
    let sink = HttpSink::new(sink)?;

    let kafka =
        KafkaConfig::new(options.brokers, options.group, options.topics).with_start(match options
            .start
        {
            Start::Earliest => StartOffset::Earliest,
            Start::Latest => StartOffset::Latest,
        });
    let set = |kafka: KafkaConfig, (name, value)| kafka.with_property(name, value);
    let kafka = options.properties.into_iter().fold(kafka, set);

    let dead_letter = options.dead_letter.map(DeadLetter::open).transpose()?;
    let source = KafkaSource::connect(kafka).await?;
    let mut pipeline = Pipeline::new(source, sink)
        .with_name("kafka-to-http")
        .with_ordering(match options.ordering {
            Order::None => Ordering::None,
            Order::Partition => Ordering::Partition,
            Order::Key => Ordering::Key,
        })
        .with_budgets(
            Budgets::default()
                .with_requests(options.max_in_flight)
                .with_bytes(options.buffer_bytes),
        )
        .with_batch(
            BatchPolicy::new(options.batch_events, options.linger).with_bytes(options.batch_bytes),
        )
        .with_retry(
            Retry::default()
                .with_attempts(options.retry_attempts)
                .with_delays(options.retry_initial, options.retry_max)
                .with_timeout(options.timeout),
        )
        .with_grace(options.grace);
    pipeline = match dead_letter {
        Some(DeadLetter::Http(endpoint)) => pipeline.with_dead_letter(*endpoint),
        Some(DeadLetter::File(file)) => pipeline.with_dead_letter(file),
        None => pipeline,
    };
    if let Some(exhausted) = options.on_exhausted {
        pipeline = pipeline.with_on_exhausted(match exhausted {
            Exhausted::Block => OnExhausted::Block,
            Exhausted::DeadLetter => OnExhausted::DeadLetter,
            Exhausted::Drop => OnExhausted::Drop,
            Exhausted::Stop => OnExhausted::Stop,
        });
    }
    if let Some(idle) = options.until_idle {
        pipeline = pipeline.with_idle_timeout(idle);
    }
    Ok(pipeline)
}

enum DeadLetter {
    Http(Box<HttpDeadLetter>),
    File(FileDeadLetter),
}

impl DeadLetter {
    fn open(place: String) -> Result<Self, Error> {
        match place.strip_prefix("file:") {
            Some(path) => FileDeadLetter::open(path).map(Self::File),
            None => HttpDeadLetter::new(HttpSinkConfig::new(place))
                .map(|endpoint| Self::Http(Box::new(endpoint))),
        }
    }
}

/// Resolves at the first SIGTERM or SIGINT; the second ends the process.
fn shutdown() -> Result<impl Future<Output = ()>, Error> {
    let listen =
        |kind| signal(kind).map_err(|error| wrong(format!("can't listen for signals: {error}")));
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        eprintln!("stopping; a second signal stops at once");
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(1);
        });
    })
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map(Duration::from_millis)
        .map_err(|_| "it must be a number of milliseconds".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "it must be a number of seconds".to_owned())
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Config, "start", message)
}

/// The first paragraph of clap's message as one line.
fn usage(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .map(str::trim);
    let line = first.collect::<Vec<_>>().join(" ");
    format!(
        "{}; --help lists the flags",
        line.trim_start_matches("error: ")
    )
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("kafka-to-http: {error}");
    ExitCode::FAILURE
}
