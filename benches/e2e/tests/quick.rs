//! The bench runs through, with few events: everything arrives, and in order.

use std::{path::Path, process::Command};

use serde_json::Value;

#[test]
fn every_scenario_runs_through() {
    let bench = Path::new(env!("CARGO_BIN_EXE_eventlane-bench-e2e"));
    let report = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(bench);
    command.arg("--quick").arg("--json").arg(report.path());
    let built = bench.with_file_name("kafka-to-http");
    if built.exists() {
        command.arg("--kafka-to-http").arg(built);
    }
    assert!(command.status().unwrap().success());
    let report = std::fs::read(report.path()).unwrap();
    if report.is_empty() && std::env::var("EVENTLANE_SKIP_REAL").is_ok_and(|value| value == "1") {
        return;
    }
    let report: Value = serde_json::from_slice(&report).unwrap();
    let scenarios = report["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), 6);
    for scenario in scenarios {
        let name = &scenario["scenario"]["name"];
        for run in scenario["runs"].as_array().unwrap() {
            assert!(
                run["events_per_second"].as_f64().unwrap() > 0.0,
                "{name}: {run}"
            );
            if run["contender"] == "eventlane" {
                let seen = &run["seen"];
                for wrong in ["concurrent", "late", "early"] {
                    assert_eq!(seen[wrong], 0, "{name}: {run}");
                }
            }
        }
    }
}
