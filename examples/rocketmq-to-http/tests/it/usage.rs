//! What can not work.

use eventlane_testkit::rocketmq::{RocketMq, TopicType};

use crate::adapter::{LIMIT, start};

/// Ends with one line that says so.
fn refuses(flags: &[&str], said: &[&str]) {
    let process = start(&[flags, &["--sink", "http://127.0.0.1:1/"]].concat());
    let (status, stderr) = process.wait(LIMIT);
    assert_eq!(status.code(), Some(1), "{stderr}");
    let line = stderr.lines().last().unwrap_or_default();
    assert!(line.starts_with("rocketmq-to-http: "), "{stderr}");
    assert!(said.iter().all(|it| line.contains(it)), "{stderr}");
}

#[test]
fn flags_and_endpoints_are_named() {
    refuses(&["--topic", "t", "--group", "g"], &["--endpoint"]);
    let flags = ["--endpoint", "127.0.0.1:1", "--topic", "t", "--group", "g"];
    refuses(&flags, &["127.0.0.1:1"]);
}

#[test]
fn unknown_topics_groups_and_filters_are_named() {
    let Some(broker) = RocketMq::shared_or_skip() else {
        return;
    };
    broker.create_topic("known", TopicType::Normal, 1);
    broker.create_group("known", false, 16);
    let refuses = |topic: &str, group: &str, more: &[&str], said: &[&str]| {
        let endpoint = ["--endpoint", broker.endpoint()];
        let flags = ["--topic", topic, "--group", group];
        refuses(&[&endpoint, &flags[..], more].concat(), said);
    };
    refuses("no-such", "known", &[], &["no-such", "create the topic"]);
    refuses("known", "no-such", &[], &["group"]);
    let filter = ["--filter-sql", "a === b"];
    refuses("known", "known", &filter, &["known", "correct the filter"]);
    refuses("known", "known", &["--lease", "2"], &["lease"]);
}
