//! The worlds of the first seeds. More of them: `cargo run --release -p eventlane-simulation`.

use eventlane_simulation::{Cuts, Plan, run, watch};

const SEEDS: u64 = 2000;

/// Worlds that failed once.
const KNOWN: [u64; 5] = [203_900, 228_587, 307_383, 372_412, 643_953];

#[test]
fn nothing_is_lost_out_of_order_or_repeated_without_a_reason() {
    let watch = watch(60);
    let (mut failed, mut faults) = (Vec::new(), 0);
    for seed in (0..SEEDS).chain(KNOWN) {
        watch.begins(seed);
        let outcome = run(&Plan::of(seed), false);
        faults += outcome.faults.len();
        if !outcome.violations.is_empty() {
            failed.push(format!("seed {seed}: {}", outcome.violations.join("; ")));
        }
    }
    assert!(
        failed.is_empty(),
        "{}\nlook at one: cargo run -p eventlane-simulation -- --seed N --shrink",
        failed.join("\n"),
    );
    assert!(
        faults as u64 > SEEDS,
        "only {faults} faults: these worlds show nothing"
    );
}

#[test]
fn a_world_is_the_same_each_time() {
    for seed in 0..100 {
        let plan = Plan::of(seed);
        let (first, second) = (run(&plan, true), run(&plan, true));
        assert!(!first.trace.is_empty());
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn what_is_kept_of_a_world_is_said_and_read() {
    let text = "r0,4,17 l0.1,1.0 o f9871bf9d4e3aea4d";
    let cuts: Cuts = text.parse().unwrap();
    assert_eq!(cuts.to_string(), text);
    assert_eq!(cuts.size(), 6);
    assert!("x3".parse::<Cuts>().is_err());
    let whole = Plan::of(7);
    let less = "r0".parse::<Cuts>().unwrap().apply(7);
    assert!(less.size() < whole.size());
    assert!(run(&less, false).violations.is_empty());
}
