//! Partitions that come and go.
//!
//!
//! librdkafka hands over a list and waits until it is told `assign` or `unassign`; heartbeats go on
//! meanwhile. So a rebalance is a state ([`Turn`]) that the loop steps through:
//!
//! 1. **Assign.** Look up the committed offsets with their metadata, route the partition's records
//!    into our queue, announce, and only then `assign`: no record comes before its announcement.
//! 2. **Revoke.** Mark as leaving, withdraw what was not handed out, tell the engine, wait until it
//!    has let go or the [drain](KafkaConfig::drain) is over, commit, and only then `unassign`. The
//!    group gives the partitions to nobody before that, unless it takes us for dead.
//! 3. **Lose.** They are somebody else's already: nothing is committed, everything is fenced.
//!
//! A revocation during which the group throws us out becomes a loss.

use std::{future::Future, ops::Range, pin::Pin, task::Context as TaskContext, time::Duration};

use eventlane::{
    Error,
    source::{Partition, Position, Revocation, Signal},
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use tokio::{sync::oneshot, time::Instant};

use super::Worker;
use crate::{
    config::StartOffset,
    context::{Context, Rebalance, unexpected},
    error, metadata, metrics as names,
    native::{self, Entry},
    shared::State,
};

/// How long the broker may be asked while partitions are assigned. Commits wait meanwhile.
// The one place where the worker waits for the broker: meanwhile it serves nothing else.
const LOOKUP: Duration = Duration::from_secs(3);

/// How long the positions of a partition that goes may take to be committed, once the engine has
/// let go.
// Not the whole settle timeout: the rest of the group waits for these partitions.
const LAST_COMMIT: Duration = Duration::from_secs(3);

/// When to ask again for a position without which an assignment can't begin.
const AGAIN: Duration = Duration::from_millis(500);

/// What librdkafka waits for.
pub(crate) enum Turn {
    /// The place to start from is not known yet.
    Assign {
        list: TopicPartitionList,
        again: Instant,
    },
    /// The engine finishes what is in flight.
    Revoke(Leave),
}

/// A revocation under way. `let_go` resolves when the engine drops the [`Revocation`].
pub(crate) struct Leave {
    list: TopicPartitionList,
    partitions: Vec<Partition>,
    let_go: oneshot::Receiver<()>,
    deadline: Instant,
    /// Set once the engine has let go, or the deadline has passed: until when the last commit may
    /// take.
    gone: Option<Instant>,
}

impl Turn {
    /// When the loop must look again by itself.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Assign { again, .. } => Some(*again),
            Self::Revoke(leave) => Some(leave.gone.unwrap_or(leave.deadline)),
        }
    }
}

/// A partition that is about to be ours.
struct Coming {
    topic: String,
    number: i32,
    committed: Option<u64>,
    remembered: Vec<Range<u64>>,
    /// Where to start, if not at the committed offset.
    start: Option<u64>,
}

impl Worker<'_> {
    /// Takes the next step of what librdkafka wants, and further ones as long as each is done at
    /// once.
    pub(super) fn rebalance(&mut self) {
        loop {
            let done = match self.turn.take() {
                None => match self.consumer.context().next_rebalance() {
                    None => return,
                    Some(Rebalance::Assign(list)) => self.assign(list, true),
                    Some(Rebalance::Revoke(list)) => self.revoke(list),
                },
                Some(Turn::Assign { list, again }) => {
                    if Instant::now() < again {
                        self.turn = Some(Turn::Assign { list, again });
                        return;
                    }
                    self.assign(list, false)
                }
                Some(Turn::Revoke(leave)) => self.leave(leave),
            };
            if !done {
                return;
            }
        }
    }

    /// Whether the assignment has begun; if not, it is tried again.
    ///
    /// Without the committed offsets it can't begin: reading from a guess would skip or repeat.
    /// With [`StartOffset::Earliest`] librdkafka's own lookup serves, hence only the metadata is
    /// missing then.
    fn assign(&mut self, mut list: TopicPartitionList, first: bool) -> bool {
        if first {
            self.count_rebalance("assigned");
        }
        let coming = match self.coming(&list) {
            Ok(coming) => coming,
            // Nobody else reads these partitions meanwhile, and nothing is lost by waiting.
            Err(error) if !self.consumer.assignment_lost() => {
                if first {
                    tracing::warn!(%error, "where to start is not known yet; asking again");
                }
                self.turn = Some(Turn::Assign {
                    list,
                    again: Instant::now() + AGAIN,
                });
                return false;
            }
            Err(_) => Vec::new(),
        };
        if let Err(error) = self.take_over(&mut list, coming) {
            self.shared.fail(error);
        }
        // Also if the source has failed: librdkafka waits for it.
        if let Err(error) = Context::apply(self.consumer, &Rebalance::Assign(list)) {
            self.shared.fail(error::from_kafka("assign", &error));
        }
        // That librdkafka was told to pause a partition outlasts its assignment.
        self.pause();
        self.consumer.context().clear_faults();
        self.idle = None;
        true
    }

    /// Makes everything ready for these partitions, sets the offsets in the list where others are
    /// to be started from, and announces them.
    ///
    /// The announcement goes out before librdkafka is told, under one lock with the slots: a poll
    /// sees both or neither.
    ///
    /// # Errors
    /// If librdkafka does not know a partition that it has just assigned. That ends the source.
    fn take_over(&self, list: &mut TopicPartitionList, coming: Vec<Coming>) -> Result<(), Error> {
        let (mut assignments, mut starts) = (Vec::new(), Vec::new());
        let mut state = self.shared.state();
        let State {
            outlet,
            intake,
            records,
        } = &mut *state;
        for Coming {
            topic,
            number,
            committed,
            remembered,
            start,
        } in coming
        {
            if !records
                .as_ref()
                .is_some_and(|records| records.adopt(&topic, number))
            {
                let message = format!("librdkafka does not know the partition {topic}/{number}");
                return Err(unexpected("assign", &message));
            }
            let next = committed.or(start);
            let partitions = &mut intake.partitions;
            let assignment = partitions.assign(&topic, number, next, remembered, &intake.converter);
            let (partition, epoch) = (assignment.partition, assignment.epoch);
            if let Some(live) = partitions.live_mut(partition) {
                live.committed = committed;
            }
            assignments.push(assignment);
            if let Some(next) = start {
                let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
                list.set_partition_offset(&topic, number, offset)
                    .map_err(|error| error::from_kafka("assign", &error))?;
                // Committed from here, a restart does not skip what comes in the meantime.
                starts.push(Position {
                    partition,
                    epoch,
                    next,
                });
            }
        }
        if !assignments.is_empty() {
            outlet.announce(Signal::Assigned(assignments));
        }
        if !starts.is_empty() {
            outlet.announce(Signal::Advanced(starts));
        }
        drop(state);
        self.shared.news.notify_one();
        Ok(())
    }

    /// Looks up what the group has committed of these partitions, and where to start in those of
    /// which it has not.
    ///
    /// # Errors
    /// If the broker does not answer within [`LOOKUP`], or has an error for one of the partitions.
    /// Nothing was changed by then; the caller asks again after [`AGAIN`].
    fn coming(&self, list: &TopicPartitionList) -> Result<Vec<Coming>, KafkaError> {
        let end = Instant::now() + LOOKUP;
        let known = if list.count() == 0 {
            Ok(Vec::new())
        } else {
            let answer = self.consumer.committed_offsets(list.clone(), LOOKUP);
            answer.and_then(|answer| {
                let entries = native::entries(&answer);
                match entries.iter().find(|entry| entry.code != 0) {
                    Some(entry) => Err(KafkaError::OffsetFetch(error::code(entry.code))),
                    None => Ok(entries),
                }
            })
        };
        let known = match (known, self.config.start) {
            (Ok(known), _) => known,
            // librdkafka looks it up by itself, too. Without the metadata, something may be
            // delivered again.
            (Err(error), StartOffset::Earliest) => {
                tracing::warn!(%error, "the committed offsets' metadata can't be read");
                let unknown = native::entries(list).into_iter();
                let unknown = unknown.map(|entry| Entry {
                    offset: -1,
                    metadata: Vec::new(),
                    ..entry
                });
                unknown.collect()
            }
            (Err(error), _) => return Err(error),
        };
        let mut coming: Vec<_> = known
            .into_iter()
            .map(
                |Entry {
                     topic,
                     partition: number,
                     offset,
                     metadata,
                     ..
                 }| {
                    let committed = u64::try_from(offset).ok();
                    let remembered = match committed {
                        Some(offset) if self.config.commit_metadata => {
                            metadata::decode(offset, &metadata)
                        }
                        Some(_) | None => Vec::new(),
                    };
                    Coming {
                        topic,
                        number,
                        committed,
                        remembered,
                        start: None,
                    }
                },
            )
            .collect();
        let open = coming
            .iter_mut()
            .filter(|coming| coming.committed.is_none());
        match self.config.start {
            StartOffset::Earliest => {}
            StartOffset::Latest => {
                for coming in open {
                    coming.start = Some(self.end(&coming.topic, coming.number, end)?);
                }
            }
            StartOffset::Timestamp(millis) => {
                let mut times = TopicPartitionList::new();
                let mut open: Vec<_> = open.collect();
                for coming in &open {
                    times.add_partition_offset(
                        &coming.topic,
                        coming.number,
                        Offset::Offset(millis),
                    )?;
                }
                if open.is_empty() {
                    return Ok(coming);
                }
                let found = native::entries(&self.consumer.offsets_for_times(times, left(end))?);
                for coming in &mut open {
                    let entry = found.iter().find(|entry| {
                        (entry.topic.as_str(), entry.partition) == (&coming.topic, coming.number)
                    });
                    coming.start = Some(match entry {
                        Some(entry) if entry.code != 0 => {
                            return Err(KafkaError::OffsetFetch(error::code(entry.code)));
                        }
                        Some(Entry { offset, .. }) if *offset >= 0 => offset.unsigned_abs(),
                        // None is so young.
                        Some(_) | None => self.end(&coming.topic, coming.number, end)?,
                    });
                }
            }
        }
        Ok(coming)
    }

    /// The end of a partition, asked of the broker: where `latest` begins.
    fn end(&self, topic: &str, number: i32, until: Instant) -> Result<u64, KafkaError> {
        let (_, high) = self.consumer.fetch_watermarks(topic, number, left(until))?;
        u64::try_from(high).map_err(|_| KafkaError::OffsetFetch(Code::Unknown))
    }

    /// Whether the partitions are given up; if not, the engine is still at work on them.
    ///
    /// Partitions of the list that never became ours (their assignment failed) need no drain.
    fn revoke(&mut self, list: TopicPartitionList) -> bool {
        let state = self.shared.state();
        let known = &state.intake.partitions;
        let partitions: Vec<_> = native::entries(&list)
            .iter()
            .filter_map(|entry| known.find(&entry.topic, entry.partition))
            .filter(|&partition| known.get(partition).is_some_and(|slot| slot.live.is_some()))
            .collect();
        drop(state);
        if self.consumer.assignment_lost() {
            self.count_rebalance("lost");
            self.lose(list, &partitions);
            return true;
        }
        self.count_rebalance("revoked");
        if partitions.is_empty() {
            self.give_up(list, &partitions);
            return true;
        }
        let deadline = Instant::now() + self.config.drain();
        let (revocation, let_go) = Revocation::new(partitions.clone(), deadline);
        let mut state = self.shared.state();
        for &partition in &partitions {
            if let Some(live) = state.intake.partitions.live_mut(partition) {
                live.leaving = true;
            }
        }
        state
            .outlet
            .withdraw(&partitions, Signal::Revoking(revocation));
        drop(state);
        self.shared.news.notify_one();
        self.leave(Leave {
            list,
            partitions,
            let_go,
            deadline,
            gone: None,
        })
    }

    /// Whether it is done.
    /// The next step of a revocation: wait for the engine, then for the last commit, then give up.
    fn leave(&mut self, mut leave: Leave) -> bool {
        if self.consumer.assignment_lost() {
            // While we were at it.
            self.count_rebalance("lost");
            self.lose(leave.list, &leave.partitions);
            return true;
        }
        let now = Instant::now();
        if leave.gone.is_none() {
            let mut context = TaskContext::from_waker(&self.waker);
            let let_go = Pin::new(&mut leave.let_go).poll(&mut context);
            if let_go.is_pending() {
                if now < leave.deadline {
                    self.turn = Some(Turn::Revoke(leave));
                    return false;
                }
                let count = leave.partitions.len();
                tracing::warn!(
                    partitions = count,
                    "giving partitions up with work under way: the time to drain is over",
                );
                self.count.drains_cut.increment(count as u64);
            }
            leave.gone = Some(now + LAST_COMMIT.min(self.config.settle_timeout));
            // What the engine has told last.
            self.obey();
            self.send_commits();
        }
        let open = leave
            .partitions
            .iter()
            .any(|&partition| self.ledger.concerns(partition));
        if open && leave.gone.is_some_and(|until| now < until) {
            self.turn = Some(Turn::Revoke(leave));
            return false;
        }
        self.give_up(leave.list, &leave.partitions);
        true
    }

    /// The group has given them away: the engine is told, and what waits for a commit fails as
    /// fenced.
    fn lose(&mut self, list: TopicPartitionList, partitions: &[Partition]) {
        tracing::warn!(
            partitions = partitions.len(),
            "the group has given our partitions to others: it had no sign of life from us in time",
        );
        let mut state = self.shared.state();
        for &partition in partitions {
            state.intake.partitions.end(partition);
        }
        state
            .outlet
            .withdraw(partitions, Signal::Lost(partitions.to_vec()));
        drop(state);
        self.shared.news.notify_one();
        self.give_up(list, partitions);
    }

    /// Ends the assignments and lets librdkafka go on. What is on its way to the broker may still
    /// succeed there; its caller is told by the answer.
    fn give_up(&mut self, list: TopicPartitionList, partitions: &[Partition]) {
        for &partition in partitions {
            self.ledger.end(partition);
            self.shared.state().intake.partitions.end(partition);
        }
        if let Err(error) = Context::apply(self.consumer, &Rebalance::Revoke(list)) {
            self.shared.fail(error::from_kafka("unassign", &error));
        }
        self.report_lag();
    }

    /// Carries out what librdkafka waits for, without waiting for anybody: the consumer is about to
    /// be dropped.
    pub(super) fn abandon_turns(&mut self) {
        let turn = self.turn.take().map(|turn| match turn {
            Turn::Assign { list, .. } => Rebalance::Assign(list),
            Turn::Revoke(leave) => Rebalance::Revoke(leave.list),
        });
        let context = self.consumer.context();
        let mut next = turn.or_else(|| context.next_rebalance());
        while let Some(rebalance) = next {
            if let Err(error) = Context::apply(self.consumer, &rebalance) {
                tracing::debug!(%error, "rebalance while closing");
            }
            next = context.next_rebalance();
        }
    }

    fn count_rebalance(&self, kind: &'static str) {
        let group = self.count.group.clone();
        metrics::counter!(names::REBALANCES, "group" => group, "kind" => kind).increment(1);
    }
}

/// What is left of the time; never none at all, which would mean for ever.
fn left(until: Instant) -> Duration {
    until
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}
