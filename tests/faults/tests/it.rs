//! Every scenario that is short, with a small load, as a test of its own. All of them, with the usual load:
//! `cargo run -p eventlane-faults`.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex},
};

use eventlane_faults::{Load, run, scenarios, table};
use eventlane_testkit::is_skipped;
use libtest_mimic::{Arguments, Trial};

const AT_A_TIME: usize = 3;

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
    let mut arguments = Arguments::from_args();
    // They mostly wait.
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let runs = runs.lock().expect("no holder panics");
    if !runs.is_empty() {
        print!("{}", table::plain(&runs));
    }
    conclusion.exit_code()
}
