//! The kit's Kafka: that it does what it says, and that nothing of it stays behind.

use std::{
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use eventlane_testkit::{
    Kafka, Process, eventually,
    kafka::{Keys, Options},
};

const CHILD: &str = "EVENTLANE_TESTKIT_CHILD";
const LIMIT: Duration = Duration::from_secs(30);

fn is_open(bootstrap: &str) -> bool {
    let address: SocketAddr = bootstrap.split(',').next().unwrap().parse().unwrap();
    TcpStream::connect(address).is_ok()
}

#[test]
fn keeps_records_through_a_crash_and_a_cut() {
    let Some(kafka) = Kafka::start_or_skip(Options {
        proxied: true,
        ..Options::default()
    }) else {
        return;
    };
    let topic = kafka.topic(3);
    kafka.produce(&topic, 100_000, 1_000, 100);
    assert_eq!(kafka.end_offsets(&topic).iter().sum::<i64>(), 100_000);
    assert_eq!(kafka.committed("nobody", &topic), [None; 3]);
    assert_eq!(kafka.lag("nobody", &topic), 100_000);

    kafka.kill(1);
    assert!(!is_open(&kafka.bootstrap()));
    kafka.revive(1);
    kafka.pause(1);
    kafka.resume(1);
    let mut producer = kafka.producer(&topic, Keys::Zipf(100));
    producer.send(1_000, 50);
    producer.flush();
    assert_eq!(kafka.end_offsets(&topic).iter().sum::<i64>(), 101_000);
    assert!(
        producer.sent()[0] > 100 && producer.sent()[99] < 20,
        "{:?}",
        producer.sent()
    );

    kafka.cut();
    eventually(LIMIT, "cut", || {
        (!is_open(&kafka.proxied_bootstrap())).then_some(())
    });
    kafka.restore();
    eventually(LIMIT, "restored", || {
        is_open(&kafka.proxied_bootstrap()).then_some(())
    });

    let bootstrap = kafka.bootstrap();
    drop(kafka);
    assert!(!is_open(&bootstrap));
}

#[test]
fn no_node_outlives_a_process_that_is_killed() {
    if std::env::var_os(CHILD).is_some() {
        let kafka = Kafka::start(Options::default());
        eprintln!("bootstrap {}", kafka.bootstrap());
        std::thread::park_timeout(LIMIT * 4);
        return;
    }
    // What the child needs is needed here too; the skip is announced once.
    if std::env::var("EVENTLANE_SKIP_REAL").is_ok_and(|value| value == "1") {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "no_node_outlives_a_process_that_is_killed",
        "--nocapture",
    ]);
    let process = Process::spawn({
        command.env(CHILD, "1").stdout(Stdio::null());
        command
    });
    let bootstrap = eventually(LIMIT * 4, "a cluster", || {
        let stderr = process.stderr();
        Some(
            stderr
                .lines()
                .find_map(|line| line.strip_prefix("bootstrap "))?
                .to_owned(),
        )
    });
    assert!(is_open(&bootstrap));
    process.signal("KILL");
    drop(process);
    eventually(LIMIT, "the end of the node", || {
        (!is_open(&bootstrap)).then_some(())
    });
}
