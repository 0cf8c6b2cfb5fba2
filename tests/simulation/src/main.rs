//! `eventlane-simulation --seeds 0..100000`, `--seed 7`, `--seed 7 --shrink`.

use std::{
    ops::Range,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use clap::Parser;
use eventlane_simulation::{Cuts, Outcome, Plan, run, shrink, watch};

/// Runs simulated worlds and says which of them show a defect.
#[derive(Parser)]
struct Arguments {
    /// Seeds to run: `0..100000`.
    #[arg(long, value_parser = seeds)]
    seeds: Option<Range<u64>>,
    /// One seed, with the trace of what happened.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// What to keep of the seed's world, as `--shrink` says it.
    #[arg(long, requires = "seed")]
    keep: Option<Cuts>,
    /// Looks for a smaller world that fails in the same way.
    #[arg(long, requires = "seed", conflicts_with = "keep")]
    shrink: bool,
    /// Also print the settings of the world.
    #[arg(long, requires = "seed")]
    plan: bool,
    /// Goes on after this many failing seeds at most.
    #[arg(long, default_value_t = 5)]
    failures: u64,
    /// Seconds of real time after which a world that goes on counts as a loop that never waits.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// Threads; each runs worlds of its own.
    #[arg(long, default_value_t = 1)]
    threads: u64,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("a range is FROM..TO")?;
    let number = |text: &str| {
        text.replace('_', "")
            .parse()
            .map_err(|error| format!("{error}"))
    };
    Ok(number(from)?..number(to)?)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments.seeds.clone().unwrap_or(0..2000), &arguments),
    }
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let watch = watch(arguments.patience);
    if !arguments.shrink {
        watch.begins(seed);
    }
    let (cuts, outcome) = match arguments.shrink {
        true => shrink(seed),
        false => {
            let cuts = arguments.keep.clone().unwrap_or_default();
            let outcome = run(&cuts.apply(seed), true);
            (cuts, outcome)
        }
    };
    if arguments.plan {
        println!("{:#?}", cuts.apply(seed));
    }
    for line in &outcome.trace {
        println!("{line}");
    }
    for fault in &outcome.faults {
        println!("fault {:x}: {}", fault.key, fault.name);
    }
    report(seed, &outcome);
    if arguments.shrink {
        println!("repeat with --seed {seed} --keep '{cuts}'");
    }
    code(outcome.violations.is_empty())
}

fn many(seeds: &Range<u64>, arguments: &Arguments) -> ExitCode {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let totals: [AtomicU64; 3] = Default::default();
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                let watch = watch(arguments.patience);
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end || failed.load(Relaxed) >= arguments.failures {
                        return;
                    }
                    watch.begins(seed);
                    let outcome = run(&Plan::of(seed), false);
                    let counts = [
                        outcome.accepted,
                        outcome.duplicates,
                        outcome.faults.len() as u64,
                    ];
                    for (total, count) in totals.iter().zip(counts) {
                        total.fetch_add(count, Relaxed);
                    }
                    if !outcome.violations.is_empty() {
                        failed.fetch_add(1, Relaxed);
                        report(seed, &outcome);
                    }
                    let done = seed + 1 - seeds.start;
                    if done.is_multiple_of(100_000) {
                        eprintln!("{done} worlds");
                    }
                }
            });
        }
    });
    let [accepted, duplicates, faults] = totals.map(AtomicU64::into_inner);
    let failed = failed.into_inner();
    let worlds = next.into_inner().min(seeds.end) - seeds.start;
    println!(
        "{worlds} worlds, {faults} faults, {accepted} events taken, of which {duplicates} once \
         more, {failed} worlds failed",
    );
    code(failed == 0)
}

fn report(seed: u64, outcome: &Outcome) {
    match outcome.violations.is_empty() {
        true => println!("seed {seed}: as it should be"),
        false => println!("seed {seed} FAILS"),
    }
    for violation in &outcome.violations {
        println!("    {violation}");
    }
}

fn code(well: bool) -> ExitCode {
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
