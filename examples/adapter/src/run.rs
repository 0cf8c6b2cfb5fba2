//! `run`: the pipelines, each on a thread of its own, and what goes on around them.

use std::{sync::Arc, thread, time::Duration};

use eventlane::{Error, Report};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    config::{AdapterConfig, GRACE, PipelineConfig},
    exit::Exit,
    pipeline,
};

/// How long to wait between two attempts to reach a source.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);
/// The longest such wait.
const CONNECT_AGAIN_MOST: Duration = Duration::from_secs(15);

/// How a pipeline ended: its name, what it did if it ran at all, and why if not as asked.
#[derive(Debug)]
struct Ended {
    name: Arc<str>,
    report: Option<Report>,
    error: Option<String>,
}

/// Runs every pipeline until SIGTERM or SIGINT, or until all have ended by themselves.
///
/// Each has a thread and a runtime of its own: a panic, a failure or a blocked thread of one is
/// none of the others' business.
pub fn run(config: AdapterConfig) -> Exit {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "no runtime");
            return Exit::Failed;
        }
    };
    runtime.block_on(supervise(config))
}

async fn supervise(config: AdapterConfig) -> Exit {
    let stop = CancellationToken::new();
    if let Err(error) = signals(stop.clone()) {
        error!(%error, "can't listen for signals");
        return Exit::Failed;
    }
    let grace = config.grace.unwrap_or(GRACE);
    let (ended, mut endings) = mpsc::unbounded_channel();
    for (name, mut pipeline) in config.pipelines {
        pipeline.delivery.grace.get_or_insert(grace);
        start(name.into(), pipeline, stop.clone(), ended.clone());
    }
    drop(ended);
    let mut exit = Exit::Done;
    while let Some(ending) = endings.recv().await {
        exit = exit.and(say(&ending));
    }
    exit
}

/// A thread for the pipeline, and one that tells how it ended, whichever way.
fn start(
    name: Arc<str>,
    config: PipelineConfig,
    stop: CancellationToken,
    ended: mpsc::UnboundedSender<Ended>,
) {
    let its_name = Arc::clone(&name);
    let thread = thread::Builder::new()
        .name(name.to_string())
        .spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| (None, error.to_string()))?;
            runtime.block_on(live(&its_name, &config, stop))
        });
    let tell = move || {
        let (report, error) = match thread.map(thread::JoinHandle::join) {
            Ok(Ok(Ok(report))) => (report, None),
            Ok(Ok(Err((report, error)))) => (report, Some(error)),
            Ok(Err(_)) => (None, Some("it panicked".to_owned())),
            Err(error) => (None, Some(format!("no thread: {error}"))),
        };
        let ending = Ended {
            name,
            report,
            error,
        };
        // Nobody listens any more once the process ends.
        ended.send(ending).ok();
    };
    thread::spawn(tell);
}

/// From connecting to the end. `Ok(None)` if it was stopped before it was connected.
async fn live(
    name: &str,
    config: &PipelineConfig,
    stop: CancellationToken,
) -> Result<Option<Report>, (Option<Report>, String)> {
    let connected = tokio::select! {
        connected = connect(name, config) => connected,
        () = stop.cancelled() => return Ok(None),
    };
    let pipeline = connected.map_err(|error| (None, error.to_string()))?;
    info!(pipeline = name, "running");
    match pipeline.run_until(stop.cancelled_owned()).await {
        Ok(report) => Ok(Some(report)),
        Err(ended) => Err((Some(ended.report), ended.error.to_string())),
    }
}

/// Tries until the source is reached, unless it is somebody else's turn to mend something.
async fn connect(name: &str, config: &PipelineConfig) -> Result<eventlane::Pipeline, Error> {
    let mut pause = CONNECT_AGAIN;
    loop {
        match pipeline::build(name, config).await {
            Ok((pipeline, _)) => return Ok(pipeline),
            Err(error) if error.kind().is_transient() => {
                warn!(pipeline = name, %error, ?pause, "can't connect; trying again");
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(CONNECT_AGAIN_MOST);
    }
}

fn say(ending: &Ended) -> Exit {
    let Ended {
        name,
        report,
        error,
    } = ending;
    let report_text = report.as_ref().map(ToString::to_string);
    let did = report_text.as_deref().unwrap_or("nothing was received");
    if let Some(error) = error {
        error!(pipeline = %name, error, "the pipeline has failed: {did}");
        return Exit::Failed;
    }
    let left = report
        .as_ref()
        .is_some_and(|report| report.hard_stopped || report.unconfirmed > 0);
    if left {
        warn!(pipeline = %name, "stopped, and something was left unsettled: {did}");
        return Exit::Unsettled;
    }
    info!(pipeline = %name, "stopped: {did}");
    Exit::Done
}

/// The first SIGTERM or SIGINT begins the stop; the second ends the process.
fn signals(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        info!("stopping; a second signal stops at once");
        stop.cancel();
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        warn!("a second signal: stopping at once");
        std::process::exit(Exit::Interrupted as i32);
    });
    Ok(())
}
