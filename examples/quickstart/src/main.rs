//! A live stream's events on their way through eventlane, to watch in the browser. Needs nothing
//! installed.
//!
//! ```text
//! viewers ──▶ Kafka, embedded ──▶ eventlane ──▶ HTTP endpoint, which can be made to misbehave
//! ```

use std::{
    error::Error,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use eventlane::{
    Budgets, Ordering, Pipeline, PipelineError, Progress, Report, Retry,
    sink::http::{HttpSink, HttpSinkConfig},
};
use eventlane_example_room::{
    live_stream::{LiveStream, Script},
    program::{Signals, duration, ending, grouped, listen},
};
use eventlane_kafka::{EventConfig, KafkaConfig, KafkaSource};
use rdkafka::mocking::MockCluster;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    endpoint::{Counts, Endpoint},
    snapshot::Observer,
    terminal::Terminal,
};

mod display;
mod endpoint;
mod snapshot;
mod terminal;

const TOPIC: &str = "interactions";
const PARTITIONS: i32 = 4;

/// What is left when the stream ends is delivered for so long, and given up earlier when nothing
/// moves.
const DRAIN: Duration = Duration::from_secs(20);
const DRAIN_STALLED: Duration = Duration::from_secs(3);

type Failure = Box<dyn Error + Send + Sync>;

/// A live stream's events on their way through eventlane, to watch in the browser.
#[derive(Debug, Parser)]
struct Options {
    /// Port of the page; if it is in use, the next free one. 0: any.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Ends by itself after this time, such as 30s, 500ms or 5m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    length: Option<Duration>,
    /// Events per second while it is calm; surges bring three times as many.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// How many viewers there are.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    viewers: u32,
    /// The same number gives the same stream.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the report to this file as well, as JSON.
    #[arg(long, value_name = "FILE")]
    report_json: Option<PathBuf>,
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
    match run(options).await {
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
    let terminal = Terminal::new();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(terminal.clone())
        .init();

    // Where events come from: a topic of an embedded Kafka, and a crowd that fills it.
    let kafka =
        MockCluster::new(1).map_err(|error| format!("start the embedded Kafka: {error}"))?;
    kafka.create_topic(TOPIC, PARTITIONS, 1)?;
    let stream = LiveStream::new(options.viewers as usize);
    let script = Script {
        brokers: kafka.bootstrap_servers(),
        topic: TOPIC.to_owned(),
        rate: f64::from(options.rate),
        seed: options.seed,
    };

    // Where they go: an endpoint that takes half of what comes when it is made to throttle.
    let endpoint = Endpoint::new(f64::from(options.rate) / 2.0);

    // Between them: the pipeline.
    let pipeline = pipeline(&script.brokers, &format!("{url}/events")).await?;

    // What there is to see.
    let progress = pipeline.progress();
    let mut observer = Observer::new(
        Arc::clone(&stream),
        Arc::clone(&endpoint),
        Arc::clone(&progress),
    );
    let (to, snapshots) = watch::channel(Arc::new(observer.look(false)));
    let (finish, finished) = oneshot::channel();

    let [over, stop_pipeline, stop_server] = [(); 3].map(|()| CancellationToken::new());
    let observing = tokio::spawn(observer.run(to, over.clone(), finished));
    let showing = tokio::spawn(terminal.show(snapshots.clone()));
    let serving = display::serve(
        listener,
        Arc::clone(&endpoint),
        snapshots,
        stop_server.clone(),
    );
    let serving = tokio::spawn(serving);
    let delivering = pipeline.run_until(stop_pipeline.clone().cancelled_owned());
    let delivering = tokio::spawn(ending(over.clone(), delivering));
    let streaming = Arc::clone(&stream).run(script, Arc::clone(&progress), over.clone());
    let streaming = tokio::spawn(ending(over.clone(), streaming));

    // The end: the stream stops, what it sent is delivered, the pipeline settles and closes, the
    // numbers are told.
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
    over.cancel();
    streaming.await??;
    tokio::select! {
        () = signals.next() => {}
        () = drained(&stream, &progress) => {}
    }
    stop_pipeline.cancel();
    let (report, error) = match delivering.await? {
        Ok(report) => (report, None),
        Err(PipelineError { error, report }) => (report, Some(error)),
    };
    // If nobody observes any more, there is nobody to tell.
    finish.send(report.clone()).ok();
    observing.await?;
    showing.await?;
    stop_server.cancel();
    // A browser may keep its connection; the process ends all the same.
    if let Ok(served) = tokio::time::timeout(Duration::from_secs(1), serving).await {
        served??;
    }
    conclude(&report, endpoint.counts(), options.report_json.as_deref())?;
    error.map_or(Ok(()), |error| Err(error.into()))
}

/// This is all that a program of your own needs, but for the lines about retries and budgets
/// perhaps.
async fn pipeline(brokers: &str, url: &str) -> eventlane::Result<Pipeline> {
    let config = KafkaConfig::new(brokers, "quickstart", [TOPIC])
        .with_event(EventConfig::new().with_type("com.example.livestream.interaction"))
        // When there is nothing, the embedded Kafka makes a consumer wait all that time; a real one
        // answers when there is.
        .with_property("fetch.wait.max.ms", "10");
    let source = KafkaSource::connect(config).await?;
    let sink = HttpSink::new(HttpSinkConfig::new(url))?;

    // Events that fail are tried without an end, and soon: somebody is watching.
    let retry = Retry::default()
        .with_delays(Duration::from_millis(50), Duration::from_secs(1))
        .without_limit();
    // The events of a viewer who fails for minutes have room.
    let budgets = Budgets::default().with_events(100_000);
    Ok(Pipeline::new(source, sink)
        .with_name("quickstart")
        .with_ordering(Ordering::Key)
        .with_budgets(budgets)
        .with_retry(retry))
}

/// Waits until everything that was sent has been delivered, or that makes no progress.
async fn drained(stream: &LiveStream, progress: &Progress) {
    let start = Instant::now();
    let (mut done, mut moved) = (0, start);
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while done < stream.audience.sent() {
        let now = ticks.tick().await;
        let before = std::mem::replace(&mut done, progress.delivered() + progress.dead_lettered());
        if done > before {
            moved = now;
        }
        if now >= start + DRAIN || now >= moved + DRAIN_STALLED {
            return;
        }
    }
}

/// Tells what became of the events.
fn conclude(report: &Report, counts: Counts, file: Option<&Path>) -> Result<(), Failure> {
    let lines = [
        ("received", report.received),
        ("delivered", report.delivered),
        ("retried", report.retried),
        ("dead-lettered", report.dead_lettered),
        ("unsettled", report.unsettled),
        ("order violations", counts.order_violations),
    ];
    println!();
    for (what, count) in lines {
        println!("{what:>17}  {:>9}", grouped(count));
    }
    if report.unsettled > 0 {
        println!(
            "\nWhat is unsettled was read and not delivered: a real Kafka hands it out again."
        );
    }
    if let Some(file) = file {
        let json = serde_json::json!({ "pipeline": report, "endpoint": counts });
        std::fs::write(file, format!("{json}\n"))
            .map_err(|error| format!("write {}: {error}", file.display()))?;
    }
    match counts.order_violations {
        0 => Ok(()),
        broken => Err(format!("{broken} events came out of order").into()),
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
