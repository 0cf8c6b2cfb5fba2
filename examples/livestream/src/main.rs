//! A live room whose events are scored, to watch in the browser. Needs nothing installed.
//!
//! ```text
//! viewers ──▶ Kafka ──▶ eventlane ──▶ scoring service, 1 to 6 workers
//!                           │ replies
//! page ◀── eventlane ◀── Kafka
//! ```

use std::{
    error::Error, io::IsTerminal, path::PathBuf, process::ExitCode, sync::Arc, time::Duration,
};

use clap::{Parser, Subcommand};
use eventlane::{Pipeline, PipelineError, Report};
use eventlane_example_room::{
    live_stream::{LiveStream, Script},
    program::{Signals, duration, ending, grouped, listen},
};
use eventlane_kafka::KafkaMonitor;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    fleet::Fleet,
    front::Front,
    kafka::Kafka,
    report::Summary,
    results::Results,
    snapshot::{Observer, Scene},
};

mod autoscale;
mod display;
mod fleet;
mod front;
mod kafka;
mod pipelines;
mod report;
mod results;
mod scorer;
mod snapshot;
mod worker;

/// What is left when the stream ends is scored for so long, and given up earlier when nothing
/// moves.
const DRAIN: Duration = Duration::from_secs(60);
const DRAIN_STALLED: Duration = Duration::from_secs(5);
/// Forming the consumer groups takes about three seconds.
const JOINING: Duration = Duration::from_secs(15);
/// How often there is a line about how it goes.
const TOLD: Duration = Duration::from_secs(2);

type Failure = Box<dyn Error + Send + Sync>;

/// A live room whose events are scored, to watch in the browser.
#[derive(Debug, Parser)]
struct Options {
    /// Brokers of a Kafka, as host:port, separated by commas. Without them, one is embedded.
    #[arg(long)]
    brokers: Option<String>,
    /// Port of the page; if it is in use, the next free one. 0: any.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Ends by itself after this time, such as 30s, 500ms or 5m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    length: Option<Duration>,
    /// Events per second while it is calm; surges bring three times as many.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// How many viewers there are.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    viewers: u32,
    /// The most workers that the scoring service may have.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=32))]
    workers: u32,
    /// The same number gives the same stream.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the report to this file as well, as JSON.
    #[arg(long, value_name = "FILE")]
    report_json: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A worker of the scoring service, as the program itself starts them
    #[command(hide = true)]
    Worker {
        #[arg(long)]
        number: u32,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        // Help, which is no mistake.
        Err(help) if !help.use_stderr() => help.exit(),
        Err(error) => {
            let text = error.to_string();
            let mistake = text.lines().next().unwrap_or_default();
            eprintln!("{mistake}; --help shows what there is");
            return ExitCode::from(2);
        }
    };
    let done = match options.command {
        Some(Command::Worker { number }) => worker::run(number).await,
        None => run(options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let listener = listen(options.port).await?;
    let url = format!("http://{}", listener.local_addr()?);
    eprintln!("Open {url} to watch; Ctrl-C ends it.");
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let kafka = match &options.brokers {
        Some(brokers) => Kafka::at(brokers).await?,
        None => Kafka::embedded()?,
    };
    let result = play(&options, &kafka, listener, &url, &mut signals).await;
    kafka.leave().await?;
    result?.conclude(options.report_json.as_deref())
}

/// From the beginning of the stream to its end.
async fn play(
    options: &Options,
    kafka: &Kafka,
    listener: tokio::net::TcpListener,
    url: &str,
    signals: &mut Signals,
) -> Result<Summary, Failure> {
    let fleet = Fleet::new();
    let (scoring, interactions) = pipelines::scoring(kafka, &format!("{url}/score")).await?;
    let (returning, scores) = pipelines::results(kafka, &format!("{url}/results")).await?;
    let scene = Scene {
        stream: LiveStream::new(options.viewers as usize),
        scoring: scoring.progress(),
        // When it is made to throttle, it takes half of what comes.
        front: Front::new(Arc::clone(&fleet), f64::from(options.rate) / 2.0),
        fleet: Arc::clone(&fleet),
        returning: returning.progress(),
        results: Results::new(),
    };
    let mut observer = Observer::new(scene.clone());
    let (to, snapshots) = watch::channel(Arc::new(observer.look(false)));
    let (finish, finished) = oneshot::channel();

    let over = CancellationToken::new();
    let [stop_scoring, stop_returning, stop_fleet, stop_server] =
        [(); 4].map(|()| CancellationToken::new());
    let observing = tokio::spawn(observer.run(to, over.clone(), finished));
    let telling = tokio::spawn(tell(scene.clone(), over.clone()));
    let serving = display::serve(
        listener,
        scene.clone(),
        snapshots.clone(),
        stop_server.clone(),
    );
    let serving = tokio::spawn(serving);
    let working =
        tokio::spawn(Arc::clone(&fleet).run(options.workers as usize, stop_fleet.clone()));
    let scoring = carry(scoring, &over, &stop_scoring);
    let returning = carry(returning, &over, &stop_returning);
    let script = Script {
        brokers: kafka.brokers.clone(),
        topic: kafka.interactions.clone(),
        rate: f64::from(options.rate),
        seed: options.seed,
    };
    let streaming = Arc::clone(&scene.stream).run(script, Arc::clone(&scene.scoring), over.clone());
    // With what had gathered before, the show would begin with a surge.
    let streaming = async {
        joined([interactions, scores]).await;
        streaming.await
    };
    let streaming = tokio::spawn(ending(over.clone(), streaming));

    let length = async {
        match options.length {
            Some(length) => tokio::time::sleep(length).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = signals.next() => {}
        () = length => {}
        () = over.cancelled() => {}
    }
    // The end: the stream stops, what it sent is scored, and the results come back; then one after
    // the other ends that nothing comes to any more.
    over.cancel();
    let streamed = streaming.await?;
    tokio::select! {
        () = signals.next() => {}
        () = drained(|| scene.results.counts().arrived, || scene.stream.audience.sent()) => {}
    }
    stop_scoring.cancel();
    let (scoring, scoring_error) = scoring.await?;
    drained(|| scene.results.counts().arrived, || scoring.delivered).await;
    stop_returning.cancel();
    let (returning, returning_error) = returning.await?;
    stop_fleet.cancel();
    working.await?;
    let summary = Summary::new(&scene, scoring, returning);
    // If nobody observes any more, there is nobody to tell.
    finish.send(summary.clone()).ok();
    observing.await?;
    telling.await?;
    stop_server.cancel();
    // A browser may keep its connection; the process ends all the same.
    if let Ok(served) = tokio::time::timeout(Duration::from_secs(1), serving).await {
        served??;
    }
    streamed?;
    match scoring_error.or(returning_error) {
        Some(error) => Err(error.into()),
        None => Ok(summary),
    }
}

type Carried = (Report, Option<eventlane::Error>);

/// Runs a pipeline until `stop`; if it ends before, everything does.
fn carry(
    pipeline: Pipeline,
    over: &CancellationToken,
    stop: &CancellationToken,
) -> JoinHandle<Carried> {
    let carrying = pipeline.run_until(stop.clone().cancelled_owned());
    tokio::spawn(ending(over.clone(), async {
        match carrying.await {
            Ok(report) => (report, None),
            Err(PipelineError { error, report }) => (report, Some(error)),
        }
    }))
}

/// Waits until the consumers have their partitions, but not for ever.
async fn joined(consumers: [KafkaMonitor; 2]) {
    let end = Instant::now() + JOINING;
    while Instant::now() < end && consumers.iter().any(|one| one.partitions().is_empty()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until as much is done as there is, or that makes no progress.
async fn drained(done: impl Fn() -> u64, all: impl Fn() -> u64) {
    let start = Instant::now();
    let (mut before, mut moved) = (done(), start);
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while done() < all() {
        let now = ticks.tick().await;
        if done() > before {
            (before, moved) = (done(), now);
        }
        if now >= start + DRAIN || now >= moved + DRAIN_STALLED {
            return;
        }
    }
}

/// Tells in the terminal how it goes.
async fn tell(scene: Scene, over: CancellationToken) {
    let mut ticks = tokio::time::interval_at(Instant::now() + TOLD, TOLD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while over.run_until_cancelled(ticks.tick()).await.is_some() {
        let (page, fleet) = (scene.results.counts(), scene.fleet.view());
        let (p50, p99) = scene.results.view().latency.unwrap_or_default();
        eprintln!(
            "sent {}, results {}, workers {}, retried {}, held lanes {}, there and back {p50} ms \
             (99 %: {p99} ms)",
            grouped(scene.stream.audience.sent()),
            grouped(page.arrived),
            fleet.workers.len(),
            grouped(scene.scoring.retried()),
            scene.scoring.held_lanes(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }
}
