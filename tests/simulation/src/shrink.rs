//! Makes a failing world smaller: takes away records, lives, operations and faults as long as it
//! still fails.

use std::{collections::HashSet, fmt, str::FromStr};

use crate::{Outcome, Plan, run};

/// What is left of the world of a seed, as text: `r0,4,7 l0.1 o2 f1a2b,3c4d`. A part that is not
/// named is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    records: Option<Vec<usize>>,
    /// Places in the plan: consumer and life.
    lives: Option<Vec<(usize, usize)>>,
    operations: Option<Vec<usize>>,
    faults: Option<Vec<u64>>,
}

impl Cuts {
    /// The world of a seed without what was taken away.
    pub fn apply(&self, seed: u64) -> Plan {
        let mut plan = Plan::of(seed);
        if let Some(records) = &self.records {
            plan.records
                .retain(|record| records.contains(&record.number));
        }
        if let Some(lives) = &self.lives {
            for (slot, of) in plan.lives.iter_mut().enumerate() {
                let mut at = 0;
                of.retain(|_| {
                    at += 1;
                    lives.contains(&(slot, at - 1))
                });
            }
        }
        if let Some(operations) = &self.operations {
            let mut at = 0;
            plan.operations.retain(|_| {
                at += 1;
                operations.contains(&(at - 1))
            });
        }
        plan.only = self
            .faults
            .as_ref()
            .map(|faults| faults.iter().copied().collect());
        plan
    }

    /// How much is left, where it is known.
    pub fn size(&self) -> usize {
        self.records.as_ref().map_or(0, Vec::len)
            + self.lives.as_ref().map_or(0, Vec::len)
            + self.operations.as_ref().map_or(0, Vec::len)
            + self.faults.as_ref().map_or(0, Vec::len)
    }
}

impl fmt::Display for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn part<T>(
            letter: char,
            of: Option<&Vec<T>>,
            show: impl Fn(&T) -> String,
        ) -> Option<String> {
            let shown: Vec<_> = of?.iter().map(show).collect();
            Some(format!("{letter}{}", shown.join(",")))
        }
        let parts = [
            part('r', self.records.as_ref(), usize::to_string),
            part('l', self.lives.as_ref(), |(slot, nth)| {
                format!("{slot}.{nth}")
            }),
            part('o', self.operations.as_ref(), usize::to_string),
            part('f', self.faults.as_ref(), |fault| format!("{fault:x}")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

impl FromStr for Cuts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut cuts = Self::default();
        let number = |text: &str| {
            text.parse::<usize>()
                .map_err(|error| format!("{text}: {error}"))
        };
        for part in text.split_whitespace() {
            let (letter, rest) = part.split_at(1);
            let all = rest.split(',').filter(|one| !one.is_empty());
            match letter {
                "r" => cuts.records = Some(all.map(number).collect::<Result<_, _>>()?),
                "o" => cuts.operations = Some(all.map(number).collect::<Result<_, _>>()?),
                "l" => {
                    let life = |text: &str| {
                        let (slot, nth) = text.split_once('.').ok_or("a life is SLOT.NUMBER")?;
                        Ok::<_, String>((number(slot)?, number(nth)?))
                    };
                    cuts.lives = Some(all.map(life).collect::<Result<_, _>>()?);
                }
                "f" => {
                    let fault = |text: &str| {
                        u64::from_str_radix(text, 16).map_err(|error| format!("{text}: {error}"))
                    };
                    cuts.faults = Some(all.map(fault).collect::<Result<_, _>>()?);
                }
                _ => return Err(format!("{part} begins with none of r, l, o, f")),
            }
        }
        Ok(cuts)
    }
}

/// The smallest world found in which something of the same kind still goes wrong, and what comes of
/// it.
pub fn shrink(seed: u64) -> (Cuts, Outcome) {
    let plan = Plan::of(seed);
    let outcome = run(&plan, false);
    let kind = kind(&outcome);
    let lives = plan.lives.iter().enumerate();
    let mut cuts = Cuts {
        records: Some(plan.records.iter().map(|record| record.number).collect()),
        lives: Some(
            lives
                .flat_map(|(slot, of)| (0..of.len()).map(move |nth| (slot, nth)))
                .collect(),
        ),
        operations: Some((0..plan.operations.len()).collect()),
        faults: Some(outcome.faults.iter().map(|fault| fault.key).collect()),
    };
    if !fails(seed, &cuts, &kind) {
        return (Cuts::default(), outcome);
    }
    loop {
        let before = cuts.size();
        thin(&mut cuts, |cuts| &mut cuts.faults, seed, &kind);
        thin(&mut cuts, |cuts| &mut cuts.operations, seed, &kind);
        thin(&mut cuts, |cuts| &mut cuts.lives, seed, &kind);
        thin(&mut cuts, |cuts| &mut cuts.records, seed, &kind);
        if cuts.size() == before {
            break;
        }
    }
    let outcome = run(&cuts.apply(seed), true);
    // Faults that are not reached any more say nothing.
    let fired: HashSet<u64> = outcome.faults.iter().map(|fault| fault.key).collect();
    if let Some(faults) = &mut cuts.faults {
        faults.retain(|fault| fired.contains(fault));
    }
    (cuts, outcome)
}

/// What a violation is about, without names and numbers.
fn kind(outcome: &Outcome) -> String {
    let first = outcome.violations.first().map_or("", |first| first);
    let text = first.split_once(": ").map_or(first, |(_, text)| text);
    let word = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
    text.split(' ')
        .filter(word)
        .take(6)
        .collect::<Vec<_>>()
        .join(" ")
}

fn fails(seed: u64, cuts: &Cuts, kind: &str) -> bool {
    let outcome = run(&cuts.apply(seed), false);
    !outcome.violations.is_empty() && self::kind(&outcome) == kind
}

/// Takes out ever smaller pieces of one list.
fn thin<T: Clone>(
    cuts: &mut Cuts,
    list: impl Fn(&mut Cuts) -> &mut Option<Vec<T>>,
    seed: u64,
    kind: &str,
) {
    let length = |cuts: &mut Cuts| list(cuts).as_ref().map_or(0, Vec::len);
    let mut piece = length(cuts);
    while piece > 0 {
        let mut at = 0;
        while at < length(cuts) {
            let mut fewer = cuts.clone();
            if let Some(of) = list(&mut fewer) {
                of.drain(at..(at + piece).min(of.len()));
            }
            if fails(seed, &fewer, kind) {
                *cuts = fewer;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
}
