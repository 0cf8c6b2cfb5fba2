//! Telling the broker what is done.
//!
//!
//! All partitions go in one OffsetCommit request, one request at a time. The answer has a code for
//! each partition, and each is judged by itself: an error that may pass goes back to the engine,
//! which tells the position again; nothing is retried here, except a commit whose metadata the
//! broker found too large (`offset.metadata.max.bytes`). That is sent again with half as much, and
//! at 64 characters with none: the position matters, the metadata only saves repetition.

use std::{collections::HashMap, sync::Arc};

use eventlane::{Error, ErrorKind, source::Receipt};
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer, error::RDKafkaErrorCode as Code};

use super::Worker;
use crate::{
    error,
    ledger::{Outcome, fenced},
    metadata, metrics as names,
    native::Answer,
    partitions::Partitions,
};

/// What speaks against a settlement.
///
/// # Errors
/// `Fenced` if its assignment is over; `Rejected` for an offset above `i64::MAX`, which Kafka's
/// protocol has no room for.
pub(super) fn check(partitions: &Partitions, receipt: Receipt) -> Result<(), Error> {
    let live = partitions
        .get(receipt.partition)
        .and_then(|slot| slot.live.as_ref());
    if live.is_none_or(|live| live.epoch != receipt.epoch) {
        return Err(fenced());
    }
    if receipt.seq > i64::MAX as u64 {
        let message = "this is no offset that Kafka can have";
        return Err(
            Error::new(ErrorKind::Rejected, "commit", message).with_context("offset", receipt.seq)
        );
    }
    Ok(())
}

impl Worker<'_> {
    /// Sends what waits, all partitions in one request, unless a request is on its way.
    ///
    /// Positions of assignments that have begun anew since are left out of the request, and fenced
    /// when it is answered. Metadata is what the engine says is done beyond the position, and what
    /// an earlier run remembered there and this one has not yet reached.
    pub(super) fn send_commits(&mut self) {
        let with_metadata = self.config.commit_metadata;
        let mut state = self.shared.state();
        let Some(commits) = self.ledger.begin() else {
            return;
        };
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for (&partition, commit) in commits {
            let Some(slot) = state.intake.partitions.get_mut(partition) else {
                continue;
            };
            let Some(live) = slot.live.as_mut().filter(|live| live.epoch == commit.epoch) else {
                continue;
            };
            let mut line = list.add_partition(&slot.topic, slot.number);
            // Checked when it was taken in, so it fits.
            if line
                .set_offset(Offset::Offset(commit.position as i64))
                .is_err()
                || !with_metadata
            {
                continue;
            }
            live.remembered.retain(|range| range.end > commit.position);
            let beyond = metadata::union(commit.position, &live.remembered, &commit.beyond);
            let text = metadata::encode(commit.position, &beyond, slot.metadata_limit);
            if !text.is_empty() {
                line.set_metadata(text);
            }
        }
        drop(state);
        let failed = match list.count() {
            0 => Some(0),
            _ => self.commits.submit(&list).err(),
        };
        if let Some(code) = failed {
            self.answered(&Answer {
                code,
                entries: Vec::new(),
            });
        }
    }

    /// Takes in the answers that have come.
    pub(super) fn take_answers(&mut self) {
        while let Some(answer) = self.commits.answer() {
            if self.ledger.is_sent() {
                self.answered(&answer);
            }
        }
    }

    /// What the broker said of each position. A commit that is confirmed although the assignment
    /// ended meanwhile still counts as done: the broker has it.
    fn answered(&mut self, answer: &Answer) {
        let codes: HashMap<(&str, i32), i32> = answer
            .entries
            .iter()
            .map(|entry| ((entry.topic.as_str(), entry.partition), entry.code))
            .collect();
        // The request's code repeats that of a partition, if one has failed; the others were
        // committed.
        let partial = codes.values().any(|code| *code != 0);
        let group = self.count.group.as_str();
        let fatal = self.consumer.client().fatal_error();
        let fatal = fatal.map_or(Code::Fatal, |(code, _)| code);
        let mut state = self.shared.state();
        let partitions = &mut state.intake.partitions;
        let mut any_done = false;
        self.ledger.answered(|partition, commit| {
            let Some(slot) = partitions.get_mut(partition) else {
                return Outcome::Done;
            };
            let own = codes.get(&(&*slot.topic, slot.number)).copied();
            let code = match own {
                Some(code) if partial => code,
                // It was not in the request, because it had begun anew.
                None if answer.code == 0 => return Outcome::Failed(Box::new(fenced)),
                Some(_) | None => answer.code,
            };
            let code = match error::code(code) {
                Code::Fatal => fatal,
                code => code,
            };
            match code {
                // Nothing new was there to be stored.
                Code::NoError | Code::NoOffset => {
                    any_done = true;
                    if let Some(live) = &mut slot.live
                        && live.epoch == commit.epoch
                    {
                        live.committed = Some(commit.position);
                    }
                    return Outcome::Done;
                }
                Code::OffsetMetadataTooLarge if slot.metadata_limit > 0 => {
                    slot.metadata_limit = if slot.metadata_limit > 64 {
                        slot.metadata_limit / 2
                    } else {
                        0
                    };
                    tracing::warn!(
                        partition = %slot.name, limit = slot.metadata_limit,
                        "the broker takes less commit metadata; writing less",
                    );
                    return Outcome::Again;
                }
                _ => {}
            }
            let (kind, _) = error::classify(code);
            metrics::counter!(
                names::COMMIT_FAILED, "group" => group.to_owned(), "kind" => kind.as_str(),
            )
            .increment(1);
            let (name, position) = (Arc::clone(&slot.name), commit.position);
            Outcome::Failed(Box::new(move || {
                error::from_code("commit", code, None)
                    .with_context("partition", &name)
                    .with_context("offset", position)
            }))
        });
        drop(state);
        if any_done {
            self.count.commits.increment(1);
            self.report_lag();
        }
    }
}
