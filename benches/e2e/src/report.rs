//! What came out: medians over the rounds, ratios, targets.

use std::fmt::{self, Display, Write};

use serde::Serialize;

use crate::{
    check::Seen,
    machine::Machine,
    run::Measured,
    scenario::{Contender, Load, Scenario, Target},
};

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) scenarios: Vec<Result>,
}

/// What the rounds of one scenario have shown.
#[derive(Debug, Serialize)]
pub(crate) struct Result {
    pub(crate) scenario: Scenario,
    pub(crate) runs: Vec<Measured>,
    /// Whether it was too short to judge by.
    pub(crate) quick: bool,
    /// Eventlane's median by the peer's.
    pub(crate) events_ratio: f64,
    /// The same of the CPU time per event.
    pub(crate) cpu_ratio: f64,
    pub(crate) targets: Vec<Verdict>,
}

/// Whether a target was reached.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) reached: bool,
    pub(crate) text: String,
}

impl Result {
    pub(crate) fn new(scenario: Scenario, runs: Vec<Measured>, quick: bool) -> Self {
        let mut result = Self {
            scenario,
            runs,
            quick,
            events_ratio: 0.0,
            cpu_ratio: 0.0,
            targets: Vec::new(),
        };
        result.events_ratio = result.ratio(|run| run.events_per_second);
        result.cpu_ratio = result.ratio(|run| run.cpu_micros_per_event);
        result.targets = result.verdicts();
        result
    }

    fn of(&self, contender: Contender) -> impl Iterator<Item = &Measured> {
        let all = self.runs.iter();
        all.filter(move |run| run.contender == contender)
    }

    fn median(&self, contender: Contender, of: fn(&Measured) -> f64) -> f64 {
        let mut values: Vec<f64> = self.of(contender).map(of).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => f64::NAN,
            count if count % 2 == 0 => (values[middle - 1] + values[middle]) / 2.0,
            _ => values[middle],
        }
    }

    fn ratio(&self, of: fn(&Measured) -> f64) -> f64 {
        self.median(Contender::Eventlane, of) / self.median(self.scenario.peer, of)
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let rate = self.median(Contender::Eventlane, |run| run.events_per_second);
        let peer = self.scenario.peer.name();
        let verdict = |target: &Target| match *target {
            Target::Share(share) => Verdict {
                reached: self.events_ratio >= share,
                text: format!(
                    "{:.2} of the events/s of the {peer} (target: at least {share})",
                    self.events_ratio
                ),
            },
            Target::Cpu(times) => Verdict {
                reached: self.cpu_ratio <= times,
                text: format!(
                    "{:.2} times the CPU per event of the {peer} (target: at most {times})",
                    self.cpu_ratio
                ),
            },
            Target::Rate(least) => Verdict {
                reached: rate >= least,
                text: format!(
                    "{} events/s (target: at least {})",
                    count(rate),
                    count(least)
                ),
            },
            Target::RateOrShare(least, share) => {
                let least = least.max(rate / self.events_ratio * share);
                Verdict {
                    reached: rate >= least,
                    text: format!(
                        "{} events/s, {:.2} of {peer} (target: at least {})",
                        count(rate),
                        self.events_ratio,
                        count(least)
                    ),
                }
            }
            Target::Committed => {
                let most = self
                    .of(Contender::Eventlane)
                    .filter_map(|run| run.uncommitted)
                    .max();
                Verdict {
                    reached: most == Some(0),
                    text: format!(
                        "{} uncommitted two seconds after the last delivery (target: none)",
                        most.unwrap_or(-1)
                    ),
                }
            }
        };
        let mut verdicts: Vec<_> = self.scenario.targets.iter().map(verdict).collect();
        let seen = self
            .of(Contender::Eventlane)
            .filter_map(|run| run.seen.as_ref());
        let violations: u64 = seen.map(Seen::violations).sum();
        verdicts.push(Verdict {
            reached: violations == 0,
            text: format!(
                "{violations} times against the order of a key: late, early, repeated, or beside another (target: none)"
            ),
        });
        verdicts
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        self.scenarios
            .iter()
            .try_for_each(|result| write!(f, "\n{result}"))
    }
}

impl Display for Result {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario {
            name, about, load, ..
        } = self.scenario;
        writeln!(f, "### {name}\n\n{about}\n")?;
        let live = matches!(load, Load::Live(_));
        f.write_str("| | events/s | CPU µs/event | peak RSS MiB | against order")?;
        f.write_str(if live {
            " | p50 ms | p99 ms | max ms | uncommitted"
        } else {
            ""
        })?;
        f.write_str(" |\n|---|---|---|---|---")?;
        f.write_str(if live { "|---|---|---|---|\n" } else { "|\n" })?;
        for contender in [self.scenario.peer, Contender::Eventlane] {
            self.row(f, contender, live)?;
        }
        f.write_char('\n')?;
        if self.quick {
            return writeln!(f, "(a quick run: no figures to judge by)");
        }
        for Verdict { reached, text } in &self.targets {
            let word = if *reached { "reached" } else { "**missed**" };
            writeln!(f, "- {word}: {text}")?;
        }
        Ok(())
    }
}

impl Result {
    fn row(&self, f: &mut fmt::Formatter<'_>, contender: Contender, live: bool) -> fmt::Result {
        let median = |of: fn(&Measured) -> f64| self.median(contender, of);
        let violations = |run: &Measured| {
            let seen = run.seen.as_ref();
            seen.map_or(f64::NAN, |seen| seen.violations() as f64)
        };
        write!(
            f,
            "| {} | {} | {:.2} | {:.0} | {}",
            contender.name(),
            count(median(|run| run.events_per_second)),
            median(|run| run.cpu_micros_per_event),
            median(|run| run.peak_mib),
            count(median(violations)),
        )?;
        if live {
            write!(
                f,
                " | {:.1} | {:.1} | {:.1} | {}",
                median(|run| run.seen.as_ref().map_or(f64::NAN, |seen| seen.p50)),
                median(|run| run.seen.as_ref().map_or(f64::NAN, |seen| seen.p99)),
                median(|run| run.seen.as_ref().map_or(f64::NAN, |seen| seen.max)),
                count(median(|run| run
                    .uncommitted
                    .map_or(f64::NAN, |count| count as f64))),
            )?;
        }
        f.write_str(" |\n")
    }
}

/// With a comma before each group of three digits; nothing for no number.
fn count(number: f64) -> String {
    if !number.is_finite() {
        return "–".into();
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_readable() {
        for (number, text) in [
            (0.0, "0"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(count(number), text);
        }
    }
}
