//! Where events go: a destination that delays, fails, refuses, accepts and says nothing.

use std::{
    borrow::Cow,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Error, ErrorKind, Result, Sink,
    sink::{Batch, DeadLetter, DeadLetterSink, Failure, Outcome, Verdict, Verdicts},
};
use tokio::{sync::oneshot, task::AbortHandle, time::sleep};

use crate::{
    dice::{Choice, Site},
    ledger::Answer,
    life::LifeId,
    plan::Outage,
    world::{World, number},
};

pub(crate) struct SimSink {
    pub(crate) world: Arc<World>,
    pub(crate) life: LifeId,
}

/// What happens to a request.
#[derive(Debug)]
struct Script {
    accepts: bool,
    /// Before it is taken, and after; in milliseconds.
    there: u64,
    back: u64,
    /// `None`: no answer at all.
    verdict: Option<Verdict>,
    panics: bool,
}

fn failure(reason: &'static str) -> Box<Failure> {
    Box::new(Failure::new(reason, "as planned"))
}

fn throttled(random: &mut fastrand::Rng) -> Verdict {
    let mut failure = failure("status_429");
    failure.status = Some(429);
    failure.retry_after = Some(Duration::from_millis(random.u64(0..2500)));
    Verdict::Retry(failure)
}

impl World {
    fn script(&self, events: &[usize], alone: bool, ids: &[u64]) -> Script {
        let mut pace = self.dice.choose(Choice::SinkPace, ids);
        let instant = self.plan.sink.instant;
        let timeout = self.plan.engine.retry.timeout.as_millis() as u64;
        let most = if instant {
            1
        } else if self.dice.is_calm() {
            // In time, there and back.
            1 + self.plan.sink.pace.min(timeout / 4)
        } else {
            1 + self.plan.sink.pace
        };
        let (there, back) = (pace.u64(0..most), pace.u64(0..most));
        let script = |accepts, verdict| Script {
            accepts,
            there,
            back,
            verdict,
            panics: false,
        };
        if let Some(outage) = self.outage() {
            return match outage {
                Outage::Retry => script(false, Some(Verdict::Retry(failure("status_503")))),
                Outage::Throttle => script(false, Some(throttled(&mut pace))),
                Outage::Hold => script(false, Some(Verdict::Hold(failure("status_401")))),
                Outage::Stall => script(false, None),
            };
        }
        let records: Vec<_> = events.iter().map(|&event| self.record(event)).collect();
        if records.iter().any(|record| record.poison) && !self.ledger().healed {
            return script(false, Some(Verdict::Reject(failure("status_400"))));
        }
        let sink = &self.plan.sink;
        let bytes: usize = records.iter().map(|record| record.size).sum();
        if !alone && (events.len() > sink.most_events || bytes > sink.most_bytes) {
            return script(false, Some(Verdict::TooLarge(failure("status_413"))));
        }
        let fault = |site| self.dice.fault(site, ids);
        if fault(Site::SinkPanic).is_some() {
            return Script {
                panics: true,
                ..script(false, None)
            };
        }
        if fault(Site::SinkGone).is_some() {
            return script(false, Some(Verdict::Stop(failure("status_410"))));
        }
        if fault(Site::SinkHold).is_some() {
            return script(false, Some(Verdict::Hold(failure("status_403"))));
        }
        if let Some(mut random) = fault(Site::SinkThrottle) {
            return script(false, Some(throttled(&mut random)));
        }
        if fault(Site::SinkRetry).is_some() {
            return script(false, Some(Verdict::Retry(failure("status_503"))));
        }
        if fault(Site::SinkLostAnswer).is_some() {
            return script(true, Some(Verdict::Retry(failure("reset"))));
        }
        if let Some(mut random) = fault(Site::SinkStall) {
            // Taken before the time is up, after it, or never.
            let there = random.u64(0..2 * timeout);
            return Script {
                there,
                ..script(random.u32(0..3) > 0, None)
            };
        }
        if let Some(mut random) = fault(Site::SinkSlow) {
            let there = random.u64(0..timeout);
            let back = random.u64(0..timeout);
            return Script {
                there,
                back,
                ..script(true, Some(Verdict::Delivered))
            };
        }
        script(true, Some(Verdict::Delivered))
    }
}

/// The engine's side of a request.
struct Waiting<'a> {
    sink: &'a SimSink,
    call: u64,
    task: Option<AbortHandle>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        self.sink.world.ledger().cut(self.sink.life, self.call);
    }
}

#[async_trait]
impl Sink for SimSink {
    async fn send(&self, batch: Batch) -> Outcome {
        let events: Vec<usize> = batch.events.iter().map(number).collect();
        let (call, nth) = self.world.ledger().send(self.life, &events);
        let mut waiting = Waiting {
            sink: self,
            call,
            task: None,
        };
        let per_event = self.world.plan.sink.per_event;
        let scripts: Vec<Script> = if per_event {
            let each = events.iter().zip(&nth);
            each.map(|(&event, &nth)| self.world.script(&[event], true, &[event as u64, nth]))
                .collect()
        } else {
            let alone = events.len() == 1;
            vec![
                self.world
                    .script(&events, alone, &[events[0] as u64, nth[0]]),
            ]
        };
        if scripts.iter().any(|script| script.panics) {
            // A panic counts as a failed attempt.
            let failed: Vec<_> = events.iter().map(|&event| (event, Answer::Bad)).collect();
            self.world.ledger().answer(self.life, call, &failed);
            std::panic::resume_unwind(Box::new("as planned"));
        }
        let there = scripts.iter().map(|script| script.there).max().unwrap_or(0);
        let back = scripts.iter().map(|script| script.back).max().unwrap_or(0);
        let taken: Vec<usize> = if per_event {
            let each = events.iter().zip(&scripts);
            each.filter(|(_, script)| script.accepts)
                .map(|(&event, _)| event)
                .collect()
        } else {
            events
                .iter()
                .copied()
                .filter(|_| scripts[0].accepts)
                .collect()
        };
        let (outcome, answers) = outcome(&self.world, &events, scripts, per_event);
        if there + back == 0 {
            for event in taken {
                self.world.ledger().accept(self.life, call, event);
            }
        } else {
            let ids = [self.life as u64, events[0] as u64, nth[0]];
            let goes_through = self.world.dice.choose(Choice::Cut, &ids).bool();
            let (world, life) = (Arc::clone(&self.world), self.life);
            let (answer, answered) = oneshot::channel();
            let task = tokio::spawn(async move {
                sleep(Duration::from_millis(there)).await;
                for event in taken {
                    world.ledger().accept(life, call, event);
                }
                sleep(Duration::from_millis(back)).await;
                answer.send(()).ok();
            });
            waiting.task = (!goes_through).then(|| task.abort_handle());
            if answered.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        let Some(outcome) = outcome else {
            return std::future::pending().await;
        };
        let mut ledger = self.world.ledger();
        ledger.answer(self.life, call, &answers);
        let verdicts = match &outcome {
            Outcome::All(verdict) => std::slice::from_ref(verdict),
            Outcome::Each(verdicts) => verdicts,
        };
        for failure in verdicts.iter().filter_map(Verdict::failure) {
            if let Some(after) = failure.retry_after {
                ledger.rests(self.life, after);
            }
        }
        drop(ledger);
        outcome
    }

    fn verdicts(&self) -> Verdicts {
        match self.world.plan.sink.per_event {
            true => Verdicts::PerEvent,
            false => Verdicts::Whole,
        }
    }

    fn destination(&self) -> Cow<'_, str> {
        "simulation".into()
    }
}

/// What the engine is told, and what that means for each event.
fn outcome(
    world: &World,
    events: &[usize],
    scripts: Vec<Script>,
    per_event: bool,
) -> (Option<Outcome>, Vec<(usize, Answer)>) {
    let alone = per_event || events.len() == 1;
    let meaning = |verdict: &Verdict| match verdict {
        Verdict::Delivered => Answer::Good,
        Verdict::Retry(_) => Answer::Bad,
        Verdict::Reject(_) | Verdict::TooLarge(_) if alone => Answer::Final,
        _ => Answer::Neutral,
    };
    if !per_event {
        let verdict = scripts.into_iter().next().and_then(|script| script.verdict);
        let Some(verdict) = verdict else {
            return (None, Vec::new());
        };
        let answers = events
            .iter()
            .map(|&event| (event, meaning(&verdict)))
            .collect();
        return (Some(Outcome::All(verdict)), answers);
    }
    // One that gets no answer leaves all without.
    let verdicts: Option<Vec<_>> = scripts.into_iter().map(|script| script.verdict).collect();
    let Some(mut verdicts) = verdicts else {
        return (None, Vec::new());
    };
    let ids = [events[0] as u64, events.len() as u64];
    if world.dice.fault(Site::SinkShort, &ids).is_some() {
        verdicts.pop();
    }
    let told = verdicts
        .iter()
        .map(meaning)
        .chain(std::iter::repeat(Answer::Bad));
    let answers = events.iter().copied().zip(told).collect();
    (Some(Outcome::Each(verdicts)), answers)
}

/// Keeps dead letters, or not.
pub(crate) struct SimLetters {
    pub(crate) world: Arc<World>,
    pub(crate) life: LifeId,
    pub(crate) calls: AtomicU64,
}

#[async_trait]
impl DeadLetterSink for SimLetters {
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>> {
        let ids = [self.life as u64, self.calls.fetch_add(1, Relaxed)];
        let dice = &self.world.dice;
        let not_now = || Err(Error::new(ErrorKind::Unavailable, "keep", "not now"));
        if dice.fault(Site::LetterPanic, &ids).is_some() {
            std::panic::resume_unwind(Box::new("as planned"));
        }
        let mut pace = dice.choose(Choice::SinkPace, &[ids[0], ids[1], 7]);
        if let Some(mut random) = dice.fault(Site::LetterStall, &ids) {
            sleep(Duration::from_millis(random.u64(1000..40_000))).await;
        }
        sleep(Duration::from_millis(pace.u64(0..20))).await;
        let mut results = Vec::new();
        let mut kept = Vec::new();
        for (at, letter) in letters.iter().enumerate() {
            let event = number(&letter.event);
            let ids = [ids[0], ids[1], at as u64];
            if dice.fault(Site::LetterFail, &ids).is_some() {
                results.push(not_now());
                continue;
            }
            self.world
                .ledger()
                .letter(self.life, event, letter.attempts);
            if dice.fault(Site::LetterLostAnswer, &ids).is_some() {
                results.push(not_now());
            } else {
                results.push(Ok(()));
                kept.push(event);
            }
        }
        sleep(Duration::from_millis(pace.u64(0..20))).await;
        for event in kept {
            self.world.ledger().letter_answered(self.life, event);
        }
        results
    }

    fn destination(&self) -> Cow<'_, str> {
        "letters".into()
    }
}
