//! `run`: the pipelines, each on a thread of its own, and what goes on around them.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use eventlane::{Error, Pipeline, Report};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    check,
    config::{self, AdapterConfig, GRACE, LISTEN},
    exit::Exit,
    health,
    live::LiveParts,
    pipeline::{self, Built},
    reload::{self, Plan},
    status::{Monitor, Status, Statuses},
};

/// How long to wait between two attempts to reach a source.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);
/// The longest such wait.
const CONNECT_AGAIN_MOST: Duration = Duration::from_secs(15);

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration's files; read again for a reload.
    pub files: Vec<PathBuf>,
    /// Where the secrets are that resources refer to.
    pub secrets: Option<PathBuf>,
    /// Where health and metrics are served, in place of what the configuration says.
    pub listen: Option<SocketAddr>,
    /// How long a stop may take, likewise.
    pub grace: Option<Duration>,
}

impl Options {
    /// Fills in what a pipeline leaves to the adapter.
    fn apply(&self, mut config: AdapterConfig) -> AdapterConfig {
        config.listen = self.listen.or(config.listen);
        let grace = self.grace.or(config.grace).unwrap_or(GRACE);
        config.grace = Some(grace);
        for pipeline in config.pipelines.values_mut() {
            pipeline.delivery.grace.get_or_insert(grace);
        }
        config
    }
}

/// A pipeline, as the supervisor and its own thread share it.
#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    /// What runs, or is to run once there is a connection.
    plan: Mutex<Plan>,
    /// As long as it is connected.
    live: Mutex<Option<LiveParts>>,
    /// What it is to be started with anew.
    next: watch::Sender<Option<Plan>>,
    status: Arc<Status>,
}

impl Slot {
    /// Taken while `live` is, if both are.
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, Option<LiveParts>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a pipeline ended: what it did if it ran at all, and why if not as asked.
#[derive(Debug, Default)]
struct End {
    report: Option<Report>,
    error: Option<String>,
    /// What to say of those that were started anew.
    earlier: Exit,
}

impl End {
    fn failed(error: &impl ToString) -> Self {
        Self {
            error: Some(error.to_string()),
            ..Self::default()
        }
    }
}

/// Runs every pipeline until SIGTERM or SIGINT, or until all have ended by themselves.
///
/// Each has a thread and a runtime of its own: a panic, a failure or a blocked thread of one is
/// none of the others' business.
pub fn run(options: &Options, config: AdapterConfig) -> Exit {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "no runtime");
            return Exit::Failed;
        }
    };
    match runtime.block_on(supervise(options, config)) {
        Ok(exit) => exit,
        Err(reason) => {
            error!("{reason}");
            Exit::Failed
        }
    }
}

async fn supervise(options: &Options, config: AdapterConfig) -> Result<Exit, String> {
    let config = options.apply(config);
    let stop = CancellationToken::new();
    let deaf = |error| format!("can't listen for signals: {error}");
    signals(stop.clone()).map_err(deaf)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(deaf)?;
    let (statuses, metrics) = (Statuses::default(), health::record()?);
    let listen = config.listen.unwrap_or(LISTEN);
    health::serve(listen, statuses.clone(), metrics, stop.clone())
        .await
        .map_err(|error| format!("can't serve health and metrics at {listen}: {error}"))?;

    let (ended, mut endings) = mpsc::unbounded_channel();
    let mut slots = Vec::new();
    for (name, pipeline) in config.pipelines {
        let name: Arc<str> = name.into();
        let slot = Arc::new(Slot {
            status: statuses.add(Arc::clone(&name)),
            name,
            plan: Mutex::new(Plan::new(pipeline)),
            live: Mutex::default(),
            next: watch::Sender::default(),
        });
        start(Arc::clone(&slot), stop.clone(), ended.clone());
        slots.push(slot);
    }
    drop(ended);
    let mut exit = Exit::Done;
    loop {
        tokio::select! {
            ending = endings.recv() => match ending {
                Some((slot, end)) => exit = exit.and(say(&slot.name, &end)),
                None => return Ok(exit),
            },
            () = hung_up(&mut hangup) => reload_all(options, listen, &slots),
        }
    }
}

async fn hung_up(hangup: &mut Signal) {
    // Ends only with the process.
    if hangup.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// A thread for the pipeline, and one that tells how it ended, whichever way.
fn start(slot: Arc<Slot>, stop: CancellationToken, ended: mpsc::UnboundedSender<(Arc<Slot>, End)>) {
    let its = Arc::clone(&slot);
    let thread = thread::Builder::new()
        .name(slot.name.to_string())
        .spawn(
            move || match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(live(&its, stop)),
                Err(error) => End::failed(&error),
            },
        );
    let tell = move || {
        let end = match thread.map(thread::JoinHandle::join) {
            Ok(Ok(end)) => end,
            Ok(Err(_)) => End::failed(&"it panicked"),
            Err(error) => End::failed(&format!("no thread: {error}")),
        };
        slot.status.ended(end.error.clone());
        // Nobody listens any more once the process ends.
        ended.send((slot, end)).ok();
    };
    thread::spawn(tell);
}

/// From connecting to the end, and again as often as it is started anew. Without a report if it was
/// stopped while it connected.
async fn live(slot: &Slot, stop: CancellationToken) -> End {
    let mut next = slot.next.subscribe();
    let mut earlier = Exit::Done;
    loop {
        let connected = tokio::select! {
            biased;
            () = stop.cancelled() => return End { earlier, ..End::default() },
            connected = connect(slot) => connected,
        };
        let (pipeline, monitor) = match connected {
            Ok(connected) => connected,
            Err(error) => return End::failed(&error),
        };
        slot.status.runs(pipeline.progress(), monitor);
        info!(pipeline = %slot.name, "running");
        let mut anew = None;
        let until = async {
            tokio::select! {
                () = stop.cancelled() => {}
                plan = to_start_anew(slot, &mut next) => {
                    // It takes nothing more.
                    slot.status.connects();
                    anew = Some(plan);
                }
            }
        };
        let (report, error) = match pipeline.run_until(until).await {
            Ok(report) => (report, None),
            Err(ended) => (ended.report, Some(ended.error.to_string())),
        };
        let report = Some(report);
        let Some(plan) = anew else {
            return End {
                report,
                error,
                earlier,
            };
        };
        if let Some(error) = error {
            // Such as a key that was taken away while the last messages were settled.
            warn!(pipeline = %slot.name, error, "it ends with an error, and is started anew");
        }
        let end = End {
            report,
            error: None,
            earlier,
        };
        earlier = say(&slot.name, &end);
        tokio::select! {
            biased;
            () = stop.cancelled() => return End { earlier, ..End::default() },
            () = exchange(slot, &mut next, plan) => {}
        }
    }
}

/// Makes this what is to run, or what reloads have brought during the drain.
async fn exchange(slot: &Slot, next: &mut watch::Receiver<Option<Plan>>, plan: Plan) {
    let mut plan = Some(plan);
    loop {
        if next.has_changed().unwrap_or_default() {
            let newer = next.borrow_and_update().clone();
            match newer {
                Some(newer) => {
                    if works(slot, &newer).await {
                        plan = Some(newer);
                    }
                }
                // Everything was taken back.
                None => plan = None,
            }
            continue;
        }
        let mut live = slot.live();
        // Who reloads has this lock.
        if !next.has_changed().unwrap_or_default() {
            if let Some(plan) = plan {
                *slot.plan() = plan;
            }
            *live = None;
            return;
        }
    }
}

/// Waits for what the pipeline is to be started with anew, and for that to work.
async fn to_start_anew(slot: &Slot, next: &mut watch::Receiver<Option<Plan>>) -> Plan {
    loop {
        if next.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        let Some(plan) = next.borrow_and_update().clone() else {
            continue;
        };
        if works(slot, &plan).await && !next.has_changed().unwrap_or_default() {
            return plan;
        }
    }
}

async fn works(slot: &Slot, plan: &Plan) -> bool {
    let opened = check::opens(&plan.config).await;
    if let Err(error) = &opened {
        error!(
            pipeline = %slot.name, %error,
            "not reloaded, since it would not work; everything stays until the next reload",
        );
    }
    opened.is_ok()
}

/// Tries until the source is reached, unless it is somebody else's turn to mend something.
async fn connect(slot: &Slot) -> Result<(Pipeline, Monitor), Error> {
    let mut pause = CONNECT_AGAIN;
    loop {
        let plan = slot.plan().clone();
        match pipeline::build(&slot.name, &plan.config).await {
            Ok(Built {
                pipeline,
                monitor,
                live,
            }) => {
                let mut parts = slot.live();
                // A reload may have changed it meanwhile.
                if slot.plan().is(&plan) {
                    *parts = Some(live);
                    return Ok((pipeline, monitor));
                }
                continue;
            }
            Err(error) if error.kind().is_transient() => {
                warn!(pipeline = %slot.name, %error, ?pause, "can't connect; trying again");
                slot.status.unreachable(&error);
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(CONNECT_AGAIN_MOST);
    }
}

fn say(name: &str, end: &End) -> Exit {
    let End {
        report,
        error,
        earlier,
    } = end;
    let did = report.as_ref().map(ToString::to_string);
    let did = did.as_deref().unwrap_or("nothing was received");
    if let Some(error) = error {
        error!(pipeline = name, error, "the pipeline has failed: {did}");
        return Exit::Failed;
    }
    let left = |report: &Report| report.hard_stopped || report.unconfirmed > 0;
    if report.as_ref().is_some_and(left) {
        warn!(
            pipeline = name,
            "stopped, and something was left unsettled: {did}"
        );
        return earlier.and(Exit::Unsettled);
    }
    info!(pipeline = name, "stopped: {did}");
    *earlier
}

/// Reads the files again, and changes what has changed. What can't work changes nothing.
fn reload_all(options: &Options, listen: SocketAddr, slots: &[Arc<Slot>]) {
    info!("reloading the configuration");
    let loaded = match config::load(&options.files, options.secrets.as_deref()) {
        Ok(loaded) => loaded,
        Err(error) => return error!("the configuration can't be reloaded, and stays:\n{error}"),
    };
    let mut config = options.apply(loaded.config);
    if config.listen.unwrap_or(LISTEN) != listen {
        warn!("`listen` is another one: that needs a restart");
    }
    for slot in slots {
        match config.pipelines.remove(&*slot.name) {
            Some(new) => change(slot, Plan::new(new)),
            None => warn!(pipeline = %slot.name, "removed: that needs a restart; it goes on"),
        }
    }
    for name in config.pipelines.keys() {
        warn!(pipeline = name, "new: that needs a restart");
    }
}

fn change(slot: &Slot, new: Plan) {
    if slot.status.is_over() {
        return warn!(pipeline = %slot.name, "it has ended: a restart starts it again");
    }
    let live = slot.live();
    let mut now = slot.plan();
    let Some(parts) = &*live else {
        // Still connecting: the next attempt takes it all.
        *now = new;
        return info!(pipeline = %slot.name, "reloaded while connecting");
    };
    let changes = reload::compare(&now, &new, parts.takes(new.config.sink.http.mode));
    if !changes.anew.is_empty() {
        info!(
            pipeline = %slot.name, changed = changes.anew.join(" "),
            "it is started anew, if that works",
        );
        slot.next.send_replace(Some(new));
        return;
    }
    match parts.change(&new.config) {
        Ok(()) => {
            *now = new;
            // What was to come has been taken back.
            slot.next.send_replace(None);
            info!(pipeline = %slot.name, changed = changes.live.join(" "), "reloaded");
        }
        Err(error) => error!(pipeline = %slot.name, %error, "not reloaded; everything stays"),
    }
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
