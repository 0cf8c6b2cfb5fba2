//! What becomes of events: after an attempt, after a dead letter, after a settlement.

use std::{cmp::Reverse, mem, sync::Arc};

use smallvec::SmallVec;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    OnExhausted,
    attempt::Ended,
    lanes::{InHand, Item, LaneId, Trouble},
    run::{Engine, NEVER},
    settling::Call,
};
use crate::{
    Error, ErrorKind,
    event::Timestamp,
    metrics as names,
    sink::{Failure, Outcome, Verdict},
    source::{Action, Settlement},
};

impl Engine<'_> {
    /// Carries out what the sink said of a batch.
    pub(super) fn judge(&mut self, ended: Ended, now: Instant) {
        let Ended {
            items,
            probe,
            started,
            outcome,
        } = ended;
        self.meter.now.in_flight = self.in_flight.len() as u64;
        let took = now.saturating_duration_since(started);
        self.meter.send_seconds.record(took.as_secs_f64());
        for (_, item) in &items {
            if let Some(partition) = self.partitions.of(item.receipt) {
                partition.out -= 1;
            }
        }
        match outcome {
            Some(Outcome::All(Verdict::Delivered)) => {
                self.answered();
                for (lane, item) in items {
                    self.deliver(lane, &item, now);
                }
            }
            Some(Outcome::All(verdict)) => {
                self.heed(&verdict, probe, now);
                let count = items.len();
                for (lane, item) in items.into_iter().rev() {
                    self.punish(lane, item, verdict.clone(), count, now);
                }
            }
            Some(Outcome::Each(verdicts)) => self.judge_each(items, verdicts, probe, now),
            None => {
                if probe {
                    self.gate.probe_lost(now, self.options.retry.initial);
                }
                for (lane, item) in items.into_iter().rev() {
                    self.give_back(lane, item, None, now);
                }
            }
        }
    }

    fn judge_each(
        &mut self,
        items: SmallVec<[InHand; 1]>,
        verdicts: Vec<Verdict>,
        probe: bool,
        now: Instant,
    ) {
        let mut verdicts = verdicts.into_iter();
        let mut failed: SmallVec<[(InHand, Option<Verdict>); 4]> = SmallVec::new();
        for (lane, item) in items {
            let verdict = verdicts.next().unwrap_or_else(|| {
                Verdict::Retry(Box::new(Failure::new(
                    "no_verdict",
                    "the sink gave no verdict",
                )))
            });
            let behind = failed.iter().any(|((other, _), _)| *other == lane);
            match verdict {
                // Taken out of order: it is sent again, so that it comes last at least.
                Verdict::Delivered if behind => failed.push(((lane, item), None)),
                Verdict::Delivered => {
                    self.answered();
                    self.deliver(lane, &item, now);
                }
                verdict => {
                    self.heed(&verdict, probe, now);
                    failed.push(((lane, item), Some(verdict)));
                }
            }
        }
        for ((lane, item), verdict) in failed.into_iter().rev() {
            match verdict {
                Some(verdict) => self.punish(lane, item, verdict, 1, now),
                None => self.give_back(lane, item, None, now),
            }
        }
    }

    fn answered(&mut self) {
        if self.gate.is_held() && self.gate.answered() {
            info!(pipeline = %self.options.name, "the destination takes events again");
            self.meter.now.destination_held = 0;
        }
    }

    /// What a verdict means for the destination as a whole.
    fn heed(&mut self, verdict: &Verdict, probe: bool, now: Instant) {
        if let Some(after) = verdict.failure().and_then(|failure| failure.retry_after) {
            self.gate.rest(now + after.min(NEVER));
        }
        match verdict {
            Verdict::Hold(failure) => {
                let begins = self
                    .gate
                    .refuse(now, probe, &self.options.retry, &mut self.random);
                self.meter.now.destination_held = 1;
                if begins {
                    warn!(
                        pipeline = %self.options.name,
                        reason = %failure.reason,
                        "the destination refuses every event; holding and probing: {}",
                        failure.message,
                    );
                }
            }
            Verdict::Stop(failure) => {
                let error = Error::new(ErrorKind::Rejected, "deliver", failure.message.clone());
                self.fail(error);
            }
            // Whoever judges an event no longer refuses everybody.
            Verdict::Reject(_) | Verdict::TooLarge(_) if probe => self.answered(),
            // A probe that failed for a reason of its own: the next one waits even longer.
            Verdict::Retry(_) if probe => {
                self.gate
                    .refuse(now, true, &self.options.retry, &mut self.random);
            }
            _ => {}
        }
    }

    /// What a failure means for one event.
    fn punish(
        &mut self,
        lane: LaneId,
        mut item: Item,
        verdict: Verdict,
        count: usize,
        now: Instant,
    ) {
        match verdict {
            Verdict::Delivered => self.deliver(lane, &item, now),
            Verdict::Retry(failure) => {
                self.meter.now.retried += 1;
                self.meter
                    .because(names::RETRIED, "reason", &failure.reason);
                item.fail(*failure, now);
                if self.is_exhausted(&item, now) {
                    self.give_up(lane, item, now);
                } else {
                    let delay = self.options.retry.delay(item.attempts, &mut self.random);
                    self.give_back(lane, item, Some(now + delay), now);
                }
            }
            Verdict::Hold(failure) => {
                self.meter
                    .because(names::REFUSED, "reason", &failure.reason);
                let attempts = item.attempts;
                item.fail(*failure, now);
                item.attempts = attempts;
                let holds = item.trouble.as_mut().map_or(1, |trouble| {
                    // Nor does a hold, and the wait for its end, cost any of the time that its
                    // retries may take.
                    trouble.held = true;
                    trouble.holds = trouble.holds.saturating_add(1);
                    trouble.holds
                });
                // An event that is refused alone must not keep holding everybody.
                let delay = self.options.retry.delay(holds, &mut self.random);
                self.give_back(lane, item, Some(now + delay), now);
            }
            Verdict::Reject(_) | Verdict::TooLarge(_) if count > 1 => {
                item.cap = (count / 2).max(1);
                self.give_back(lane, item, None, now);
            }
            Verdict::Reject(failure) | Verdict::TooLarge(failure) => {
                item.reject(*failure, now);
                self.give_up(lane, item, now);
            }
            Verdict::Stop(failure) => {
                item.fail(*failure, now);
                self.give_back(lane, item, None, now);
            }
        }
    }

    fn is_exhausted(&self, item: &Item, now: Instant) -> bool {
        let retry = &self.options.retry;
        let since = item.trouble.as_ref().map_or(now, |trouble| trouble.since);
        retry.attempts.is_some_and(|most| item.attempts >= most)
            || retry
                .elapsed
                .is_some_and(|most| now.saturating_duration_since(since) >= most)
    }

    /// The end of an event's retries.
    fn give_up(&mut self, lane: LaneId, item: Item, now: Instant) {
        let reason = item.reason();
        match self.options.on_exhausted {
            OnExhausted::Block => {
                warn!(
                    pipeline = %self.options.name, event = %item.event.id(), attempts = item.attempts,
                    "not taken, and its lane is blocked: {reason}",
                );
                let delay = self.options.retry.cap(&mut self.random);
                self.give_back(lane, item, Some(now + delay), now);
            }
            OnExhausted::DeadLetter if !self.lanes.contains(lane) => {
                self.give_back(lane, item, None, now);
            }
            OnExhausted::DeadLetter => {
                if let Some(partition) = self.partitions.of(item.receipt) {
                    partition.out += 1;
                }
                self.letters.push((lane, item));
            }
            OnExhausted::Release { after } => {
                self.release(&item, Action::Release { after });
                self.release_rest(lane, &item, now);
            }
            OnExhausted::Drop => {
                self.audit("drop", &item, "");
                self.meter.now.dropped += 1;
                let word = item
                    .trouble
                    .as_ref()
                    .map_or("", |trouble| &*trouble.last.reason);
                self.meter.because(names::DROPPED, "reason", word);
                self.finish(lane, &item, now);
            }
            OnExhausted::Stop => {
                let error = Error::new(ErrorKind::Rejected, "deliver", reason)
                    .with_context("event", item.event.id())
                    .with_context("attempts", item.attempts);
                self.give_back(lane, item, None, now);
                self.fail(error);
            }
        }
    }

    /// The head of the first lane can't be sent: it is invalid, or its lease has run out.
    pub(super) fn set_aside(&mut self, now: Instant) {
        let Some((lane, mut item)) = self.lanes.pop(false) else {
            return;
        };
        if item.leased && self.leases.is_over(item.receipt, now) {
            return self.fence(lane, &item, now);
        }
        if let Some(why) = &item.invalid {
            let failure = Failure::new("invalid", format!("not a valid CloudEvent: {why}"));
            item.reject(failure, now);
            item.attempts = 0;
        }
        self.give_up(lane, item, now);
    }

    /// Dead letters were kept.
    pub(super) fn kept(&mut self, kept: Vec<InHand>, error: Option<Error>, now: Instant) {
        if let Some(error) = error {
            self.meter
                .because(names::DEAD_LETTER_FAILED, "kind", error.kind().as_str());
            warn!(pipeline = %self.options.name, %error, "the dead letter failed; holding and trying again");
        }
        let to = self.letters.destination();
        for (lane, item) in kept {
            self.audit("dead-letter", &item, &to);
            self.meter.now.dead_lettered += 1;
            let word = item
                .trouble
                .as_ref()
                .map_or("", |trouble| &*trouble.last.reason);
            self.meter.because(names::DEAD_LETTERED, "reason", word);
            if let Some(partition) = self.partitions.of(item.receipt) {
                partition.out -= 1;
            }
            self.finish(lane, &item, now);
        }
    }

    /// One line for each event that is not delivered, and never will be. Nothing of its data.
    fn audit(&mut self, action: &'static str, item: &Item, to: &str) {
        let receipt = item.receipt;
        let partition = self.partitions.of(receipt);
        let partition = partition.map_or_else(Arc::default, |state| Arc::clone(&state.name));
        warn!(
            target: "eventlane::audit",
            pipeline = %self.options.name,
            action,
            event = %item.event.id(),
            source = %item.event.source(),
            r#type = %item.event.ty(),
            partition = %partition,
            position = receipt.seq,
            attempts = item.attempts,
            deliveries = item.deliveries,
            cause = item.trouble.as_ref().map_or("", |trouble| &*trouble.last.reason),
            to,
            "{}: {}",
            if action == "drop" { "dropped, as configured" } else { "dead-lettered" },
            item.reason(),
        );
    }

    fn deliver(&mut self, lane: LaneId, item: &Item, now: Instant) {
        self.meter.now.delivered += 1;
        self.finish(lane, item, now);
    }

    /// An event is done: delivered, dead-lettered or dropped.
    fn finish(&mut self, lane: LaneId, item: &Item, now: Instant) {
        let over = item.leased && self.leases.is_over(item.receipt, now);
        self.forget(item);
        let cumulative = self.settling.is_cumulative();
        match self.partitions.of(item.receipt) {
            None => self.meter.now.fenced += 1,
            Some(_) if over => self.meter.now.fenced += 1,
            Some(partition) if cumulative => {
                partition.complete(item.ordinal);
                let span = self.options.budgets.span;
                if partition.paused && partition.watermark.open() <= span / 2 {
                    partition.paused = false;
                    self.resumes.push(item.receipt.partition);
                }
            }
            Some(_) => {
                self.settling.push(Settlement {
                    receipt: item.receipt,
                    action: Action::Done,
                });
            }
        }
        self.lanes.done(lane);
        self.settle_lane(lane, now);
    }

    /// An event is not done: it goes back to the head of its lane, or, if the lane is gone, to the
    /// broker.
    pub(super) fn give_back(
        &mut self,
        lane: LaneId,
        item: Item,
        not_before: Option<Instant>,
        now: Instant,
    ) {
        match self.lanes.back(lane, item, not_before) {
            None => self.settle_lane(lane, now),
            Some(item) => self.abandon(&item),
        }
    }

    /// An event that was in hand is left to the broker.
    pub(super) fn abandon(&mut self, item: &Item) {
        self.forget(item);
        let ours = self
            .partitions
            .of(item.receipt)
            .is_some_and(|state| !state.leaving);
        if !ours {
            self.meter.now.fenced += 1;
            return;
        }
        self.unsettled += 1;
        if self.can_release {
            self.release(item, Action::GiveBack);
        }
    }

    fn release(&mut self, item: &Item, action: Action) {
        self.meter.now.released += 1;
        self.settling.push(Settlement {
            receipt: item.receipt,
            action,
        });
    }

    /// The lease of an event that is not delivered has run out: somebody else has it, or will have.
    fn fence(&mut self, lane: LaneId, item: &Item, now: Instant) {
        self.meter.now.fenced += 1;
        self.release_rest(lane, item, now);
    }

    /// What follows in the lane must not overtake an event that went back to the broker: it goes
    /// back as well.
    fn release_rest(&mut self, lane: LaneId, item: &Item, now: Instant) {
        for item in self.lanes.drain_lane(lane) {
            if self.can_release {
                self.release(&item, Action::GiveBack);
            }
            self.forget(&item);
        }
        self.forget(item);
        self.lanes.done(lane);
        self.settle_lane(lane, now);
    }

    fn forget(&mut self, item: &Item) {
        if item.leased {
            self.leases.end(item.receipt);
        }
        self.buffered_events -= 1;
        self.buffered_bytes -= item.bytes;
        self.meter.now.buffered_events = self.buffered_events as u64;
        self.meter.now.buffered_bytes = self.buffered_bytes as u64;
    }

    fn settle_lane(&mut self, lane: LaneId, now: Instant) {
        if let Some(held) = self.lanes.settle(lane, now) {
            self.timers.push(Reverse((held, lane)));
        }
    }

    /// The source has answered a settle call.
    pub(super) fn told(&mut self, call: Call, now: Instant) {
        let took = now.saturating_duration_since(call.asked);
        self.meter.settle_seconds.record(took.as_secs_f64());
        let (failed, all) = match call.result {
            Ok(settled) => (settled.failed, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let (mut worst, mut any) = (None, false);
        for settlement in call.sent {
            let receipt = settlement.receipt;
            let error = all.as_ref().or_else(|| {
                failed
                    .iter()
                    .find(|(of, _)| *of == receipt)
                    .map(|(_, error)| error)
            });
            any |= error.is_none();
            match error {
                None if matches!(settlement.action, Action::Extend { .. }) => {
                    self.leases.extended(receipt, call.asked, now);
                }
                None => self.partitions.confirmed(receipt),
                Some(error) => {
                    self.meter
                        .because(names::SETTLE_FAILED, "kind", error.kind().as_str());
                    self.settle_failed(settlement, error, now);
                    if error.kind().is_transient() {
                        worst = Some(error);
                    }
                }
            }
        }
        // A broker that takes some is there: the rest must not make all others wait for long.
        if any || worst.is_none() {
            self.settling.succeeded();
        }
        match worst {
            None => {}
            Some(error) => {
                warn!(pipeline = %self.options.name, %error, "settling failed; trying again");
                self.settling.back_off(now, error, &mut self.random);
            }
        }
    }

    fn settle_failed(&mut self, settlement: Settlement, error: &Error, now: Instant) {
        let cumulative = self.settling.is_cumulative();
        match error.kind() {
            kind if kind.is_transient() && cumulative => self.partitions.failed(settlement.receipt),
            kind if kind.is_transient() => self.settling.push(settlement),
            ErrorKind::Fenced if matches!(settlement.action, Action::Extend { .. }) => {
                self.leases.lost(settlement.receipt, now);
            }
            ErrorKind::Fenced => self.meter.now.fenced += 1,
            // It comes again; nothing is lost, and trying the same again would not help.
            _ => warn!(
                pipeline = %self.options.name, %error, receipt = %settlement.receipt,
                "can't be settled",
            ),
        }
    }
}

impl Item {
    fn fail(&mut self, failure: Failure, now: Instant) {
        self.attempts += 1;
        match &mut self.trouble {
            Some(trouble) => {
                trouble.last = failure;
                trouble.rejected = false;
                if mem::take(&mut trouble.held) {
                    trouble.since = now;
                }
            }
            None => {
                let first_failure = Timestamp::now();
                let trouble = Trouble {
                    since: now,
                    first_failure,
                    last: failure,
                    rejected: false,
                    holds: 0,
                    held: false,
                };
                self.trouble = Some(Box::new(trouble));
            }
        }
    }

    fn reject(&mut self, failure: Failure, now: Instant) {
        self.fail(failure, now);
        if let Some(trouble) = &mut self.trouble {
            trouble.rejected = true;
        }
    }

    fn reason(&self) -> String {
        self.trouble
            .as_ref()
            .map_or_else(String::new, |trouble| trouble.last.message.clone())
    }
}
