//! That the bench runs, on few messages.

use std::process::Command;

#[test]
fn both_empty_a_topic() {
    if std::env::var("EVENTLANE_SKIP_REAL").is_ok_and(|value| value == "1") {
        eprintln!("SKIPPED: it needs a real RocketMQ");
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_eventlane-bench-rocketmq"))
        .args(["--messages", "1600", "--rounds", "1", "--receives", "2"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("median"), "{text}");
}
