//! The program, on a real RocketMQ and a checking endpoint.

use std::{process::Command, time::Duration};

use eventlane_rocketmq::{
    RocketMqConfig,
    client::{OutgoingMessage, Producer},
};
use eventlane_testkit::{
    CheckingSink, Process,
    rocketmq::{RocketMq, TopicType},
    sink::Faults,
};

const LIMIT: Duration = Duration::from_secs(120);
const GROUPS: u64 = 20;
const EACH: u64 = 25;

fn start(flags: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocketmq-to-http"));
    command.args(flags);
    Process::spawn(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn message_groups_arrive_in_order_through_failures_and_a_stop() {
    let Some(broker) = RocketMq::shared_or_skip() else {
        return;
    };
    broker.create_topic("lanes", TopicType::Fifo, 4);
    broker.create_group("carrier", true, 1000);
    let config = RocketMqConfig::new(broker.endpoint(), "");
    let producer = Producer::connect(&config, &["lanes"]).await.unwrap();
    for seq in 0..EACH {
        for group in 0..GROUPS {
            let key = format!("k{group}");
            let body = format!(r#"{{"key":"{key}","seq":{seq}}}"#);
            let message = OutgoingMessage::new(body).with_group(key);
            producer.send("lanes", &message).await.unwrap();
        }
    }
    let sink = CheckingSink::start(Faults {
        delay: Duration::from_millis(1)..Duration::from_millis(10),
        fail_first: 0.05,
        ..Faults::default()
    });
    let url = sink.url();
    let flags = [
        "--endpoint",
        broker.endpoint(),
        "--topic",
        "lanes",
        "--group",
        "carrier",
        "--sink",
        &url,
        "--wait",
        "5",
    ];
    let first = start(&flags);
    sink.wait(LIMIT, |seen| seen.distinct >= 150);
    first.signal("TERM");
    first.succeed(LIMIT);
    start(&[&flags[..], &["--until-idle", "12"]].concat()).succeed(LIMIT);
    let seen = sink.report();
    // What was acknowledged behind a message that was given back counts for nothing there.
    seen.assert_in_order(1);
    assert_eq!(seen.distinct, GROUPS * EACH, "{seen:#?}");
}

#[test]
fn what_can_not_work_ends_with_one_line() {
    for (flags, said) in [
        (&["--topic", "t", "--group", "g"][..], "--endpoint"),
        (
            &["--endpoint", "127.0.0.1:1", "--topic", "t", "--group", "g"],
            "127.0.0.1:1",
        ),
    ] {
        let process = start(&[flags, &["--sink", "http://127.0.0.1:1/"]].concat());
        let (status, stderr) = process.wait(LIMIT);
        assert_eq!(status.code(), Some(1), "{stderr}");
        let line = stderr.lines().last().unwrap_or_default();
        assert!(
            line.starts_with("rocketmq-to-http: ") && line.contains(said),
            "{stderr}"
        );
    }
}
