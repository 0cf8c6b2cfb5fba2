//! `eventlane-faults`, `eventlane-faults kafka`, `eventlane-faults --list`.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use eventlane_faults::{Load, run, scenarios, table};

/// Runs eventlane under real faults, and counts what is lost, out of order, and repeated.
#[derive(Parser)]
struct Options {
    /// Only the scenarios whose names contain one of these
    names: Vec<String>,
    /// Name the scenarios and run none
    #[arg(long)]
    list: bool,
    /// Events of each scenario [default: each scenario's own number]
    #[arg(long)]
    events: Option<u64>,
    /// Run as the tests do: a small load, and only what is short
    #[arg(long)]
    quick: bool,
    /// Also write the table to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut chosen = scenarios();
    chosen.retain(|scenario| {
        let named = |name: &String| scenario.name.contains(name.as_str());
        (options.names.is_empty() || options.names.iter().any(named))
            && (!options.quick || scenario.quick.is_some())
    });
    if options.list {
        for scenario in &chosen {
            println!("{}", scenario.name);
        }
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        eprintln!("no scenario has such a name; --list names them");
        return ExitCode::FAILURE;
    }
    let mut runs = Vec::new();
    for scenario in &chosen {
        let usual = match options.quick {
            true => scenario.quick.unwrap_or(scenario.events),
            false => scenario.events,
        };
        let load = Load {
            events: options.events.unwrap_or(usual),
            quick: options.quick,
        };
        eprintln!("== {}: {} events", scenario.name, load.events);
        let judged = run(scenario, load);
        let result = judged.failure().map_or_else(
            || "as promised".to_owned(),
            |failure| format!("FAILED: {failure}"),
        );
        eprintln!("== {}: {result} ({:.0?})", scenario.name, judged.took);
        runs.push(judged);
    }
    print!("{}", table::plain(&runs));
    if let Some(path) = &options.markdown
        && let Err(error) = fs::write(path, table::markdown(&runs))
    {
        eprintln!("can't write {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    match runs.iter().all(|run| run.failure().is_none()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
