use std::{fmt, time::Duration};

/// What became of every case: [`run`](super::run).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// In the order in which they were run.
    pub cases: Vec<CaseReport>,
}

/// What became of one case.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseReport {
    /// Its name.
    pub name: &'static str,
    /// What became of it.
    pub outcome: CaseOutcome,
    /// How long it took.
    pub took: Duration,
}

/// The end of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseOutcome {
    /// The source does what it has to.
    Passed,
    /// The case does not apply: why.
    NotApplicable(&'static str),
    /// The source breaks the contract: how.
    Failed(String),
}

impl Report {
    /// The names of the cases that were run and passed.
    pub fn passed(&self) -> Vec<&'static str> {
        self.with(|outcome| *outcome == CaseOutcome::Passed)
    }

    /// The names of the cases that don't apply.
    pub fn not_applicable(&self) -> Vec<&'static str> {
        self.with(|outcome| matches!(outcome, CaseOutcome::NotApplicable(_)))
    }

    /// The names of the cases that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        self.with(|outcome| matches!(outcome, CaseOutcome::Failed(_)))
    }

    fn with(&self, wanted: impl Fn(&CaseOutcome) -> bool) -> Vec<&'static str> {
        self.cases
            .iter()
            .filter(|case| wanted(&case.outcome))
            .map(|case| case.name)
            .collect()
    }
}

/// A line for each case.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cases.iter().try_for_each(|case| writeln!(f, "{case}"))
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            outcome,
            took,
        } = self;
        match outcome {
            CaseOutcome::Passed => write!(f, "{name}: passed in {took:.1?}"),
            CaseOutcome::NotApplicable(why) => write!(f, "{name}: not applicable, {why}"),
            CaseOutcome::Failed(how) => write!(f, "{name}: FAILED after {took:.1?}: {how}"),
        }
    }
}
