//! What a scenario is, what it counts, and when it has failed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tokio::time::Instant;

use crate::{file, kafka, leased, sink};

/// Every scenario, in the order in which they run.
pub fn scenarios() -> Vec<Scenario> {
    let areas: &[fn() -> Vec<Scenario>] = &[
        kafka::scenarios,
        leased::scenarios,
        sink::scenarios,
        file::scenarios,
    ];
    areas.iter().flat_map(|area| area()).collect()
}

/// A load, and what goes wrong meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// `area/what-goes-wrong`.
    pub name: &'static str,
    /// Events of a run by the command.
    pub events: u64,
    /// Events of a run among the tests; `None` if it can't be short enough for them.
    pub quick: Option<u64>,
    /// Panics when something can't be had or does not work.
    pub run: fn(Load) -> Outcome,
}

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub events: u64,
    /// Whether it must be short.
    pub quick: bool,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Events that the broker has acknowledged to their producer.
    pub sent: u64,
    /// Different events that the endpoint took.
    pub delivered: u64,
    /// Events sent that the endpoint never took.
    pub lost: u64,
    /// Events taken for the first time after a later one of their key, requests of a key while another
    /// was under way, replays that went backwards.
    pub out_of_order: u64,
    /// Events taken again.
    pub duplicates: u64,
    pub bound: Bound,
    /// The first few defects in words.
    pub defects: Vec<String>,
}

/// How many duplicates there may be.
#[derive(Clone, Debug)]
pub struct Bound {
    pub most: u64,
    /// How that comes about.
    pub why: String,
}

/// A run of a scenario, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Judged {
    pub name: &'static str,
    pub took: Duration,
    /// `Err` if it did not come to an end.
    pub outcome: Result<Outcome, String>,
}

impl Judged {
    /// What is wrong, if anything is.
    pub fn failure(&self) -> Option<String> {
        let outcome = match &self.outcome {
            Ok(outcome) => outcome,
            Err(reason) => return Some(reason.clone()),
        };
        let mut wrong = Vec::new();
        if outcome.lost > 0 {
            wrong.push(format!("{} lost", outcome.lost));
        }
        if outcome.out_of_order > 0 {
            wrong.push(format!("{} out of order", outcome.out_of_order));
        }
        if outcome.duplicates > outcome.bound.most {
            wrong.push(format!(
                "{} duplicates, at most {} allowed",
                outcome.duplicates, outcome.bound.most
            ));
        }
        // Or the run shows nothing.
        if outcome.delivered == 0 {
            wrong.push("nothing was delivered".to_owned());
        }
        if wrong.is_empty() {
            return None;
        }
        wrong.extend(outcome.defects.iter().cloned());
        Some(wrong.join("; "))
    }
}

/// Runs a scenario to its end, however that may be.
pub fn run(scenario: &Scenario, load: Load) -> Judged {
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (scenario.run)(load))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "panicked".to_owned())
    });
    Judged {
        name: scenario.name,
        took: start.elapsed(),
        outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(change: impl FnOnce(&mut Outcome)) -> Option<String> {
        let mut outcome = Outcome {
            sent: 10,
            delivered: 10,
            lost: 0,
            out_of_order: 0,
            duplicates: 2,
            bound: Bound {
                most: 2,
                why: "two".to_owned(),
            },
            defects: Vec::new(),
        };
        change(&mut outcome);
        Judged {
            name: "a/b",
            took: Duration::ZERO,
            outcome: Ok(outcome),
        }
        .failure()
    }

    #[test]
    fn each_broken_promise_fails_the_run() {
        assert_eq!(judged(|_| {}), None);
        assert!(judged(|outcome| outcome.lost = 1).is_some());
        assert!(judged(|outcome| outcome.out_of_order = 1).is_some());
        assert!(judged(|outcome| outcome.duplicates = 3).is_some());
        assert!(judged(|outcome| outcome.delivered = 0).is_some());
    }

    #[test]
    fn a_panic_is_a_failure_with_its_reason() {
        let scenario = Scenario {
            name: "a/b",
            events: 1,
            quick: None,
            run: |_| panic!("no broker: install {}", "it"),
        };
        let load = Load {
            events: 1,
            quick: true,
        };
        let failure = run(&scenario, load).failure();
        assert_eq!(failure.as_deref(), Some("no broker: install it"));
    }
}
