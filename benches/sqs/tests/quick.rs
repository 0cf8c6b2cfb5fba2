//! That the bench runs, on few messages.

use std::process::Command;

#[test]
fn both_empty_a_queue() {
    if std::env::var("EVENTLANE_SKIP_REAL").is_ok_and(|value| value == "1") {
        eprintln!("SKIPPED: it needs a real ElasticMQ");
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_eventlane-bench-sqs"))
        .args(["--messages", "500", "--rounds", "1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("of the throughput"), "{text}");
}
