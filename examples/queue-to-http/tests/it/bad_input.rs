//! What can't work ends with one line that says what to do, before anything is received.

use eventlane_testkit::sqs::Ministack;

use crate::adapter::{LIMIT, start};

fn refused(flags: &[&str], said: &[&str]) {
    let process = start(
        flags
            .iter()
            .copied()
            .chain(["--sink", "http://127.0.0.1:1/"]),
    );
    let (status, stderr) = process.wait(LIMIT);
    assert_eq!(status.code(), Some(1), "{stderr}");
    let errors = stderr
        .lines()
        .filter(|line| line.starts_with("queue-to-http: "));
    let errors: Vec<_> = errors.collect();
    let [line] = errors[..] else {
        panic!("{stderr}");
    };
    let all = said.iter().all(|text| line.contains(text));
    assert!(all, "expected {said:?} in:\n{stderr}");
}

#[test]
fn flags_that_are_missing_or_wrong() {
    refused(&["--kind", "sqs"], &["--queue-url"]);
    refused(&["--kind", "mns"], &["--endpoint", "--queue"]);
    refused(&["--kind", "kafka"], &["kafka", "sqs", "mns"]);
    refused(
        &["--kind", "sqs", "--queue-url", "orders"],
        &["orders", "URL"],
    );
    let mns = [
        "--kind",
        "mns",
        "--endpoint",
        "http://127.0.0.1:1",
        "--queue",
        "q",
    ];
    refused(&[&mns[..], &["--wait", "31"]].concat(), &["wait", "30"]);
    refused(&[&mns[..], &["--sign", "v4"]].concat(), &["region"]);
}

#[test]
fn a_server_that_is_not_there() {
    let url = "http://127.0.0.1:1/000000000000/q";
    let sqs = [
        "--kind",
        "sqs",
        "--endpoint",
        "http://127.0.0.1:1",
        "--queue-url",
        url,
    ];
    refused(&sqs, &["127.0.0.1:1"]);
    let mns = [
        "--kind",
        "mns",
        "--endpoint",
        "http://127.0.0.1:1",
        "--queue",
        "q",
    ];
    refused(&mns, &["127.0.0.1:1"]);
}

#[test]
fn a_queue_that_is_not_there() {
    let Some(server) = Ministack::shared_or_skip() else {
        return;
    };
    let url = format!("{}/000000000000/nowhere", server.endpoint());
    let sqs = [
        "--kind",
        "sqs",
        "--endpoint",
        server.endpoint(),
        "--queue-url",
        &url,
    ];
    refused(&sqs, &["nowhere", "exist"]);
}
