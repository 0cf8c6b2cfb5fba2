//! The loop: polls, sends, judges, settles, one task for all.
//!
//!
//! One task owns everything, so there are no locks and no races between the parts; what runs at the
//! same time (requests, settle calls, a write of dead letters, the poll) are futures that it holds.
//! Each round does all that can be done now ([`Engine::step`]), then waits for the first of: an
//! attempt that ends, a signal, a settle call, dead letters, a timer, the shutdown.
//!
//! The poll is dropped and made anew when the demand turns from none to some or back, or a pause
//! has to be told; sources are cancel-safe by contract, so that loses nothing.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    task::coop,
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

use super::{
    LiveSettings, Options, PipelineError, Report,
    attempt::{Attempt, Ended},
    gate::Gate,
    lanes::{InHand, LaneId, Lanes},
    leases::Leases,
    leaving::Leaving,
    letters::Letters,
    partitions::Partitions,
    progress::{HeldLane, Meter, Progress},
    settling::{Call, Settling},
    stopping::Stop,
};
use crate::{
    Error, Result,
    sink::{DeadLetterSink, Sink, Verdicts},
    source::{Demand, Partition, Signal, Source},
};

/// Far enough to mean never, near enough to be added to.
pub(super) const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// How often what is only looked at is refreshed.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

pub(crate) struct Engine<'a> {
    pub(super) options: Options,
    live: watch::Receiver<LiveSettings>,
    pub(super) sink: &'a dyn Sink,
    pub(super) progress: &'a Progress,
    pub(super) meter: Meter,
    pub(super) random: fastrand::Rng,
    pub(super) lanes: Lanes,
    pub(super) gate: Gate,
    pub(super) partitions: Partitions,
    pub(super) letters: Letters<'a>,
    pub(super) settling: Settling,
    pub(super) leases: Leases,
    pub(super) in_flight: FuturesUnordered<Attempt<'a>>,
    /// No attempt's deadline is before: looked at anew when it has come, so that an attempt costs
    /// no timer.
    pub(super) deadline: Instant,
    pub(super) timers: BinaryHeap<Reverse<(Instant, LaneId)>>,
    pub(super) leaving: Vec<Leaving>,
    pub(super) pauses: Vec<Partition>,
    pub(super) resumes: Vec<Partition>,
    pub(super) buffered_events: usize,
    pub(super) buffered_bytes: usize,
    pub(super) unsettled: u64,
    pub(super) error: Option<Error>,
    pub(super) can_release: bool,
    pub(super) can_pause: bool,
    pub(super) ordered: bool,
    pub(super) started: Instant,
    /// When anything came last: a delivery, an assignment. Before the first assignment nothing
    /// could.
    pub(super) last_news: Option<Instant>,
    pub(super) per_event: bool,
    pub(super) ended: bool,
    pub(super) stop: Option<Stop>,
    poll_failures: u32,
    poll_not_before: Option<Instant>,
    housekeeping: Instant,
    /// What the next wait asks about first.
    turn: usize,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(
        (options, live): (Options, watch::Receiver<LiveSettings>),
        source: &dyn Source,
        sink: &'a dyn Sink,
        dead_letter: Option<&'a dyn DeadLetterSink>,
        progress: &'a Progress,
    ) -> Self {
        let (capability, now) = (source.capability(), Instant::now());
        Self {
            sink,
            progress,
            meter: Meter::new(&options.name),
            random: fastrand::Rng::with_seed(options.seed),
            lanes: Lanes::default(),
            gate: Gate::default(),
            partitions: Partitions::default(),
            letters: Letters::new(dead_letter),
            settling: Settling::new(source.settler(), capability, options.commit_interval),
            leases: Leases::new(capability.lease.filter(|_| capability.extend)),
            in_flight: FuturesUnordered::new(),
            deadline: now,
            timers: BinaryHeap::new(),
            leaving: Vec::new(),
            pauses: Vec::new(),
            resumes: Vec::new(),
            buffered_events: 0,
            buffered_bytes: 0,
            unsettled: 0,
            error: None,
            can_release: capability.release,
            can_pause: capability.pause,
            ordered: capability.ordered,
            started: now,
            last_news: None,
            per_event: sink.verdicts() == Verdicts::PerEvent,
            ended: false,
            stop: None,
            poll_failures: 0,
            poll_not_before: None,
            housekeeping: now + HOUSEKEEPING,
            turn: 0,
            options,
            live,
        }
    }

    /// Until [`finished`](Self::finished). Dropping the future drops all that is under way.
    pub(crate) async fn run(
        mut self,
        mut source: Box<dyn Source>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Report, PipelineError> {
        let mut shutdown = pin!(shutdown.fuse());
        let (mut stopping, mut source_knows) = (false, false);
        let mut timer = pin!(sleep_until(self.started + NEVER));
        let mut armed = self.started + NEVER;
        'run: loop {
            // Before the first settlement of what is given back.
            if let Some(stop) = self.stop.filter(|_| !source_knows) {
                source_knows = true;
                source.stop(stop.cut);
            }
            self.tell_pauses(&mut *source);
            let demand = self.demand();
            let mut poll = source.poll(demand);
            loop {
                let now = Instant::now();
                let wake = self.step(now);
                self.meter.publish(self.progress);
                if self.finished(now) {
                    break 'run;
                }
                let untold = self.stop.is_some() && !source_knows;
                if untold || self.wants_other(demand) {
                    continue 'run;
                }
                if wake != armed {
                    armed = wake;
                    timer.as_mut().reset(wake);
                }
                let may_poll = !self.ended && self.poll_not_before.is_none_or(|at| at <= now);
                let turn = self.turn;
                self.turn = (turn + 1) % Happened::KINDS;
                let (telling, writing) = (self.settling.is_calling(), self.letters.is_writing());
                let happened = {
                    let mut told = pin!(self.settling.ended());
                    let mut kept =
                        pin!(self.letters.written(&self.options.retry, &mut self.random));
                    let in_flight = &mut self.in_flight;
                    poll_fn(|cx| {
                        if !coop::has_budget_remaining() {
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        // Whoever is first could starve the others: each has its turn.
                        for kind in (turn..Happened::KINDS).chain(0..turn) {
                            let happened = match kind {
                                0 => match in_flight.poll_next_unpin(cx) {
                                    Poll::Ready(Some(ended)) => Poll::Ready(Happened::Ended(ended)),
                                    Poll::Ready(None) | Poll::Pending => Poll::Pending,
                                },
                                1 if may_poll => poll.as_mut().poll(cx).map(Happened::Heard),
                                2 if telling => told.as_mut().poll(cx).map(Happened::Told),
                                3 if writing => kept.as_mut().poll(cx).map(Happened::Kept),
                                4 => timer.as_mut().poll(cx).map(|()| Happened::Time),
                                5 if !stopping => {
                                    shutdown.as_mut().poll(cx).map(|()| Happened::Shutdown)
                                }
                                _ => Poll::Pending,
                            };
                            if happened.is_ready() {
                                return happened;
                            }
                        }
                        Poll::Pending
                    })
                    .await
                };
                match happened {
                    Happened::Ended(ended) => self.judge_all(ended),
                    Happened::Heard(signal) => {
                        self.hear(signal);
                        continue 'run;
                    }
                    Happened::Told(call) => self.told(call, Instant::now()),
                    Happened::Kept((kept, error)) => self.kept(kept, error, Instant::now()),
                    Happened::Time => {}
                    Happened::Shutdown => {
                        stopping = true;
                        info!(pipeline = %self.options.name, "stopping: finishing what is in flight");
                        self.soft_stop(Instant::now());
                        continue 'run;
                    }
                }
            }
        }
        self.close(source).await
    }

    /// Judges an attempt that has ended, and those that have ended meanwhile.
    fn judge_all(&mut self, first: Ended) {
        let now = Instant::now();
        self.judge(first, now);
        while let Some(Some(ended)) = self.in_flight.next().now_or_never() {
            self.judge(ended, now);
        }
    }

    /// Does all that can be done now. Returns when to come back if nothing happens.
    fn step(&mut self, now: Instant) -> Instant {
        if self.live.has_changed().unwrap_or(false) {
            let settings = self.live.borrow_and_update().clone();
            info!(pipeline = %self.options.name, "settings changed");
            self.options.adopt(settings);
        }
        let mut wake = self.housekeep(now);
        if let Some(stop) = self.stop {
            if now >= stop.cut && !stop.hard {
                self.hard_stop();
            }
            wake = wake.min(if now < stop.cut { stop.cut } else { stop.end });
        }
        while let Some(&Reverse((at, lane))) = self.timers.peek() {
            if at > now {
                wake = wake.min(at);
                break;
            }
            self.timers.pop();
            self.lanes.release(lane, now);
        }
        if now >= self.deadline && !self.in_flight.is_empty() {
            self.time_out(now);
        }
        self.meter.now.held_lanes = self.lanes.held() as u64;
        self.meter.now.destination_resting = u64::from(self.gate.rests(now));
        for at in [
            self.write_letters(now),
            self.dispatch(now),
            self.let_go(now),
        ] {
            wake = wake.min(at.unwrap_or(wake));
        }
        let (extensions, at) = self.leases.due(now);
        wake = wake.min(at.unwrap_or(wake));
        extensions
            .into_iter()
            .for_each(|extension| self.settling.push(extension));
        if !self.in_flight.is_empty() {
            wake = wake.min(self.deadline);
        }
        let hurry = self.stop.is_some() || !self.leaving.is_empty() || self.at_rest();
        if let Some(at) = self.settling.start(now, hurry, &mut self.partitions) {
            wake = wake.min(at);
        }
        if let Some(at) = self.poll_not_before {
            wake = wake.min(if at > now { at } else { wake });
        }
        wake
    }

    /// What the budgets leave, and no more than can soon be sent; none while a partition that can't
    /// be paused has used up its span.
    fn demand(&self) -> Demand {
        let stuck = !self.can_pause && self.partitions.any_paused();
        if stuck || self.stop.is_some() || self.error.is_some() {
            return Demand::NONE;
        }
        let budgets = &self.options.budgets;
        let records = budgets.events.saturating_sub(self.buffered_events);
        let bytes = budgets.bytes.saturating_sub(self.buffered_bytes);
        // Small refills would cost a poll for a few events each.
        if records < (budgets.events / 8).max(1) || bytes < (budgets.bytes / 8).max(1) {
            return Demand::NONE;
        }
        // A queue's poller bounds itself, by leases; fewer could be too few for all its receives.
        if !self.settling.is_cumulative() {
            return Demand { records, bytes };
        }
        let round = budgets.requests.max(self.options.batch.events);
        let ahead = round.saturating_mul(AHEAD);
        let wanted = ahead.saturating_sub(self.lanes.waiting().0);
        if wanted < ahead / 8 {
            return Demand::NONE;
        }
        Demand {
            records: records.min(wanted),
            bytes,
        }
    }

    /// Whether the poll under way should be replaced.
    fn wants_other(&self, demand: Demand) -> bool {
        !self.pauses.is_empty()
            || !self.resumes.is_empty()
            || demand.is_none() != self.demand().is_none()
    }

    /// Between two polls, since pausing needs the source. A pause that fails costs memory, up to
    /// the other budgets, and is only logged.
    fn tell_pauses(&mut self, source: &mut dyn Source) {
        type Tell = fn(&mut dyn Source, &[Partition]) -> crate::Result<()>;
        if !self.can_pause {
            self.pauses.clear();
            self.resumes.clear();
        }
        let tell: [(&mut Vec<Partition>, Tell, _); 2] = [
            (
                &mut self.pauses,
                |source, which| source.pause(which),
                "pause",
            ),
            (
                &mut self.resumes,
                |source, which| source.resume(which),
                "resume",
            ),
        ];
        for (which, tell, what) in tell {
            if !which.is_empty()
                && let Err(error) = tell(source, which)
            {
                warn!(pipeline = %self.options.name, %error, "can't {what} partitions");
            }
            which.clear();
        }
    }

    /// The source failed to poll.
    pub(super) fn poll_failed(&mut self, error: Error, now: Instant) {
        self.meter
            .because(crate::metrics::SOURCE_ERRORS, "kind", error.kind().as_str());
        if !error.kind().is_transient() {
            return self.fail(error);
        }
        self.poll_failures = self.poll_failures.saturating_add(1);
        let pace = super::Retry::default().with_delays(Duration::from_millis(100), HOUSEKEEPING);
        let delay = pace.delay(self.poll_failures, &mut self.random);
        let delay = delay.max(error.retry_after().unwrap_or_default());
        warn!(pipeline = %self.options.name, %error, ?delay, "the source failed; trying again");
        self.poll_not_before = Some(now + delay);
    }

    pub(super) fn poll_succeeded(&mut self) {
        (self.poll_failures, self.poll_not_before) = (0, None);
    }

    pub(super) fn source_ended(&mut self) {
        self.ended = true;
    }

    /// What is only looked at, once a second; and the idle time-out. Returns when to come back.
    fn housekeep(&mut self, now: Instant) -> Instant {
        if self.is_empty() && self.meter.now.held_lanes == 0 {
            self.meter.oldest.set(0.0);
            self.progress.set_held(Vec::new());
            return match self.options.idle.zip(self.last_news) {
                Some((idle, since)) if self.stop.is_none() => {
                    let until = since + idle;
                    if now >= until {
                        info!(pipeline = %self.options.name, "nothing came for {idle:?}: stopping");
                        self.soft_stop(now);
                    }
                    until
                }
                _ => self.started + NEVER,
            };
        }
        if now >= self.housekeeping {
            self.housekeeping = now + HOUSEKEEPING;
            let flying = self.in_flight.iter().flat_map(|attempt| &attempt.items);
            let oldest = flying
                .map(|(_, item)| item.received)
                .chain(self.lanes.oldest())
                .chain(self.letters.oldest())
                .min();
            let age = oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
            self.meter.oldest.set(age.as_secs_f64());
            let held = self
                .lanes
                .held_heads()
                .take(HELD_SHOWN)
                .map(|(key, item)| HeldLane {
                    key: key
                        .key
                        .as_ref()
                        .map(|key| String::from_utf8_lossy(key).into_owned()),
                    attempts: item.attempts,
                    reason: item
                        .trouble
                        .as_ref()
                        .map_or_else(String::new, |t| t.last.reason.to_string()),
                    rejected: item.trouble.as_ref().is_some_and(|t| t.rejected),
                });
            self.progress.set_held(held.collect());
        }
        self.housekeeping
    }

    /// Begins to write dead letters, if there are any.
    fn write_letters(&mut self, now: Instant) -> Option<Instant> {
        if self.letters.is_idle() {
            return None;
        }
        let destination = self.sink.destination();
        self.letters
            .start(now, |(_, item)| super::letters::letter(item, &destination))
    }
}

/// Of what could be sent at once, so many requests of one event or so many batches are read ahead,
/// whatever the budgets: they are for what has to wait. What lies longer has left the processor's
/// cache when its turn comes (a backlog took 10 % more CPU time in single requests and 35 % more in
/// batches), and would be delivered again after a crash.
const AHEAD: usize = 8;

/// What ends a wait. Which of several comes first is decided by turns and not by chance, so that a
/// run can be repeated.
enum Happened {
    Ended(Ended),
    Heard(Result<Signal>),
    Told(Call),
    Kept((Vec<InHand>, Option<Error>)),
    Time,
    Shutdown,
}

impl Happened {
    const KINDS: usize = 6;
}

/// Held lanes that [`Progress::held`] shows.
const HELD_SHOWN: usize = 100;
