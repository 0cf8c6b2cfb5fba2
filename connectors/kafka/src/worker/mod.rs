//! The thread that owns the consumer.
//!
//! One loop does everything and blocks nowhere but in [`std::thread::park_timeout`], from which librdkafka's queues, the
//! engine's side and a revocation's end wake it. librdkafka's main queue (rebalances, errors, logs) and the records' queue are
//! apart: the first is always served, which keeps the membership alive; the second is read only as far as there is room, and
//! when it is full by librdkafka's own limits, it stops to fetch. Nothing is ever paused for lack of room, because pausing
//! throws away what has been fetched already: measured with demand that comes and goes, a third of what is read was fetched
//! twice.

use std::{
    sync::{Arc, mpsc::Receiver},
    thread::{self, Thread},
    time::Duration,
};

use eventlane::{
    Error,
    source::{Partition, Settled, Settlement, Signal},
};
use metrics::Counter;
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    config::{GroupProtocol, KafkaConfig},
    context::{Context, unexpected},
    convert::Converter,
    error,
    handover::Handover,
    intake::Intake,
    lag::KafkaMonitor,
    ledger::Ledger,
    metrics as names,
    native::{self, Commits, Records},
};

mod commits;
mod rebalance;

/// What the engine's side asks for.
pub(crate) enum Command {
    Settle(Vec<Settlement>, oneshot::Sender<Settled>),
    Pause(Vec<Partition>),
    Resume(Vec<Partition>),
    Close,
}

/// How long the thread rests when nothing wakes it.
const REST: Duration = Duration::from_millis(100);

/// How often what is only looked at is refreshed.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How many records are taken in one go, at most; in between, the thread sees to everything else.
const BATCH: usize = 1024;

/// What the worker shares with the engine's side.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) handover: Handover,
    pub(crate) monitor: KafkaMonitor,
}

pub(crate) struct Worker<'c> {
    consumer: &'c BaseConsumer<Context>,
    config: &'c KafkaConfig,
    records: Records<'c>,
    commits: Commits<'c>,
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    thread: Thread,
    intake: Intake,
    ledger: Ledger,
    turn: Option<rebalance::Turn>,
    /// Nothing more is read: the source has failed.
    failed: bool,
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
    /// `None` if librdkafka has no memory left.
    pub(crate) fn new(
        consumer: &'c BaseConsumer<Context>,
        config: &'c KafkaConfig,
        shared: Arc<Shared>,
        commands: Receiver<Command>,
    ) -> Option<Self> {
        let thread = thread::current();
        let group = config.group.clone();
        let counter = |name: &'static str| metrics::counter!(name, "group" => group.clone());
        Some(Self {
            consumer,
            config,
            records: Records::new(consumer, thread.clone())?,
            commits: Commits::new(consumer, thread.clone())?,
            shared,
            commands,
            thread,
            intake: Intake::new(&config.group, Converter::new(&config.event)),
            ledger: Ledger::default(),
            turn: None,
            failed: false,
            closing: None,
            housekeeping: Instant::now(),
            idle: Some(Instant::now()),
            count: Counters {
                commits: counter(names::COMMITS),
                drains_cut: counter(names::DRAINS_CUT),
                group,
            },
        })
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
            let more = self.fill();
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
            if !more {
                thread::park_timeout(self.rest(now));
            }
        }
        self.finish();
    }

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
                    // All records go through their own queue. What came here is lost to the engine, so nothing may be
                    // settled beyond it.
                    let message = "librdkafka handed a record to the wrong queue";
                    self.fail(unexpected("poll Kafka", message));
                }
                Some(Err(error)) => self.consumer_failed(&error),
                None if context.take_served() => {}
                None => return,
            }
        }
    }

    fn obey(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Settle(batch, reply) => {
                    let partitions = &self.intake.partitions;
                    let check = |receipt| commits::check(partitions, receipt);
                    self.ledger.settle(batch, reply, check);
                }
                Command::Pause(partitions) => self.pause(&partitions, true),
                Command::Resume(partitions) => self.pause(&partitions, false),
                Command::Close => {
                    let end = Instant::now() + self.config.settle_timeout;
                    self.closing.get_or_insert(end);
                }
            }
        }
    }

    /// Here, what has been fetched is thrown away and fetched again later: else it would stand in the way of the others.
    fn pause(&mut self, partitions: &[Partition], pause: bool) {
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            if let Some(slot) = self.intake.partitions.get_mut(partition)
                && slot.paused != pause
                && slot.live.as_ref().is_some_and(|live| !live.leaving)
            {
                slot.paused = pause;
                list.add_partition(&slot.topic, slot.number);
            }
        }
        if list.count() == 0 {
            return;
        }
        let done = if pause {
            self.consumer.pause(&list)
        } else {
            self.consumer.resume(&list)
        };
        if let Err(error) = done {
            tracing::warn!(%error, pause, "pausing partitions");
        }
    }

    /// Makes deliveries as far as there is room. Says whether there may be more to make at once.
    fn fill(&mut self) -> bool {
        if self.failed || self.closing.is_some() {
            return false;
        }
        let room = self.shared.handover.room(|| self.thread.clone());
        if room.is_none() {
            return false;
        }
        let most = room.events.min(self.intake.fitting(room.bytes)).min(BATCH);
        let consumer = self.consumer;
        let mut popped = 0;
        while popped < most
            && let Some(record) = self.records.pop()
        {
            popped += 1;
            self.intake.take(&record, |slot| {
                native::watermarks(consumer, &slot.topic, slot.number)
            });
        }
        if popped == 0 {
            return false;
        }
        let taken = self.intake.finish();
        for (code, reason, error) in taken.troubles {
            self.trouble(code, &reason, error);
        }
        if !taken.restarted.is_empty() {
            let partitions: Vec<_> = taken
                .restarted
                .iter()
                .map(|other| other.partition)
                .collect();
            for &partition in &partitions {
                self.ledger.end(partition);
            }
            let handover = &self.shared.handover;
            handover.withdraw(&partitions, Signal::Lost(partitions.clone()));
            handover.announce(Ok(Signal::Assigned(taken.restarted)));
        }
        if !taken.runs.is_empty() {
            self.shared.handover.put(taken.runs);
        }
        if let Some(error) = taken.failure {
            self.fail(error);
        }
        popped == most
    }

    /// An error that the consumer reports.
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
            return self.fail(error);
        }
        self.trouble(code, &reason, error_found);
    }

    /// Ends the source if trying again can't help, else leaves it to librdkafka, which does try again.
    fn trouble(&mut self, code: Code, reason: &str, error: Error) {
        let kind = error.kind();
        metrics::counter!(
            names::ERRORS, "group" => self.count.group.clone(), "kind" => kind.as_str(),
        )
        .increment(1);
        match code {
            // A permission is missing. Credentials and certificates, in contrast, are refused by brokers that are just
            // starting, too, and may be rotated under way.
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InvalidGroupId
            | Code::InvalidTopic
            | Code::InvalidSessionTimeout
            | Code::InconsistentGroupProtocol
            | Code::UnsupportedAssignor
            | Code::UnsupportedVersion
            | Code::UnsupportedCompressionType
            | Code::BadCompression
            | Code::GroupMaxSizeReached
            | Code::FencedInstanceId
            | Code::UnreleasedInstanceId
            | Code::AutoOffsetReset => self.fail(error),
            Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut => {
                tracing::debug!(%error, reason, "trouble with a broker");
            }
            _ => tracing::warn!(%error, "trouble with Kafka; librdkafka tries again"),
        }
    }

    /// Ends the source: the engine learns why, and nothing more is read.
    fn fail(&mut self, error: Error) {
        if !std::mem::replace(&mut self.failed, true) {
            self.shared.handover.announce(Err(error));
        }
    }

    fn housekeep(&mut self, now: Instant) {
        self.report_lag();
        let assigned = self.intake.partitions.live().count();
        metrics::gauge!(names::ASSIGNED, "group" => self.count.group.clone()).set(assigned as f64);
        if assigned > 0 {
            self.idle = None;
            return;
        }
        let since = *self.idle.get_or_insert(now);
        if now < since + self.config.assignment_warning {
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

    fn report_lag(&self) {
        let high = |slot: &crate::partitions::Slot| {
            native::watermarks(self.consumer, &slot.topic, slot.number).map(|(_, high)| high)
        };
        self.shared.monitor.set(self.intake.partitions.lag(high));
    }

    /// The last acts before the consumer is dropped, which makes it leave the group.
    fn finish(mut self) {
        if !self.ledger.is_empty() {
            tracing::warn!(
                "closing without an answer to the last commit; what it says may be delivered again"
            );
        }
        let ours: Vec<_> = self
            .intake
            .partitions
            .live()
            .map(|(partition, ..)| partition)
            .collect();
        for partition in ours {
            self.ledger.end(partition);
            self.intake.partitions.end(partition);
        }
        self.ledger.reply();
        self.shared.monitor.set(Vec::new());
        self.consumer.context().set_closing();
        self.abandon_turns();
    }
}
