//! The loop: polls, sends, judges, settles, one task for all.

use std::{cmp::Reverse, collections::BinaryHeap, future::Future, mem, pin::pin, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use smallvec::SmallVec;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, info, warn};

use super::{
    Options, PipelineError, Report,
    attempt::{Attempt, Ended},
    gate::{Gate, Permit},
    lanes::{InHand, LaneId, Lanes},
    leases::Leases,
    letters::Letters,
    partitions::Partitions,
    progress::{HeldLane, Meter, Progress},
    settling::Settling,
};
use crate::{
    Error,
    sink::{Batch, DeadLetterSink, Sink, Verdicts},
    source::{Demand, Partition, Revocation, Source},
};

/// Far enough to mean never, near enough to be added to.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// How often what is only looked at is refreshed.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

pub(crate) struct Engine<'a> {
    pub(super) options: &'a Options,
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
    /// No attempt's deadline is before: looked at anew when it has come, so that an attempt costs no timer.
    deadline: Instant,
    pub(super) timers: BinaryHeap<Reverse<(Instant, LaneId)>>,
    pub(super) leaving: Vec<Leaving>,
    pub(super) pauses: Vec<Partition>,
    pub(super) resumes: Vec<Partition>,
    pub(super) buffered_events: usize,
    pub(super) buffered_bytes: usize,
    pub(super) unsettled: u64,
    pub(super) error: Option<Error>,
    pub(super) can_release: bool,
    pub(super) started: Instant,
    pub(super) last_delivery: Instant,
    per_event: bool,
    ended: bool,
    stop: Option<Stop>,
    poll_failures: u32,
    poll_not_before: Option<Instant>,
    housekeeping: Instant,
}

/// Partitions on their way to somebody else. At `cut`, what is under way is cut off, so that the rest can be settled.
pub(super) struct Leaving {
    pub(super) cut: Instant,
    pub(super) revocation: Revocation,
}

/// The soft stop: what is in flight is finished. At `cut` it is cut off, and at `end` nothing is waited for any more.
#[derive(Clone, Copy)]
struct Stop {
    cut: Instant,
    end: Instant,
    hard: bool,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(
        options: &'a Options,
        source: &dyn Source,
        sink: &'a dyn Sink,
        dead_letter: Option<&'a dyn DeadLetterSink>,
        progress: &'a Progress,
    ) -> Self {
        let (capability, now) = (source.capability(), Instant::now());
        Self {
            options,
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
            started: now,
            last_delivery: now,
            per_event: sink.verdicts() == Verdicts::PerEvent,
            ended: false,
            stop: None,
            poll_failures: 0,
            poll_not_before: None,
            housekeeping: now + HOUSEKEEPING,
        }
    }

    pub(crate) async fn run(
        mut self,
        mut source: Box<dyn Source>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Report, PipelineError> {
        let mut shutdown = pin!(shutdown.fuse());
        let mut stopping = false;
        let mut timer = pin!(sleep_until(self.started + NEVER));
        let mut armed = self.started + NEVER;
        'run: loop {
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
                if self.wants_other(demand) {
                    continue 'run;
                }
                if wake != armed {
                    armed = wake;
                    timer.as_mut().reset(wake);
                }
                let may_poll = !self.ended && self.poll_not_before.is_none_or(|at| at <= now);
                tokio::select! {
                    Some(ended) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                        self.judge_all(ended);
                    }
                    signal = &mut poll, if may_poll => {
                        self.hear(signal);
                        continue 'run;
                    }
                    call = self.settling.ended(), if self.settling.is_calling() => {
                        self.told(call, Instant::now());
                    }
                    (kept, error) = self.letters.written(&self.options.retry, &mut self.random),
                        if self.letters.is_writing() =>
                    {
                        self.kept(kept, error, Instant::now());
                    }
                    () = &mut timer => {}
                    () = &mut shutdown, if !stopping => {
                        stopping = true;
                        info!(pipeline = %self.options.name, "stopping: finishing what is in flight");
                        self.soft_stop(Instant::now());
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

    /// Ends the attempts whose time is up.
    fn time_out(&mut self, now: Instant) {
        let mut next = now + self.options.retry.timeout;
        for attempt in mem::take(&mut self.in_flight) {
            if attempt.deadline <= now {
                self.judge(attempt.time_out(), now);
            } else {
                next = next.min(attempt.deadline);
                self.in_flight.push(attempt);
            }
        }
        self.deadline = next;
    }

    /// Sends as long as anything may be sent.
    fn dispatch(&mut self, now: Instant) -> Option<Instant> {
        while self.stop.is_none() && self.in_flight.len() < self.options.budgets.requests {
            let head = self.lanes.head()?;
            let over = head.leased && self.leases.is_over(head.receipt, now);
            if head.invalid.is_some() || over {
                self.set_aside(now);
                continue;
            }
            let probe = match self.gate.permit(now) {
                Permit::Open => false,
                Permit::Probe => true,
                Permit::Closed(until) => return until,
            };
            if let Some(at) = self.lingers(now) {
                return Some(at);
            }
            let items = self.compose();
            if probe {
                self.gate.probing();
            }
            self.send(items, probe, now);
        }
        None
    }

    /// Until when the next batch may still wait for company.
    fn lingers(&self, now: Instant) -> Option<Instant> {
        let policy = &self.options.batch;
        if policy.events <= 1 || policy.linger.is_zero() || self.ended {
            return None;
        }
        let (events, bytes, since) = self.lanes.waiting();
        let events = if self.per_event {
            self.lanes.ready_lanes()
        } else {
            events
        };
        let until = since? + policy.linger;
        (events < policy.events && bytes < policy.bytes && now < until).then_some(until)
    }

    /// Takes the next batch off the lanes.
    fn compose(&mut self) -> SmallVec<[InHand; 1]> {
        let policy = &self.options.batch;
        let (mut bytes, mut most) = (0, policy.events.max(1));
        let mut items = SmallVec::with_capacity(most.min(self.lanes.waiting().0));
        while let Some(head) = self.lanes.head() {
            most = most.min(head.cap);
            let fits = items.is_empty()
                || (items.len() < most
                    && bytes + head.bytes <= policy.bytes
                    && head.invalid.is_none());
            if !fits {
                break;
            }
            bytes += head.bytes;
            let stay = !self.per_event && items.len() + 1 < most;
            let Some(item) = self.lanes.pop(stay) else {
                break;
            };
            if let Some(partition) = self.partitions.of(item.1.receipt) {
                partition.out += 1;
            }
            items.push(item);
        }
        self.lanes.leave();
        items
    }

    fn send(&mut self, items: SmallVec<[InHand; 1]>, probe: bool, now: Instant) {
        let attempt = items
            .iter()
            .map(|(_, item)| item.attempts)
            .max()
            .unwrap_or(0)
            + 1;
        let events = items.iter().map(|(_, item)| item.event.clone()).collect();
        let span = tracing::debug_span!(
            "send",
            pipeline = %self.options.name,
            events = items.len(),
            attempt,
            first = %items.first().map_or("", |(_, item)| item.event.id()),
        );
        self.meter.now.requests += 1;
        self.meter.batch_events.record(items.len() as f64);
        let sending = self.sink.send(Batch { events, attempt });
        let deadline = now + self.options.retry.timeout;
        if self.in_flight.is_empty() {
            self.deadline = deadline;
        }
        self.in_flight
            .push(Attempt::new(items, probe, now, deadline, sending, span));
        self.meter.now.in_flight = self.in_flight.len() as u64;
    }

    /// Lets partitions go whose time is up, or of which nothing is under way any more.
    fn let_go(&mut self, now: Instant) -> Option<Instant> {
        let mut wake = None;
        for at in (0..self.leaving.len()).rev() {
            let Leaving { cut, revocation } = &self.leaving[at];
            let (cut, deadline) = (*cut, revocation.deadline);
            let partitions = revocation.partitions.clone();
            let busy = partitions.iter().any(|&partition| self.is_out(partition));
            if busy && now >= cut {
                self.cut_off(|partition| partitions.contains(&partition));
            }
            if (!busy && self.is_told(&partitions)) || now >= deadline {
                for &partition in &partitions {
                    self.partitions.remove(partition);
                }
                debug!(pipeline = %self.options.name, ?partitions, "let go");
                drop(self.leaving.swap_remove(at));
            } else {
                let next = if busy && now < cut { cut } else { deadline };
                wake = Some(wake.map_or(next, |wake: Instant| wake.min(next)));
            }
        }
        wake
    }

    /// Whether the source has confirmed all that is done of these partitions.
    fn is_told(&mut self, partitions: &[Partition]) -> bool {
        let changed = |partition: &Partition| {
            self.partitions
                .get(*partition)
                .is_some_and(|state| state.changed)
        };
        !partitions.iter().any(changed) && !self.settling.is_busy()
    }

    fn is_out(&mut self, partition: Partition) -> bool {
        self.partitions
            .get(partition)
            .is_some_and(|state| state.out > 0)
    }

    /// Drops the requests and letters under way of these partitions. They end as cancelled.
    pub(super) fn cut_off(&mut self, which: impl Fn(Partition) -> bool) {
        let now = Instant::now();
        for attempt in mem::take(&mut self.in_flight) {
            let mut items = attempt.items.iter();
            if items.any(|(_, item)| which(item.receipt.partition)) {
                self.judge(attempt.cancel(), now);
            } else {
                self.in_flight.push(attempt);
            }
        }
        let mut gone = self
            .letters
            .remove(|(_, item)| which(item.receipt.partition));
        let writing = self.letters.cancel();
        let (ours, others): (Vec<_>, Vec<_>) = writing
            .into_iter()
            .partition(|(_, item)| which(item.receipt.partition));
        gone.extend(ours);
        for item in others.into_iter().rev() {
            self.letters.push(item);
        }
        for (lane, item) in gone {
            if let Some(state) = self.partitions.of(item.receipt) {
                state.out -= 1;
            }
            self.give_back(lane, item, None, now);
        }
    }

    pub(super) fn soft_stop(&mut self, now: Instant) {
        if self.stop.is_some() {
            return;
        }
        let grace = self.options.grace;
        let reserve = (grace / 4).min(Duration::from_secs(3));
        let end = now + grace - reserve / 2;
        self.stop = Some(Stop {
            cut: now + grace - reserve,
            end,
            hard: false,
        });
        for item in self.lanes.remove(|_| true) {
            self.abandon(&item);
        }
    }

    fn hard_stop(&mut self) {
        warn!(pipeline = %self.options.name, "the grace time is over: cutting off what is in flight");
        if let Some(stop) = &mut self.stop {
            stop.hard = true;
        }
        self.cut_off(|_| true);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    fn finished(&self, now: Instant) -> bool {
        if self.stop.is_some_and(|stop| now >= stop.end) {
            return true;
        }
        (self.stop.is_some() || self.ended) && self.is_empty() && {
            self.settling.is_idle(&self.partitions) && self.leaving.is_empty()
        }
    }

    /// Whether nothing is in hand.
    fn is_empty(&self) -> bool {
        self.buffered_events == 0 && self.in_flight.is_empty() && self.letters.is_idle()
    }

    /// Whether the source has ended and all that is left is to tell it so.
    fn at_rest(&self) -> bool {
        self.ended && self.is_empty()
    }

    /// What the budgets leave.
    fn demand(&self) -> Demand {
        if self.stop.is_some() || self.error.is_some() {
            return Demand::NONE;
        }
        let budgets = &self.options.budgets;
        let records = budgets.events.saturating_sub(self.buffered_events);
        let bytes = budgets.bytes.saturating_sub(self.buffered_bytes);
        // Small refills would cost a poll for a few events each.
        if records < (budgets.events / 8).max(1) || bytes < (budgets.bytes / 8).max(1) {
            return Demand::NONE;
        }
        Demand { records, bytes }
    }

    /// Whether the poll under way should be replaced.
    fn wants_other(&self, demand: Demand) -> bool {
        !self.pauses.is_empty()
            || !self.resumes.is_empty()
            || demand.is_none() != self.demand().is_none()
    }

    fn tell_pauses(&mut self, source: &mut dyn Source) {
        type Tell = fn(&mut dyn Source, &[Partition]) -> crate::Result<()>;
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

    /// Ends the pipeline with an error, after what is in flight.
    pub(super) fn fail(&mut self, error: Error) {
        warn!(pipeline = %self.options.name, %error, "stopping");
        self.error.get_or_insert(error);
        self.soft_stop(Instant::now());
    }

    fn housekeep(&mut self, now: Instant) -> Instant {
        if let Some(idle) = self.options.idle
            && self.stop.is_none()
            && self.is_empty()
        {
            let until = self.last_delivery + idle;
            if now >= until {
                info!(pipeline = %self.options.name, "nothing came for {idle:?}: stopping");
                self.soft_stop(now);
            } else {
                return until;
            }
        }
        if self.is_empty() && self.meter.now.held_lanes == 0 {
            self.meter.oldest.set(0.0);
            self.progress.set_held(Vec::new());
            return self.started + NEVER;
        }
        if now >= self.housekeeping {
            self.housekeeping = now + HOUSEKEEPING;
            let flying = self.in_flight.iter().flat_map(|attempt| &attempt.items);
            let oldest = flying
                .map(|(_, item)| item.received)
                .chain(self.lanes.oldest())
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
                });
            self.progress.set_held(held.collect());
        }
        self.housekeeping
    }

    fn write_letters(&mut self, now: Instant) -> Option<Instant> {
        if self.letters.is_idle() {
            return None;
        }
        let destination = self.sink.destination();
        self.letters
            .start(now, self.options.retry.timeout, |(_, item)| {
                super::verdicts::letter(item, &destination)
            })
    }

    /// Closes the source and adds up.
    async fn close(mut self, source: Box<dyn Source>) -> Result<Report, PipelineError> {
        let now = Instant::now();
        let (hard_stopped, end) = match self.stop {
            Some(stop) => (stop.hard, stop.end + (stop.end - stop.cut)),
            None => (false, now + self.options.grace),
        };
        self.in_flight.clear();
        let end = end.max(now + Duration::from_millis(250));
        match timeout_at(end, source.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(pipeline = %self.options.name, %error, "closing the source"),
            Err(_) => warn!(pipeline = %self.options.name, "the source did not close in time"),
        }
        self.meter.now.in_flight = 0;
        self.meter.publish(self.progress);
        let now = &self.meter.now;
        let report = Report {
            received: now.received,
            redelivered: now.redelivered,
            delivered: now.delivered,
            requests: now.requests,
            retried: now.retried,
            dead_lettered: now.dead_lettered,
            dropped: now.dropped,
            released: now.released,
            fenced: now.fenced,
            unsettled: self.unsettled + self.buffered_events as u64,
            unconfirmed: self.partitions.unconfirmed() + self.settling.unconfirmed(),
            hard_stopped,
            elapsed: Instant::now().saturating_duration_since(self.started),
        };
        info!(pipeline = %self.options.name, "{report}");
        match self.error {
            None => Ok(report),
            Some(error) => Err(PipelineError { error, report }),
        }
    }
}

/// Held lanes that [`Progress::held`] shows.
const HELD_SHOWN: usize = 100;
