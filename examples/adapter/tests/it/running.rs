//! `run`: what is delivered, how it stops, and what its exit code says.

use eventlane_testkit::{
    CheckingSink,
    sink::{Answer, Faults},
};

use crate::support::{Files, LIMIT, broker, logged, pipeline, run};

#[test]
fn delivers_in_order_and_drains_on_sigterm() {
    let (topic, files) = (broker().topic(3), Files::new());
    let sink = CheckingSink::start(Faults::default());
    broker().produce(&topic, &["a", "b", "c"], 0..50);
    let config = format!(
        "pipelines:\n{}",
        pipeline("orders", &topic, &sink.url(), "")
    );
    let process = run(&files, &config, &["--listen", "127.0.0.1:0"]);
    sink.wait(LIMIT, |report| report.distinct == 150);
    process.signal("TERM");
    let (status, log) = process.wait(LIMIT);
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("delivered 150"), "{log}");
    sink.report().assert_exactly(150);

    // All of it was committed: the next run gets what is new, and no more.
    broker().produce(&topic, &["a"], 50..60);
    let process = run(&files, &config, &["--listen", "127.0.0.1:0"]);
    sink.wait(LIMIT, |report| report.distinct == 160);
    process.signal("INT");
    assert_eq!(process.wait(LIMIT).0.code(), Some(0));
    sink.report().assert_exactly(160);
}

#[test]
fn what_is_answered_goes_to_its_topic_before_a_record_counts_as_done() {
    let (topic, replies, files) = (broker().topic(2), broker().topic(2), Files::new());
    let endpoint = CheckingSink::start(Faults {
        answer: Answer::Reply,
        ..Faults::default()
    });
    broker().produce(&topic, &["a", "b"], 0..20);
    let asking = pipeline("asking", &topic, &endpoint.url(), "").replace(
        "    delivery:",
        &format!(
            "      replies_to: {{kafka: {{bootstrap_servers: \"{}\", topic: {replies}}}}}\n    delivery:",
            broker().bootstrap
        ),
    );
    let heard = CheckingSink::start(Faults::default());
    let hearing = pipeline("hearing", &replies, &heard.url(), "");
    let config = format!("pipelines:\n{asking}{hearing}");
    let process = run(&files, &config, &["--listen", "127.0.0.1:0"]);
    heard.wait(LIMIT, |report| report.distinct == 40);
    process.signal("TERM");
    assert_eq!(process.wait(LIMIT).0.code(), Some(0));
    heard.report().assert_exactly(40);
    heard.report().assert_in_order(1);
}

#[test]
fn dead_letters_go_to_a_topic() {
    let (topic, letters, files) = (broker().topic(1), broker().topic(1), Files::new());
    let sink = CheckingSink::start(Faults::default());
    sink.set(|faults| {
        faults.keys.insert("poison".to_owned(), Answer::Status(400));
    });
    broker().produce(&topic, &["poison", "a"], 0..5);
    let to = format!(
        "dead_letter: {{kafka: {{bootstrap_servers: \"{}\", topic: {letters}}}}}",
        broker().bootstrap
    );
    let heard = CheckingSink::start(Faults::default());
    let config = format!(
        "pipelines:\n{}{}",
        pipeline("orders", &topic, &sink.url(), &to),
        pipeline("letters", &letters, &heard.url(), "")
    );
    let process = run(&files, &config, &["--listen", "127.0.0.1:0"]);
    heard.wait(LIMIT, |report| report.distinct == 5);
    process.signal("TERM");
    assert_eq!(process.wait(LIMIT).0.code(), Some(0));
    heard.report().assert_exactly(5);
}

#[test]
fn a_pipeline_that_fails_leaves_the_others_alone() {
    let (good, bad, files) = (broker().topic(1), broker().topic(1), Files::new());
    let sink = CheckingSink::start(Faults::default());
    sink.set(|faults| {
        faults.keys.insert("poison".to_owned(), Answer::Status(400));
    });
    broker().produce(&bad, &["poison"], 0..1);
    let config = format!(
        "pipelines:\n{}{}",
        pipeline("good", &good, &sink.url(), ""),
        pipeline("bad", &bad, &sink.url(), "on_exhausted: stop")
    );
    let process = run(&files, &config, &["--listen", "127.0.0.1:0"]);
    logged(&process, &["bad", "the pipeline has failed", "400"]);
    broker().produce(&good, &["a"], 0..20);
    sink.wait(LIMIT, |report| report.distinct == 20);
    process.signal("TERM");
    let (status, log) = process.wait(LIMIT);
    assert_eq!(status.code(), Some(1), "{log}");
}

#[test]
fn what_is_cut_off_at_the_deadline_is_said() {
    let (topic, files) = (broker().topic(1), Files::new());
    let sink = CheckingSink::start(Faults {
        answer: Answer::Stall,
        ..Faults::default()
    });
    broker().produce(&topic, &["a"], 0..1);
    let config = format!(
        "pipelines:\n{}",
        pipeline("orders", &topic, &sink.url(), "")
    );
    let process = run(
        &files,
        &config,
        &["--grace", "500ms", "--listen", "127.0.0.1:0"],
    );
    sink.wait(LIMIT, |report| report.attempts == 1);
    process.signal("TERM");
    let (status, log) = process.wait(LIMIT);
    assert_eq!(status.code(), Some(3), "{log}");
}

#[test]
fn a_second_signal_stops_at_once() {
    let (topic, files) = (broker().topic(1), Files::new());
    let sink = CheckingSink::start(Faults {
        answer: Answer::Stall,
        ..Faults::default()
    });
    broker().produce(&topic, &["a"], 0..1);
    let config = format!(
        "pipelines:\n{}",
        pipeline("orders", &topic, &sink.url(), "")
    );
    let process = run(
        &files,
        &config,
        &["--grace", "10m", "--listen", "127.0.0.1:0"],
    );
    sink.wait(LIMIT, |report| report.attempts == 1);
    process.signal("TERM");
    logged(&process, &["stopping"]);
    process.signal("TERM");
    assert_eq!(process.wait(LIMIT).0.code(), Some(4));
}
