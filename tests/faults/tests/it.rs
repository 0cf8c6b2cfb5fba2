//! Every scenario that is short, with a small load, as a test of its own. All of them, with the usual load:
//! `cargo run -p eventlane-faults`.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex},
};

use eventlane_faults::{Load, run, scenarios, table};
use eventlane_testkit::is_skipped;
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let runs = Arc::new(Mutex::new(Vec::new()));
    let trials = scenarios().into_iter().filter_map(|scenario| {
        let events = scenario.quick?;
        let runs = Arc::clone(&runs);
        Some(Trial::test(scenario.name, move || {
            if is_skipped(&format!("broker ({})", scenario.name)) {
                return Ok(());
            }
            let load = Load {
                events,
                quick: true,
            };
            let judged = run(&scenario, load);
            let failure = judged.failure();
            runs.lock().expect("no holder panics").push(judged);
            failure.map_or(Ok(()), |failure| Err(failure.into()))
        }))
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    let runs = runs.lock().expect("no holder panics");
    if !runs.is_empty() {
        print!("{}", table::plain(&runs));
    }
    conclusion.exit_code()
}
