//! The checks themselves, apart from any network.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    time::Duration,
};

use tokio::time::Instant;

use super::{Answer, Faults, Record, Report, message::Message, pace::Pace};

/// Everything that an endpoint knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) faults: Faults,
    pub(super) report: Report,
    /// Kept only when asked for.
    pub(super) records: Option<Vec<Record>>,
    pub(super) pace: Pace,
    keys: HashMap<String, Key>,
    busy: u64,
    random: fastrand::Rng,
}

/// What is known of a key.
#[derive(Debug, Default)]
struct Key {
    attempted: Numbers,
    taken: Numbers,
    /// The one taken last, first time or not.
    last: Option<u64>,
    busy: u32,
    rewinds: u64,
}

/// A set of small numbers.
#[derive(Debug, Default)]
struct Numbers(Vec<u64>);

/// A request that is being dealt with.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) delay: Duration,
    pub(super) answer: Answer,
    messages: Vec<Message>,
    /// Of the first message, if records are kept.
    record: Option<usize>,
    /// Whether the keys count as busy: not when the request will never be answered, since the
    /// client must then give it up.
    counted: bool,
}

impl State {
    pub(super) fn new(faults: Faults) -> Self {
        Self {
            faults,
            report: Report::default(),
            records: None,
            pace: Pace::new(),
            keys: HashMap::new(),
            busy: 0,
            random: fastrand::Rng::with_seed(1),
        }
    }

    /// A request has come.
    pub(super) fn arrive(&mut self, path: &str, messages: Vec<Message>) -> Plan {
        self.report.requests += 1;
        match self.report.paths.get_mut(path) {
            Some(requests) => *requests += 1,
            None => drop(self.report.paths.insert(path.to_owned(), 1)),
        }
        self.report.attempts += messages.len() as u64;
        self.busy += 1;
        self.report.peak = self.report.peak.max(self.busy);
        let answer = self.answer(&messages);
        let counted = !matches!(answer, Answer::Stall | Answer::Reset);
        if counted {
            for key in distinct_keys(&messages) {
                let state = self.keys.entry(key.to_owned()).or_default();
                state.busy += 1;
                if state.busy > 1 {
                    self.report.concurrent += 1;
                    self.report
                        .defect(|| format!("{key}: {} requests at a time", state.busy));
                }
            }
        }
        let record = self.records.as_mut().map(|records| {
            let first = records.len();
            let at = Instant::now();
            records.extend(messages.iter().map(|message| Record {
                at,
                key: message.key.clone(),
                seq: message.seq,
                status: None,
                attributes: message.attributes.clone(),
            }));
            first
        });
        let Range { start, end } = self.faults.delay;
        let delay = start + (end - start).mul_f64(self.random.f64());
        Plan {
            delay,
            answer,
            messages,
            record,
            counted,
        }
    }

    /// A request is about to be answered.
    pub(super) fn answered(&mut self, plan: &Plan, status: u16) {
        *self.report.statuses.entry(status).or_default() += 1;
        if let (Some(records), Some(first)) = (&mut self.records, plan.record) {
            records[first..][..plan.messages.len()]
                .iter_mut()
                .for_each(|record| record.status = Some(status));
        }
        if (200..300).contains(&status) {
            plan.messages.iter().for_each(|message| self.take(message));
            self.pace.count(plan.messages.len());
        }
    }

    /// A request has been dealt with, or the client has given it up.
    pub(super) fn leave(&mut self, plan: &Plan) {
        self.busy -= 1;
        if plan.counted {
            for key in distinct_keys(&plan.messages) {
                self.keys.get_mut(key).expect("it has arrived").busy -= 1;
            }
        }
    }

    /// Which of a key's numbers below `count` have not been taken.
    pub(super) fn missing(&self, key: &str, count: u64) -> Vec<u64> {
        (0..count)
            .filter(|seq| {
                !self
                    .keys
                    .get(key)
                    .is_some_and(|key| key.taken.contains(*seq))
            })
            .collect()
    }

    fn answer(&mut self, messages: &[Message]) -> Answer {
        let mut first_failure = false;
        for message in messages {
            let key = self.keys.entry(message.key.clone()).or_default();
            first_failure |=
                key.attempted.insert(message.seq) && is_chosen(message, self.faults.fail_first);
        }
        if let Some(answer) = self.faults.next.pop_front() {
            return answer;
        }
        if self.faults.answer != Answer::Accept {
            return self.faults.answer.clone();
        }
        if !self.faults.keys.is_empty()
            && let Some(answer) = messages
                .iter()
                .find_map(|message| self.faults.keys.get(&message.key))
        {
            return answer.clone();
        }
        if first_failure {
            Answer::Status(503)
        } else {
            Answer::Accept
        }
    }

    fn take(&mut self, message: &Message) {
        let key = self.keys.get_mut(&message.key).expect("it has arrived");
        let highest = key.taken.highest();
        let first_time = key.taken.insert(message.seq);
        if first_time {
            self.report.distinct += 1;
            if let Some(highest) = highest.filter(|highest| *highest > message.seq) {
                self.report.overtaken += 1;
                self.report
                    .defect(|| format!("{}: {} only after {highest}", message.key, message.seq));
            }
        } else {
            self.report.duplicates += 1;
        }
        if key.last.is_some_and(|last| message.seq < last) {
            key.rewinds += 1;
            self.report.rewinds = self.report.rewinds.max(key.rewinds);
        }
        key.last = Some(message.seq);
    }
}

fn distinct_keys(messages: &[Message]) -> impl Iterator<Item = &str> {
    let mut seen = HashSet::new();
    messages
        .iter()
        .map(|message| message.key.as_str())
        .filter(move |key| messages.len() == 1 || seen.insert(*key))
}

/// Evenly spread over keys and numbers, and the same in every run.
fn is_chosen(message: &Message, part: f64) -> bool {
    if part == 0.0 {
        return false;
    }
    let seed = message.key.bytes().fold(message.seq, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(byte.into())
    });
    fastrand::Rng::with_seed(seed).f64() < part
}

impl Numbers {
    /// Whether it is new.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    fn contains(&self, number: u64) -> bool {
        self.0
            .get(number as usize / 64)
            .is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// The last word is never 0.
    fn highest(&self) -> Option<u64> {
        let last = self.0.last()?;
        Some((self.0.len() as u64 - 1) * 64 + u64::from(last.ilog2()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: &str, seq: u64) -> Message {
        Message {
            key: key.to_owned(),
            seq,
            attributes: Default::default(),
        }
    }

    fn taken(state: &mut State, key: &str, seq: u64) {
        let plan = state.arrive("/", vec![message(key, seq)]);
        state.answered(&plan, 204);
        state.leave(&plan);
    }

    #[test]
    fn finds_an_event_that_was_overtaken() {
        let mut state = State::new(Faults::default());
        [0, 2, 1, 3]
            .into_iter()
            .for_each(|seq| taken(&mut state, "a", seq));
        taken(&mut state, "b", 1);
        assert_eq!(
            (
                state.report.overtaken,
                state.report.distinct,
                state.report.duplicates
            ),
            (1, 5, 0)
        );
        assert_eq!(state.report.defects, ["a: 1 only after 2"]);
    }

    #[test]
    fn counts_duplicates_and_tells_a_replay_from_disorder() {
        let mut state = State::new(Faults::default());
        [0, 1, 2, 1, 2, 3]
            .into_iter()
            .for_each(|seq| taken(&mut state, "a", seq));
        assert_eq!(
            (
                state.report.overtaken,
                state.report.duplicates,
                state.report.rewinds
            ),
            (0, 2, 1)
        );
        [2, 1, 0]
            .into_iter()
            .for_each(|seq| taken(&mut state, "a", seq));
        assert_eq!(state.report.rewinds, 4);
    }

    #[test]
    fn finds_two_requests_of_a_key_at_once_but_not_two_events_in_a_batch() {
        let mut state = State::new(Faults::default());
        let batch = state.arrive("/", vec![message("a", 0), message("a", 1)]);
        assert_eq!(state.report.concurrent, 0);
        let other = state.arrive("/", vec![message("b", 0)]);
        assert_eq!((state.report.concurrent, state.report.peak), (0, 2));
        let again = state.arrive("/", vec![message("a", 2)]);
        assert_eq!(state.report.concurrent, 1);
        [batch, other, again]
            .iter()
            .for_each(|plan| state.leave(plan));
        taken(&mut state, "a", 0);
        assert_eq!(state.report.concurrent, 1);
    }

    #[test]
    fn fails_a_part_of_the_first_attempts_and_no_second_one() {
        let mut state = State::new(Faults {
            fail_first: 0.05,
            ..Faults::default()
        });
        let mut failed = 0;
        for seq in 0..10_000 {
            let plan = state.arrive("/", vec![message("a", seq)]);
            state.leave(&plan);
            if plan.answer != Answer::Accept {
                failed += 1;
                assert_eq!(
                    state.arrive("/", vec![message("a", seq)]).answer,
                    Answer::Accept
                );
            }
        }
        assert!((400..600).contains(&failed), "{failed}");
    }

    #[test]
    fn knows_what_is_missing() {
        let mut state = State::new(Faults::default());
        [0, 1, 3, 64]
            .into_iter()
            .for_each(|seq| taken(&mut state, "a", seq));
        assert_eq!(state.missing("a", 5), [2, 4]);
        assert_eq!(state.missing("b", 2), [0, 1]);
    }
}
