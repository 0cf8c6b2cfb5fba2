//! The one table.

use std::fmt::Write;

use crate::Judged;

const HEAD: [&str; 8] = [
    "scenario",
    "sent",
    "delivered",
    "lost",
    "out of order",
    "duplicates",
    "at most",
    "how that comes about",
];

/// For a terminal.
pub fn plain(runs: &[Judged]) -> String {
    let rows: Vec<_> = [HEAD.map(str::to_owned)]
        .into_iter()
        .chain(runs.iter().map(row))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..HEAD.len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            // Numbers to the right, words to the left.
            match at {
                0 => write!(line, "{cell:<0$}", widths[at]),
                7 => write!(line, "  {cell}"),
                _ => write!(line, "  {cell:>0$}", widths[at]),
            }
            .expect("writing to a string");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// For documents.
pub fn markdown(runs: &[Judged]) -> String {
    let mut text = format!(
        "| {} |\n|---|--:|--:|--:|--:|--:|--:|---|\n",
        HEAD.join(" | ")
    );
    for run in runs {
        let cells = row(run).map(|cell| cell.replace('|', "\\|"));
        writeln!(text, "| {} |", cells.join(" | ")).expect("writing to a string");
    }
    text
}

fn row(run: &Judged) -> [String; 8] {
    let name = run.name.to_owned();
    match &run.outcome {
        Ok(outcome) => [
            name,
            outcome.sent.to_string(),
            outcome.delivered.to_string(),
            outcome.lost.to_string(),
            outcome.out_of_order.to_string(),
            outcome.duplicates.to_string(),
            outcome.bound.most.to_string(),
            match run.failure() {
                Some(failure) => format!("FAILED: {failure} ({})", outcome.bound.why),
                None => outcome.bound.why.clone(),
            },
        ],
        Err(reason) => {
            let first = reason.lines().next().unwrap_or_default();
            let none = || "-".to_owned();
            let failed = format!("FAILED: {first}");
            [name, none(), none(), none(), none(), none(), none(), failed]
        }
    }
}
