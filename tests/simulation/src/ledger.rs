//! What really happened, and whether it may. Knows nothing of how the engine works: only what was
//! handed to it, what it sent, what the sink and the dead letters took, and what it told the broker.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use eventlane::{OnExhausted, source::Receipt};
use tokio::time::Instant;

use crate::{
    lanes::{self, Lane},
    life::{Call, Life, LifeId, Truth},
    plan::{Plan, RecordPlan},
};

/// How many violations are worth reading.
const ENOUGH: usize = 8;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) plan: Arc<Plan>,
    pub(crate) start: Instant,
    pub(crate) events: Vec<Truth>,
    /// The record of each event, if it is in the plan.
    pub(crate) records: Vec<Option<RecordPlan>>,
    /// In the broker's order, what has to be taken in this order.
    pub(crate) promised: HashMap<Lane, Vec<usize>>,
    pub(crate) lives: Vec<Life>,
    pub(crate) sends: Vec<u64>,
    pub(crate) next_call: u64,
    pub(crate) dropped: u64,
    /// Poison is taken from now on.
    pub(crate) healed: bool,
    pub(crate) violations: Vec<String>,
    pub(crate) tracing: bool,
    pub(crate) trace: Vec<String>,
}

impl Ledger {
    pub(crate) fn new(plan: Arc<Plan>, tracing: bool) -> Self {
        let count = plan
            .records
            .iter()
            .map(|record| record.number + 1)
            .max()
            .unwrap_or(0);
        let mut records = vec![None; count];
        for record in &plan.records {
            records[record.number] = Some(record.clone());
        }
        Self {
            start: Instant::now(),
            events: (0..count).map(|_| Truth::default()).collect(),
            records,
            promised: HashMap::new(),
            lives: Vec::new(),
            sends: vec![0; count],
            next_call: 0,
            dropped: 0,
            healed: false,
            violations: Vec::new(),
            tracing,
            trace: Vec::new(),
            plan,
        }
    }

    /// Milliseconds since the beginning.
    pub(crate) fn time(&self) -> f64 {
        (Instant::now() - self.start).as_secs_f64() * 1000.0
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.tracing {
            let line = format!("{:>10.0} ms  {}", self.time(), line());
            self.trace.push(line);
        }
    }

    pub(crate) fn violation(&mut self, what: impl AsRef<str>) {
        let what = what.as_ref();
        self.note(|| format!("VIOLATION {what}"));
        if self.violations.len() < ENOUGH {
            self.violations
                .push(format!("at {:.0} ms: {what}", self.time()));
        }
    }

    pub(crate) fn name(&self, life: LifeId) -> Arc<str> {
        Arc::clone(&self.lives[life].name)
    }

    pub(crate) fn begin(&mut self, name: &str) -> LifeId {
        self.note(|| format!("{name} begins"));
        self.lives.push(Life {
            name: name.into(),
            alive: true,
            stopped: None,
            hand: BTreeMap::new(),
            partitions: HashMap::new(),
            calls: BTreeMap::new(),
            fails: HashMap::new(),
            delivered: 0,
            letters: 0,
            settle_fault: None,
            ended: false,
            rest: None,
            robbed: false,
            revoking: Vec::new(),
            unsettled: 0,
        });
        self.lives.len() - 1
    }

    /// The broker has it from now on.
    pub(crate) fn sent(&mut self, event: usize) {
        if let Some(lane) = self.records[event]
            .as_ref()
            .and_then(|r| lanes::promised(&self.plan, r))
        {
            self.promised.entry(lane).or_default().push(event);
        }
    }

    pub(crate) fn is_resolved(&self, event: usize) -> bool {
        let truth = &self.events[event];
        let dropped = self.plan.engine.policy == OnExhausted::Drop && truth.judged;
        truth.accepted > 0 || truth.letters > 0 || dropped
    }

    /// Taken for good: by the sink, or by the dead letters.
    fn take(&mut self, life: LifeId, event: usize, how: &str) {
        let mut earlier = None;
        let lane = self.records[event]
            .as_ref()
            .and_then(|r| lanes::promised(&self.plan, r));
        if let Some(lane) = lane
            && !self.is_resolved(event)
        {
            let all = self.promised.get(&lane).map_or(&[][..], |all| all);
            let before = all.iter().take_while(|&&other| other != event);
            earlier = before.copied().find(|&other| !self.is_resolved(other));
        }
        if let Some(earlier) = earlier {
            let name = self.name(life);
            self.violation(format!(
                "order: e{event} {how} for {name} before e{earlier} of its lane"
            ));
        }
    }

    fn check_duplicate(&mut self, event: usize) {
        let truth = &self.events[event];
        let taken = truth.accepted + truth.letters;
        if taken > truth.handed + truth.unanswered {
            let (handed, unanswered) = (truth.handed, truth.unanswered);
            self.violation(format!(
                "duplicate: e{event} was taken {taken} times, handed out {handed} times, \
                 {unanswered} answers were lost",
            ));
        }
    }

    pub(crate) fn accept(&mut self, life: LifeId, call: u64, event: usize) {
        self.note(|| format!("sink: takes e{event} (call {call})"));
        self.take(life, event, "was taken");
        self.events[event].accepted += 1;
        match self.lives[life].calls.get_mut(&call) {
            Some(call) => call.accepted.push(event),
            // The engine is not waiting any more.
            None => self.events[event].unanswered += 1,
        }
        self.check_duplicate_later(event);
    }

    /// An acceptance whose answer is still out may yet turn out to be unanswered.
    fn check_duplicate_later(&mut self, event: usize) {
        let open = self.lives.iter().flat_map(|life| life.calls.values());
        if !open
            .flat_map(|call| &call.accepted)
            .any(|&other| other == event)
        {
            self.check_duplicate(event);
        }
    }

    pub(crate) fn letter(&mut self, life: LifeId, event: usize, attempts: u32) {
        self.note(|| format!("letters: keep e{event}, tried {attempts} times"));
        self.take(life, event, "was dead-lettered");
        let record = self.records[event].clone();
        let invalid = record.as_ref().is_some_and(|record| record.invalid);
        if !self.events[event].judged && !invalid {
            self.violation(format!(
                "e{event} was dead-lettered though nobody gave it up"
            ));
        }
        let truth = &mut self.events[event];
        truth.letters += 1;
        // Until its answer is there.
        truth.unanswered += 1;
        self.check_duplicate(event);
    }

    /// The engine learns that the letter is kept.
    pub(crate) fn letter_answered(&mut self, life: LifeId, event: usize) {
        self.events[event].unanswered -= 1;
        self.lives[life].letters += 1;
        self.done(life, event, None);
        self.check_duplicate(event);
    }

    /// The engine has a good answer about an event.
    fn done(&mut self, life: LifeId, event: usize, receipt: Option<Receipt>) {
        let kept = receipt.is_none();
        let alive = &mut self.lives[life];
        let receipt = receipt
            .filter(|receipt| alive.hand.contains_key(receipt))
            .or_else(|| {
                // A letter says nothing of the delivery: the earliest is given up first.
                let all = alive.hand.iter();
                let mut all =
                    all.filter(|(_, entry)| entry.event == event && entry.flying.is_none());
                all.next().map(|(receipt, _)| *receipt)
            });
        if kept {
            // Which of several deliveries it was is not known.
            for entry in alive.hand.values_mut().filter(|entry| entry.event == event) {
                entry.maybe_gone = true;
            }
        }
        // Of several deliveries the others know nothing of it.
        let only = alive
            .hand
            .values()
            .filter(|entry| entry.event == event)
            .count()
            == 1;
        self.events[event].answered_to = only.then(|| (life, Instant::now()));
        if let Some(receipt) = receipt {
            alive.hand.remove(&receipt);
            if let Some(view) = alive.partitions.get_mut(&receipt.partition.0)
                && view.epoch == receipt.epoch
            {
                view.answered.push(event);
            }
        }
    }

    /// A request begins. Returns its number, and how often each event has been sent before.
    pub(crate) fn send(&mut self, life: LifeId, events: &[usize]) -> (u64, Vec<u64>) {
        let call = self.next_call;
        self.next_call += 1;
        let now = Instant::now();
        let name = self.name(life);
        self.note(|| format!("{name} sends {} (call {call})", list(events)));
        let nth: Vec<u64> = events.iter().map(|&event| self.sends[event]).collect();
        for &event in events {
            self.sends[event] += 1;
        }
        for wrong in lanes::check(&self.plan, &self.lives[life], &self.records, events, now) {
            let wrong = format!("{}: {wrong}", self.name(life));
            self.violation(wrong);
        }
        let alive = &mut self.lives[life];
        let mut receipts = Vec::new();
        for &event in events {
            let picked = lanes::pick(alive, event, now, &[]).map(|(receipt, _)| *receipt);
            if let Some(receipt) = picked
                && let Some(entry) = alive.hand.get_mut(&receipt)
            {
                entry.flying = Some(call);
                receipts.push((receipt, event));
            }
        }
        // What was passed over does not come back.
        let first: Vec<_> = receipts
            .iter()
            .filter_map(|(receipt, _)| Some((*receipt, alive.hand.get(receipt)?.lane?)))
            .collect();
        alive.hand.retain(|receipt, entry| {
            let passed = first
                .iter()
                .any(|(of, lane)| entry.lane == Some(*lane) && receipt < of);
            entry.flying.is_some() || !passed
        });
        let accepted = Vec::new();
        alive.calls.insert(
            call,
            Call {
                receipts,
                began: now,
                accepted,
            },
        );
        let flying = alive.calls.len();
        if flying > self.plan.engine.budgets.requests {
            self.violation(format!("{flying} requests at a time"));
        }
        (call, nth)
    }

    /// The engine has the answer: of each event, what became of it.
    pub(crate) fn answer(&mut self, life: LifeId, call: u64, answers: &[(usize, Answer)]) {
        let Some(ended) = self.land(life, call) else {
            return;
        };
        for &(event, answer) in answers {
            let accepted = ended.accepted.contains(&event);
            if accepted && answer != Answer::Good {
                self.events[event].unanswered += 1;
            }
            match answer {
                Answer::Good => {
                    self.lives[life].delivered += 1;
                    let of = ended.receipts.iter().find(|(_, other)| *other == event);
                    self.done(life, event, of.map(|(receipt, _)| *receipt));
                }
                Answer::Bad => self.failed(life, event),
                Answer::Final => self.give_up(life, event),
                Answer::Neutral => {}
            }
            self.check_duplicate(event);
        }
    }

    /// The engine dropped the request.
    pub(crate) fn cut(&mut self, life: LifeId, call: u64) {
        let Some(ended) = self.land(life, call) else {
            return;
        };
        let name = self.name(life);
        self.note(|| format!("{name} drops call {call}"));
        for &event in &ended.accepted {
            self.events[event].unanswered += 1;
            self.check_duplicate(event);
        }
        let timed_out = Instant::now() >= ended.began + self.plan.engine.retry.timeout;
        for &(_, event) in ended.receipts.iter().filter(|_| timed_out) {
            self.failed(life, event);
        }
    }

    /// A call is over: its events are not on their way any more.
    fn land(&mut self, life: LifeId, call: u64) -> Option<Call> {
        let alive = &mut self.lives[life];
        let ended = alive.calls.remove(&call)?;
        for (receipt, _) in &ended.receipts {
            if let Some(entry) = alive.hand.get_mut(receipt) {
                entry.flying = None;
            }
        }
        Some(ended)
    }

    /// One more failed attempt, which may be the last.
    fn failed(&mut self, life: LifeId, event: usize) {
        let retry = &self.plan.engine.retry;
        let now = Instant::now();
        let fails = self.lives[life].fails.entry(event).or_insert((0, now));
        fails.0 += 1;
        let last = retry.attempts.is_some_and(|most| fails.0 >= most)
            || retry.elapsed.is_some_and(|most| now - fails.1 >= most);
        if last {
            self.give_up(life, event);
        }
    }

    /// From here on the engine may give the event up, as its policy says.
    pub(crate) fn give_up(&mut self, life: LifeId, event: usize) {
        self.events[event].judged = true;
        let gone = matches!(
            self.plan.engine.policy,
            OnExhausted::Release { .. } | OnExhausted::Drop
        );
        if !gone {
            return;
        }
        let release = self.plan.engine.policy != OnExhausted::Drop;
        let alive = &mut self.lives[life];
        let lane = alive
            .hand
            .values()
            .find(|entry| entry.event == event)
            .and_then(|e| e.lane);
        for entry in alive.hand.values_mut() {
            // With what is released goes the rest of its lane.
            if entry.event == event || (release && lane.is_some() && entry.lane == lane) {
                entry.maybe_gone = true;
            }
        }
    }

    /// The destination has asked to be left alone for so long.
    pub(crate) fn rests(&mut self, life: LifeId, after: Duration) {
        let now = Instant::now();
        let until = self.lives[life].rest.map_or(now, |(_, until)| until);
        self.lives[life].rest = Some((now, until.max(now + after)));
    }

    /// A settlement went wrong, or took long: leases may run out, and what is done may come again.
    pub(crate) fn settle_fault(&mut self, life: LifeId) {
        self.lives[life].settle_fault = Some(Instant::now());
    }

    /// Whether a settlement of this life went wrong not long before `since`, or after.
    pub(crate) fn settles_badly(&self, life: LifeId, since: Instant) -> bool {
        let before = Duration::from_secs(40);
        self.lives[life]
            .settle_fault
            .is_some_and(|at| at + before >= since)
    }

    /// A message goes back to the broker. One whose delivery was answered must not.
    pub(crate) fn given_back(&mut self, life: LifeId, event: usize, since: Instant) {
        let alive = &self.lives[life];
        let may = alive.ended || alive.stopped.is_some() || self.settles_badly(life, since);
        let answered = self.events[event].answered_to;
        if answered.is_some_and(|(to, at)| to == life && at >= since) && !may {
            let name = self.name(life);
            self.violation(format!("{name} gives e{event} back, which is done"));
        }
    }

    pub(crate) fn stop(&mut self, life: LifeId) {
        let name = self.name(life);
        self.note(|| format!("{name} is asked to stop"));
        self.lives[life].stopped = Some(Instant::now());
    }

    /// A revocation begins, unless one is under way.
    pub(crate) fn begin_revoking(&mut self, life: LifeId, number: u32, epoch: u32) -> bool {
        let alive = &mut self.lives[life];
        let fresh = !alive.revoking.contains(&(number, epoch));
        if fresh {
            alive.revoking.push((number, epoch));
        }
        fresh
    }

    pub(crate) fn closed(&mut self, life: LifeId, unsettled: usize) {
        let name = self.name(life);
        self.note(|| format!("{name} closes, {unsettled} done and not settled"));
        self.lives[life].unsettled = unsettled;
    }

    pub(crate) fn crash(&mut self, life: LifeId) {
        let name = self.name(life);
        self.note(|| format!("{name} crashes"));
        self.lives[life].alive = false;
    }
}

/// What an answer means for one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Good,
    /// A failed attempt.
    Bad,
    /// It will never be taken.
    Final,
    /// Says nothing of it.
    Neutral,
}

pub(crate) fn list(events: &[usize]) -> String {
    let names: Vec<_> = events.iter().map(|event| format!("e{event}")).collect();
    names.join(" ")
}
