//! What a reload changes, and that it loses nothing.

use std::{fs, time::Duration};

use eventlane_testkit::{
    CheckingSink, eventually,
    sink::{Answer, Faults},
};

use crate::{
    operating::{LISTEN, readiness},
    support::{Files, LIMIT, broker, logged, pipeline, run},
};

#[test]
fn a_reload_changes_what_it_can_and_loses_nothing() {
    let (topic, files) = (broker().topic(2), Files::new());
    let sink = CheckingSink::recording(Faults {
        delay: Duration::from_millis(1)..Duration::from_millis(3),
        ..Faults::default()
    });
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let file = files.write("team", "red");
    let text = format!(
        "pipelines:\n{}",
        pipeline("orders", &topic, &sink.url(), "RETRY")
    );
    let text = text.replace(
        "      http:\n",
        &format!(
            "      http:\n        headers: {{x-team: '${{file:{}}}'}}\n",
            file.display()
        ),
    );
    let first = text.replace("RETRY", "retry: {attempts: null, initial: 20ms, max: 50ms}");
    let process = run(&files, &first, &LISTEN);
    readiness(&process, 200, "running");

    // Reloads while events flow.
    let reloads = std::thread::scope(|scope| {
        let producing = scope.spawn(|| {
            for part in 0..20 {
                broker().produce(&topic, &keys, part * 10..(part + 1) * 10);
            }
        });
        let mut reloads = 0;
        while !producing.is_finished() || reloads < 5 {
            fs::write(&file, format!("team-{reloads}")).unwrap();
            process.signal("HUP");
            reloads += 1;
            eventually(LIMIT, "reloads", || {
                let log = process.stderr();
                (log.matches("reloaded pipeline").count() >= reloads).then_some(())
            });
        }
        reloads
    });
    sink.wait(LIMIT, |report| report.distinct == 1600);
    sink.report().assert_exactly(1600);
    assert!(reloads >= 5);

    // A poisoned key holds its lane, until the policy is another one.
    sink.set(|faults| {
        faults.keys.insert("a".to_owned(), Answer::Status(503));
    });
    broker().produce(&topic, &["a"], 200..201);
    sink.wait(LIMIT, |report| report.status(503) > 3);
    let config = first
        .replace("attempts: null", "attempts: 2")
        .replace("delivery: {", "delivery: {on_exhausted: drop, ");
    let config = config.replace(
        &format!("{}orders", sink.url()),
        &format!("{}moved", sink.url()),
    );
    files.write("adapter.yaml", &config);
    process.signal("HUP");
    let audit = logged(&process, &["eventlane::audit", "drop"]);
    for word in ["orders", "status_503", &topic, "position=", "attempts="] {
        assert!(audit.contains(word), "{word} in {audit}");
    }

    // What can't be exchanged alive is had by starting the pipeline anew.
    let running = || process.said(" running ").len();
    assert_eq!(running(), 1, "{}", process.stderr());
    let config = config.replace("delivery: {", "delivery: {ordering: none, ");
    files.write("adapter.yaml", &config);
    process.signal("HUP");
    logged(&process, &["started anew", "orders", "delivery.ordering"]);
    eventually(LIMIT, "a new pipeline", || (running() == 2).then_some(()));

    // A mistake changes nothing.
    files.write("adapter.yaml", &config.replace("attempts", "atempts"));
    process.signal("HUP");
    logged(&process, &["unknown field `atempts`"]);
    sink.set(|faults| faults.keys.clear());
    broker().produce(&topic, &["b"], 200..201);
    sink.wait(LIMIT, |report| report.distinct == 1601);
    assert!(
        sink.report().path("/moved") > 0,
        "events go where they are to go now"
    );
    process.signal("TERM");
    let (status, log) = process.wait(LIMIT);
    assert_eq!(status.code(), Some(0), "{log}");
}

/// The pipeline takes nothing more and says so; what would not work is left, and what was found to
/// work before is had.
#[test]
fn a_reload_during_a_drain_is_tried_before_it_is_had() {
    let (topic, files) = (broker().topic(1), Files::new());
    let sink = CheckingSink::start(Faults {
        delay: Duration::from_secs(6)..Duration::from_secs(7),
        ..Faults::default()
    });
    let config = |delivery: &str| {
        let pipeline = pipeline("orders", &topic, &sink.url(), delivery);
        format!("pipelines:\n{pipeline}")
    };
    let process = run(&files, &config(""), &LISTEN);
    readiness(&process, 200, "running");
    broker().produce(&topic, &["a"], 0..1);
    sink.wait(LIMIT, |report| report.peak > 0);

    let reload = |delivery: &str| {
        files.write("adapter.yaml", &config(delivery));
        process.signal("HUP");
    };
    reload("ordering: none");
    readiness(&process, 503, "connecting");
    let nowhere = files.path("nowhere").join("dead.jsonl");
    reload(&format!("dead_letter: {{file: {}}}", nowhere.display()));
    logged(&process, &["not reloaded, since", "orders"]);
    let running = || process.said(" running ").len();
    eventually(LIMIT, "a new pipeline", || (running() == 2).then_some(()));
    readiness(&process, 200, "running");

    sink.set(|faults| faults.delay = Duration::ZERO..Duration::from_millis(1));
    broker().produce(&topic, &["a"], 1..2);
    sink.wait(LIMIT, |report| report.distinct == 2);
    process.signal("TERM");
    let (status, log) = process.wait(LIMIT);
    assert_eq!(status.code(), Some(0), "{log}");
    sink.report().assert_exactly(2);
}
