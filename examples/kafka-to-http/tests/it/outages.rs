//! Brokers hang and die, the network breaks.

use std::{thread, time::Duration};

use eventlane_testkit::{
    CheckingSink, Kafka,
    kafka::{Keys, Options},
    sink::Faults,
};
use tokio::time::Instant;

use crate::adapter::{self, LIMIT};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_only_broker_hangs_and_dies_and_comes_back() {
    let Some(kafka) = Kafka::start_or_skip(Options::default()) else {
        return;
    };
    let topic = kafka.topic(4);
    let sink = CheckingSink::start(Faults {
        delay: seconds(0)..Duration::from_millis(10),
        ..Faults::default()
    });
    let adapter = adapter::on(&kafka, &topic, &sink.url(), &["--grace", "8"]);
    let mut producer = kafka.producer(&topic, Keys::InTurn(100));
    let mut carried = |phase: &str| {
        producer.send(5_000, 100);
        producer.flush();
        sink.wait(LIMIT, |seen| seen.distinct == producer.total());
        eprintln!("{phase}: {} duplicates", sink.report().duplicates);
        producer.total()
    };
    carried("at first");

    kafka.pause(1);
    thread::sleep(seconds(20));
    kafka.resume(1);
    carried("after the broker hung");

    kafka.kill(1);
    thread::sleep(seconds(2));
    kafka.revive(1);
    let total = carried("after the broker died");
    let seen = sink.report();
    // A group that the broker has thrown out starts again where it last committed.
    seen.assert_in_order(2);
    assert_eq!(seen.distinct, total);

    kafka.pause(1);
    let asked = Instant::now();
    adapter.process.signal("TERM");
    let (_, stderr) = adapter.process.wait(LIMIT);
    let took = asked.elapsed();
    kafka.resume(1);
    assert!(
        took < seconds(8 + 2),
        "with a broker that hangs the stop took {took:?}\n{stderr}"
    );
    let report = adapter::on(&kafka, &topic, &sink.url(), &["--until-idle", "2"]).finish();
    assert_eq!(report.unsettled, 0, "{report:?}");
    assert_eq!(kafka.lag(&topic, &topic), 0);
    sink.report().assert_in_order(3);
}

#[test]
fn one_of_three_brokers_dies_and_the_network_is_cut() {
    let options = Options {
        three_nodes: true,
        proxied: true,
        ..Options::default()
    };
    let Some(kafka) = Kafka::start_or_skip(options) else {
        return;
    };
    let topic = kafka.topic(6);
    let sink = CheckingSink::start(Faults {
        delay: seconds(0)..Duration::from_millis(10),
        ..Faults::default()
    });
    let adapter = adapter::start(
        &kafka.proxied_bootstrap(),
        &topic,
        "outages",
        &sink.url(),
        &["--grace", "10"],
    );
    let mut producer = kafka.producer(&topic, Keys::InTurn(100));
    let total = thread::scope(|scope| {
        let produced = scope.spawn(|| {
            producer.send_at_rate(400, 100, seconds(30));
            producer.flush();
            producer.total()
        });
        sink.wait(LIMIT, |seen| seen.distinct > 500);
        kafka.kill(1);
        let then = sink.report().distinct;
        sink.wait(LIMIT, |seen| seen.distinct > then + 2_000);
        kafka.revive(1);
        kafka.cut();
        thread::sleep(seconds(3));
        kafka.restore();
        produced.join().expect("the producer does not panic")
    });
    sink.wait(LIMIT, |seen| seen.distinct == total);
    let report = adapter.stop();
    assert_eq!(
        (report.unsettled, report.hard_stopped),
        (0, false),
        "{report:?}"
    );
    sink.report().assert_in_order(3);
    assert_eq!(kafka.lag("outages", &topic), 0);
}
