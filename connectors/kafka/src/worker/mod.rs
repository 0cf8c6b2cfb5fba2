//! The thread that owns the consumer.
//!
//! One loop does everything but reading, and blocks nowhere but in [`std::thread::park_timeout`],
//! from which librdkafka's queues, the engine's side and the end of a revocation wake it.
//! librdkafka's main queue (rebalances, errors, logs) and the records' queue are apart: the first
//! is always served, which keeps up the membership; the second is read by the engine's polls, as
//! far as there is demand, and when it is full by librdkafka's own limits, librdkafka stops to
//! fetch. Nothing is paused for lack of demand, because a pause throws away what has been fetched
//! already.

use std::{
    sync::{Arc, mpsc::Receiver},
    task::Waker,
    thread,
    time::Duration,
};

use eventlane::source::{Settled, Settlement};
use metrics::Counter;
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    config::{GroupProtocol, KafkaConfig},
    context::{Context, unexpected},
    error,
    ledger::Ledger,
    metrics as names,
    native::{self, Commits},
    partitions::Slot,
    shared::{Shared, State},
};

mod commits;
mod rebalance;

// A channel and not the shared state: commands must not wait for a poll that makes events.
/// What the engine's side asks for. Carried out in order, in the next round of the loop.
pub(crate) enum Command {
    Settle(Vec<Settlement>, oneshot::Sender<Settled>),
    /// What is paused has changed.
    Pause,
    Close,
}

/// How long the thread rests when nothing wakes it.
// A lost wake-up costs this much and no more; a token refresh or a log line waits as long.
const REST: Duration = Duration::from_millis(100);

/// How often what is only looked at is refreshed.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// The loop and what it keeps between two rounds.
///
/// * `turn`: the rebalance under way, if any. What librdkafka wants next waits in the context.
/// * `closing`: set by [`Command::Close`], the moment after which no commit is waited for.
/// * `ledger`: of this thread only; what the engine's polls need is in `shared`.
pub(crate) struct Worker<'c> {
    consumer: &'c BaseConsumer<Context>,
    config: &'c KafkaConfig,
    commits: Commits<Context>,
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    /// Wakes this thread.
    waker: Waker,
    ledger: Ledger,
    turn: Option<rebalance::Turn>,
    closing: Option<Instant>,
    housekeeping: Instant,
    /// Since when there is no partition.
    idle: Option<Instant>,
    count: Counters,
}

struct Counters {
    group: String,
    commits: Counter,
    drains_cut: Counter,
}

impl<'c> Worker<'c> {
    pub(crate) fn new(
        consumer: &'c BaseConsumer<Context>,
        config: &'c KafkaConfig,
        commits: Commits<Context>,
        shared: Arc<Shared>,
        commands: Receiver<Command>,
        waker: Waker,
    ) -> Self {
        let group = config.group.clone();
        let counter = |name: &'static str| metrics::counter!(name, "group" => group.clone());
        Self {
            consumer,
            config,
            commits,
            shared,
            commands,
            waker,
            ledger: Ledger::default(),
            turn: None,
            closing: None,
            housekeeping: Instant::now(),
            idle: Some(Instant::now()),
            count: Counters {
                commits: counter(names::COMMITS),
                drains_cut: counter(names::DRAINS_CUT),
                group,
            },
        }
    }

    /// Until it is told to close, and for as long as what it has been told to settle takes.
    pub(crate) fn run(mut self) {
        loop {
            self.serve();
            self.obey();
            self.take_answers();
            self.send_commits();
            self.rebalance();
            self.ledger.reply();
            let now = Instant::now();
            if now >= self.housekeeping {
                self.housekeeping = now + HOUSEKEEPING;
                self.housekeep(now);
            }
            if self
                .closing
                .is_some_and(|end| self.ledger.is_empty() || now >= end)
            {
                break;
            }
            thread::park_timeout(self.rest(now));
        }
        self.finish();
    }

    /// How long to sleep: until the next deadline of a rebalance or of the closing, at most
    /// [`REST`].
    fn rest(&self, now: Instant) -> Duration {
        let turn = self.turn.as_ref().and_then(rebalance::Turn::due);
        let due = turn.into_iter().chain(self.closing).min();
        due.map_or(REST, |due| due.saturating_duration_since(now).min(REST))
    }

    /// Lets librdkafka call back: rebalances, errors, logs, tokens.
    fn serve(&mut self) {
        loop {
            let context = self.consumer.context();
            context.take_served();
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(_)) => {
                    // All records go through their own queue. What came here is lost to the engine,
                    // so nothing may be settled beyond it.
                    let message = "librdkafka handed a record to the wrong queue";
                    self.shared.fail(unexpected("poll Kafka", message));
                }
                Some(Err(error)) => self.consumer_failed(&error),
                None if context.take_served() => {}
                None => return,
            }
        }
    }

    /// Carries out what has been asked for since the last time. Closing has the settle timeout for
    /// its commits, counted from the first request to close.
    fn obey(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Settle(batch, reply) => {
                    let state = self.shared.state();
                    let check = |receipt| commits::check(&state.intake.partitions, receipt);
                    self.ledger.settle(batch, reply, check);
                }
                Command::Pause => self.pause(),
                Command::Close => {
                    let end = Instant::now() + self.config.settle_timeout;
                    self.closing.get_or_insert(end);
                }
            }
        }
    }

    /// Has librdkafka stop to fetch what is paused, and go on with what no longer is. What has been
    /// fetched already is thrown away and fetched again later: else it would stand in the way of
    /// the others.
    pub(super) fn pause(&self) {
        let (mut stop, mut go_on) = (TopicPartitionList::new(), TopicPartitionList::new());
        let mut state = self.shared.state();
        let State { outlet, intake, .. } = &mut *state;
        for (partition, slot) in intake.partitions.assigned_mut() {
            let paused = outlet.is_paused(partition);
            if slot.stopped != paused {
                slot.stopped = paused;
                let list = if paused { &mut stop } else { &mut go_on };
                list.add_partition(&slot.topic, slot.number);
            }
        }
        drop(state);
        for (list, pause) in [(stop, true), (go_on, false)] {
            let done = match (list.count(), pause) {
                (0, _) => Ok(()),
                (_, true) => self.consumer.pause(&list),
                (_, false) => self.consumer.resume(&list),
            };
            if let Err(error) = done {
                tracing::warn!(%error, pause, "pausing partitions");
            }
        }
    }

    /// An error that the consumer reports. Where librdkafka gave a reason for the same code, it is
    /// the message; a *fatal* error (librdkafka stops by itself: a fenced instance id) ends the
    /// source with its own code in place of the generic one.
    fn consumer_failed(&mut self, error: &KafkaError) {
        let Some(code) = error::code_of(error) else {
            tracing::debug!(%error, "librdkafka");
            return;
        };
        let reason = self.consumer.context().latest_fault();
        let reason = reason
            .filter(|(of, _)| *of == code)
            .map(|(_, reason)| reason);
        let reason = reason.unwrap_or_default();
        let error_found = error::from_code("consume", code, Some(&reason))
            .with_context("group", &self.config.group);
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            let fatal = self.consumer.client().fatal_error();
            let error = match fatal {
                Some((code, reason)) => error::from_code("consume", code, Some(&reason))
                    .with_context("group", &self.config.group),
                None => error_found,
            };
            return self.shared.fail(error);
        }
        if let Some(error) = error::trouble(&self.config.group, code, error_found) {
            self.shared.fail(error);
        }
    }

    /// Once a second: pauses, lag, the gauge of assigned partitions, and the warning that none is
    /// assigned, again after each [`assignment_warning`](KafkaConfig::assignment_warning).
    fn housekeep(&mut self, now: Instant) {
        // A partition that began anew is not paused any more, without anybody having said so.
        self.pause();
        self.report_lag();
        let assigned = self.shared.state().intake.partitions.live().count();
        metrics::gauge!(names::ASSIGNED, "group" => self.count.group.clone()).set(assigned as f64);
        if assigned > 0 {
            self.idle = None;
            return;
        }
        let since = *self.idle.get_or_insert(now);
        if now.saturating_duration_since(since) < self.config.assignment_warning {
            return;
        }
        self.idle = Some(now);
        let reason = self
            .consumer
            .context()
            .latest_fault()
            .map(|(_, reason)| reason);
        let hint = match self.config.protocol {
            GroupProtocol::Consumer => {
                "a broker before 4.0 ignores the consumer protocol without a word; or all partitions are with others"
            }
            GroupProtocol::Classic => "all partitions may be with other members of the group",
        };
        let waited = self.config.assignment_warning.as_secs_f64();
        tracing::warn!(
            group = %self.config.group, last_error = reason.unwrap_or_default(),
            "no partition assigned for {waited} s: {hint}",
        );
    }

    /// Refreshes the monitor. Asks librdkafka's memory, not the broker.
    fn report_lag(&self) {
        let high = |slot: &Slot| {
            native::watermarks(self.consumer, &slot.topic, slot.number).map(|(_, high)| high)
        };
        self.shared
            .monitor
            .set(self.shared.state().intake.partitions.lag(high));
    }

    /// The last acts before the consumer is dropped, which makes it leave the group.
    ///
    /// Ends all assignments, answers what waits for a commit as fenced, and carries out the
    /// rebalance that librdkafka still waits for. A settlement that comes later finds nobody, and
    /// is fenced, too.
    fn finish(mut self) {
        if !self.ledger.is_empty() {
            tracing::warn!(
                "closing without an answer to the last commit; what it says may be delivered again"
            );
        }
        let mut state = self.shared.state();
        let partitions = &mut state.intake.partitions;
        let ours: Vec<_> = partitions.live().map(|(partition, ..)| partition).collect();
        for partition in ours {
            self.ledger.end(partition);
            partitions.end(partition);
        }
        drop(state);
        self.ledger.reply();
        self.shared.monitor.set(Vec::new());
        self.consumer.context().set_closing();
        self.abandon_turns();
    }
}
