//! `eventlane-faults`, `eventlane-faults kafka`, `eventlane-faults --list`, `eventlane-faults soak`.

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use eventlane_faults::{Load, run, scenarios, soak, soak::Soak, table};

/// Runs eventlane under real faults, and counts what is lost, out of order, and repeated.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
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

#[derive(Subcommand)]
enum Command {
    /// A steady load, a fault every minute, and whether the program grows
    Soak(SoakOptions),
}

#[derive(Args)]
struct SoakOptions {
    /// How long: 30m, 90s
    #[arg(long = "for", default_value = "30m", value_parser = duration)]
    length: Duration,
    /// Events a second
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// From one fault to the next
    #[arg(long, default_value = "60s", value_parser = duration)]
    every: Duration,
    /// Also write the samples of memory, descriptors, threads and tasks to this file
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(Command::Soak(options)) = options.command {
        return soaked(&options);
    }
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

fn soaked(options: &SoakOptions) -> ExitCode {
    let soaked = soak::run(&Soak {
        length: options.length,
        rate: options.rate,
        every: options.every,
    });
    println!(
        "{:?} at {} events a second, {} faults:",
        options.length,
        options.rate,
        soaked.faults.len()
    );
    for fault in &soaked.faults {
        println!("  {fault}");
    }
    print!("{}", soaked.growth);
    if let Some(path) = &options.samples
        && let Err(error) = fs::write(path, &soaked.samples)
    {
        eprintln!("can't write {}: {error}", path.display());
    }
    print!("{}", table::plain(std::slice::from_ref(&soaked.judged)));
    let failures = [soaked.judged.failure(), soaked.growth.failure()];
    let mut result = ExitCode::SUCCESS;
    for failure in failures.into_iter().flatten() {
        println!("FAILED: {failure}");
        result = ExitCode::FAILURE;
    }
    result
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => 0,
    };
    let seconds = number.parse().ok().map(|number: u64| number * unit);
    seconds
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| "it must be a number with a unit: 90s, 30m, 1h".to_owned())
}
