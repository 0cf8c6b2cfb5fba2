//! Runs a world: lives one after the other, operations beside them, and a last life in which
//! nothing goes wrong any more.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll},
    time::Duration,
};

use eventlane::{
    OnExhausted, Pipeline, PipelineError, Report, Source,
    queue::{Poller, PollerOptions},
};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{
    Outcome,
    dice::Choice,
    ledger::list,
    life::{Life, LifeId},
    log_source::LogSource,
    observe::Observed,
    plan::{End, Family, Plan, What},
    queue::Client,
    sink::{SimLetters, SimSink},
    world::World,
};

/// Virtual time that no world may need.
const FOREVER: Duration = Duration::from_secs(6 * 3600);

/// A stop may take so much longer than its grace time: the time that a source gets to close, and
/// what a poller's receives under way may need for their answers.
fn closing(plan: &Plan) -> Duration {
    let receives = match &plan.family {
        Family::Log(_) => Duration::ZERO,
        Family::Queue(queue) => queue.wait + Duration::from_secs(2),
    };
    receives + Duration::from_millis(260)
}

/// Runs a world to its end. The same plan gives the same outcome.
pub fn run(plan: &Plan, tracing: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let world = Arc::new(World::new(plan.clone(), tracing));
    let ran = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            world.ledger().start = Instant::now();
            if timeout(FOREVER, live_through(&world)).await.is_err() {
                world.ledger().violation("the world does not end");
            }
        });
    }));
    // For the clock.
    let _entered = runtime.enter();
    let mut ledger = world.ledger();
    if ran.is_err() {
        ledger.violation("something panicked");
    }
    Outcome {
        violations: std::mem::take(&mut ledger.violations),
        trace: std::mem::take(&mut ledger.trace),
        faults: world.dice.fired(),
        accepted: ledger
            .events
            .iter()
            .map(|truth| u64::from(truth.accepted))
            .sum(),
        duplicates: ledger
            .events
            .iter()
            .map(|truth| u64::from((truth.accepted + truth.letters).saturating_sub(1)))
            .sum(),
    }
}

async fn live_through(world: &Arc<World>) {
    let appending = tokio::spawn(append(Arc::clone(world)));
    let operating = tokio::spawn(operate(Arc::clone(world)));
    let slots = world.plan.lives.iter().enumerate().map(|(slot, lives)| {
        let (world, lives) = (Arc::clone(world), lives.clone());
        tokio::spawn(async move {
            for (nth, life) in lives.into_iter().enumerate() {
                sleep(Duration::from_millis(life.pause)).await;
                live(&world, &format!("life {slot}.{nth}"), Some(life.end)).await;
            }
        })
    });
    for slot in join_all(slots.collect::<Vec<_>>()).await {
        if let Err(error) = slot {
            world
                .ledger()
                .violation(format!("a consumer panicked: {error}"));
        }
    }
    drop(appending.await);
    world.dice.set_calm(true);
    if !world.ledger().violations.is_empty() {
        return;
    }
    if world.plan.engine.policy == OnExhausted::Block && world.plan.ample {
        live(world, "calm life", Some(End::Stop { at: 600_000 })).await;
        check_starvation(world);
    }
    let heals = !matches!(
        world.plan.engine.policy,
        OnExhausted::DeadLetter | OnExhausted::Drop
    );
    world.ledger().healed = heals;
    if let Family::Log(log) = &world.plan.family {
        world.finish_log(log.tail);
    }
    recover(world).await;
    operating.abort();
    live(world, "last life", None).await;
    check_end(world);
}

/// A life in which it calms down: what is left of the trouble must not stay for ever. May end early,
/// as one that is told that its destination is gone.
async fn recover(world: &Arc<World>) {
    let mut recovery = world.dice.choose(Choice::Recovery, &[]);
    if recovery.bool() {
        return;
    }
    world.dice.set_calm(false);
    let calm = {
        let (world, after) = (Arc::clone(world), recovery.u64(0..3000));
        tokio::spawn(async move {
            sleep(Duration::from_millis(after)).await;
            world.dice.set_calm(true);
            world
                .ledger()
                .note(|| "from here on all is calm".to_owned());
        })
    };
    let well = live(world, "recovering life", None).await;
    calm.abort();
    world.dice.set_calm(true);
    // What was taken away in that life is left for the next one.
    let whole = |life: &Life| !life.robbed && life.revoking.is_empty();
    let whole = world.ledger().lives.last().is_some_and(whole);
    if well && whole {
        check_end(world);
    }
}

async fn append(world: Arc<World>) {
    let start = Instant::now();
    for record in &world.plan.records {
        let at = start + Duration::from_millis(record.at);
        if at > Instant::now() {
            sleep_until(at).await;
        }
        match &world.plan.family {
            Family::Log(_) => world.append(record.number, record.partition, record.gap),
            Family::Queue(_) => world.send(record.number),
        }
    }
}

async fn operate(world: Arc<World>) {
    let start = Instant::now();
    for operation in &world.plan.operations {
        sleep_until(start + Duration::from_millis(operation.at)).await;
        match operation.what {
            What::Revoke { partition, within } => world.revoke(partition, within),
            What::Lose { partition, noticed } => world.lose(partition, noticed),
            What::LoseLease { pick } => world.lose_lease(pick),
            What::Outage { kind, length } => {
                world
                    .ledger()
                    .note(|| format!("sink: {kind:?} for {length} ms"));
                world.break_out(kind, Instant::now() + Duration::from_millis(length));
            }
        }
    }
}

/// Polled until it is done or it is time to crash: then it is dropped where it stands.
struct Mortal<F> {
    body: Option<Pin<Box<F>>>,
    waits: u64,
    world: Arc<World>,
    life: LifeId,
}

impl<F: Future> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(output) = body.as_mut().poll(cx) {
            self.body = None;
            return Poll::Ready(Some(output));
        }
        self.waits = self.waits.saturating_sub(1);
        if self.waits > 0 {
            return Poll::Pending;
        }
        self.crash();
        Poll::Ready(None)
    }
}

impl<F> Mortal<F> {
    fn crash(&mut self) {
        if let Some(body) = self.body.take() {
            self.world.ledger().crash(self.life);
            drop(body);
        }
    }
}

/// One incarnation. Whether its pipeline came to a good end.
async fn live(world: &Arc<World>, name: &str, end: Option<End>) -> bool {
    let life = world.ledger().begin(name);
    let pipeline = pipeline(world, life, end.is_none());
    let progress = pipeline.progress();
    let (crash_at, waits, stop_at) = match end {
        Some(End::Crash { at, waits }) => (Some(at), waits, None),
        Some(End::Stop { at }) => (None, u64::MAX, Some(at)),
        None => (None, u64::MAX, None),
    };
    let started = Instant::now();
    let shutdown = {
        let world = Arc::clone(world);
        async move {
            let Some(at) = stop_at else {
                return std::future::pending().await;
            };
            sleep(Duration::from_millis(at)).await;
            world.ledger().stop(life);
        }
    };
    let mut mortal = Mortal {
        body: Some(Box::pin(pipeline.run_until(shutdown))),
        waits,
        world: Arc::clone(world),
        life,
    };
    let longest = match (crash_at, stop_at) {
        (Some(at), _) => Duration::from_millis(at),
        (_, Some(at)) => Duration::from_millis(at) + world.plan.engine.grace + closing(&world.plan),
        _ => FOREVER / 2,
    };
    let result = match timeout(longest, &mut mortal).await {
        Ok(result) => result,
        Err(_) if crash_at.is_some() => None,
        Err(_) => {
            let what = format!(
                "{name} does not end, with {} events in hand and {} requests under way",
                progress.buffered_events(),
                progress.in_flight(),
            );
            world.ledger().violation(what);
            None
        }
    };
    mortal.crash();
    drop(mortal);
    let crashed = !world.ledger().lives[life].alive;
    let well = matches!(result, Some(Ok(_)));
    match result {
        Some(result) => ended(world, life, &result, started),
        None => {
            world.ledger().dropped += progress.dropped();
        }
    }
    if matches!(world.plan.family, Family::Log(_)) {
        if crashed {
            world.vanish(life);
        } else {
            world.leave(life);
        }
    }
    let exits = end.is_none() || world.dice.choose(Choice::Exit, &[life as u64]).bool();
    let mut ledger = world.ledger();
    ledger.lives[life].ended = true;
    // What the pipeline left running goes with the process, if that ends.
    ledger.lives[life].alive &= !exits;
    well
}

fn pipeline(world: &Arc<World>, life: LifeId, last: bool) -> Pipeline {
    let engine = &world.plan.engine;
    let seed = world.dice.choose(Choice::Pipeline, &[life as u64]).u64(..);
    let inner: Box<dyn Source> = match &world.plan.family {
        Family::Log(_) => {
            world.join(life);
            Box::new(LogSource {
                world: Arc::clone(world),
                life,
            })
        }
        Family::Queue(of) => {
            let options = PollerOptions::default()
                .with_receivers(1..=of.receivers)
                .with_max_held(of.max_held)
                .with_linger(of.linger)
                .with_seed(world.dice.choose(Choice::Poller, &[life as u64]).u64(..));
            let client = Client::new(Arc::clone(world), life);
            Box::new(Poller::with_options(client, options))
        }
    };
    let source = Observed {
        world: Arc::clone(world),
        life,
        inner,
        polls: 0,
    };
    let sink = SimSink {
        world: Arc::clone(world),
        life,
    };
    let mut pipeline = Pipeline::new(source, sink)
        .with_name("simulation")
        .with_ordering(engine.ordering)
        .with_keyless(engine.keyless)
        .with_budgets(engine.budgets)
        .with_batch(engine.batch)
        .with_retry(engine.retry.clone())
        .with_commit_interval(engine.commit_interval)
        .with_grace(engine.grace)
        .with_seed(seed);
    if engine.policy == OnExhausted::DeadLetter {
        let calls = AtomicU64::new(0);
        pipeline = pipeline.with_dead_letter(SimLetters {
            world: Arc::clone(world),
            life,
            calls,
        });
    }
    if last && let Family::Queue(of) = &world.plan.family {
        // Long enough for leases of the dead and for what was given back for later.
        pipeline = pipeline.with_idle_timeout(of.lease + Duration::from_secs(300));
    }
    pipeline.with_on_exhausted(engine.policy)
}

/// What a pipeline says of itself must be true.
fn ended(world: &World, life: LifeId, result: &Result<Report, PipelineError>, started: Instant) {
    let mut ledger = world.ledger();
    let name = ledger.name(life);
    let (report, error) = match result {
        Ok(report) => (report, None),
        Err(failed) => (&failed.report, Some(&failed.error)),
    };
    ledger.note(|| {
        let error = error.map_or_else(String::new, |error| format!(", because {error}"));
        format!("{name} has ended: {report}{error}")
    });
    ledger.dropped += report.dropped;
    let alive = &ledger.lives[life];
    let mut wrong = Vec::new();
    for (what, said, is) in [
        ("delivered", report.delivered, alive.delivered),
        ("dead-lettered", report.dead_lettered, alive.letters),
    ] {
        if said != is {
            wrong.push(format!(
                "says that it {what} {said} events, and it was {is}"
            ));
        }
    }
    if alive.unsettled as u64 > report.unconfirmed {
        wrong.push(format!(
            "says that {} are unconfirmed, and it is {}",
            report.unconfirmed, alive.unsettled,
        ));
    }
    let grace = world.plan.engine.grace + closing(&world.plan);
    if let Some(stopped) = alive.stopped
        && Instant::now() > stopped + grace
    {
        wrong.push("took longer to stop than its grace time".to_owned());
    }
    if report.elapsed > Instant::now() - started {
        wrong.push("says that it took longer than it did".to_owned());
    }
    if let Some(error) = error
        && error.to_string().contains("out of order")
    {
        wrong.push(format!("failed: {error}"));
    }
    for wrong in wrong {
        ledger.violation(format!("{name} {wrong}"));
    }
}

/// With poison in it a lane is blocked, and no other one may be.
fn check_starvation(world: &World) {
    let mut ledger = world.ledger();
    let mut starved = Vec::new();
    let records: Vec<_> = ledger.plan.records.clone();
    for record in &records {
        let lane = crate::lanes::of(&ledger.plan, record);
        let poisoned = records.iter().any(|other| {
            let same = other.number == record.number
                || (lane.is_some() && crate::lanes::of(&ledger.plan, other) == lane)
                || world.held_together(record, other);
            same && other.poison
        });
        if !poisoned && !ledger.is_resolved(record.number) {
            starved.push(record.number);
        }
    }
    if !starved.is_empty() {
        ledger.violation(format!("starved: {} in ten calm minutes", list(&starved)));
    }
}

/// Everything is done, and the broker knows.
fn check_end(world: &World) {
    let left = match &world.plan.family {
        Family::Queue(_) => world.left(),
        Family::Log(_) => {
            let log = world.log();
            let parts = log.partitions.iter().flat_map(|part| {
                let open = part
                    .records
                    .iter()
                    .filter(|(offset, _)| !part.has_recorded(*offset));
                open.map(|(_, event)| *event)
            });
            parts.collect()
        }
    };
    let mut ledger = world.ledger();
    if !left.is_empty() {
        ledger.violation(format!("in the end the broker still has {}", list(&left)));
    }
    let plan = Arc::clone(&ledger.plan);
    let all = plan.records.iter().map(|record| record.number);
    let undone: Vec<_> = all
        .clone()
        .filter(|&event| !ledger.is_resolved(event))
        .collect();
    if !undone.is_empty() {
        ledger.violation(format!("in the end {} are not done", list(&undone)));
    }
    let gone = all.filter(|&event| {
        let truth = &ledger.events[event];
        truth.accepted == 0 && truth.letters == 0
    });
    let (gone, dropped) = (gone.count() as u64, ledger.dropped);
    if gone > dropped {
        ledger.violation(format!(
            "{gone} events were dropped, and {dropped} were counted"
        ));
    }
}
