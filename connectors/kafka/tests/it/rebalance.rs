//! Partitions that go from one consumer to another.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use eventlane::{
    ErrorKind, Event, Pipeline, Source,
    sink::FunctionSink,
    source::{Demand, Receipt, Signal},
};
use eventlane_kafka::{Assignor, GroupProtocol, KafkaConfig, KafkaSource};
use eventlane_testkit::{Kafka, eventually, kafka::Keys};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

use crate::support::{PATIENCE, PLENTY, Reader, config, keep_log, log, offsets, produce, special};

/// What a common sink has seen of each key: the numbers in their order.
type Seen = Arc<Mutex<HashMap<String, Vec<u64>>>>;

struct Running {
    stop: oneshot::Sender<()>,
    pipeline: JoinHandle<eventlane::Report>,
}

impl Running {
    async fn start(config: KafkaConfig, seen: &Seen) -> Self {
        let source = KafkaSource::connect(config).await.unwrap();
        let seen = Arc::clone(seen);
        let sink = FunctionSink::new(move |event: Event| {
            let seen = Arc::clone(&seen);
            async move {
                // Long enough that something is in flight whenever partitions move.
                tokio::time::sleep(Duration::from_millis(5)).await;
                let data: serde_json::Value =
                    serde_json::from_slice(event.data().unwrap().as_bytes()).unwrap();
                let key = data["key"].as_str().unwrap().to_owned();
                seen.lock()
                    .unwrap()
                    .entry(key)
                    .or_default()
                    .push(data["seq"].as_u64().unwrap());
            }
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let pipeline = Pipeline::new(source, sink).with_commit_interval(Duration::from_millis(200));
        let pipeline = tokio::spawn(async move {
            pipeline
                .run_until(async { drop(stopped.await) })
                .await
                .expect("runs")
        });
        Self { stop, pipeline }
    }

    async fn stop(self) -> eventlane::Report {
        self.stop.send(()).unwrap();
        self.pipeline.await.unwrap()
    }
}

/// Three times a second consumer comes and goes while records flow.
async fn others_come_and_go(group: &str, tune: impl Fn(KafkaConfig) -> KafkaConfig) {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    keep_log();
    let topic = kafka.topic(4);
    let seen = Seen::default();
    let config = tune(config(kafka, group, &topic));
    let first = Running::start(config.clone(), &seen).await;

    let (done, mut finished) = oneshot::channel();
    let to = topic.clone();
    let producing = std::thread::spawn(move || {
        let mut producer = kafka.producer(&to, Keys::InTurn(50));
        while !matches!(finished.try_recv(), Ok(())) {
            producer.send_at_rate(500, 100, Duration::from_millis(200));
        }
        producer.flush();
        producer.sent().to_vec()
    });
    for _ in 0..3 {
        let second = Running::start(config.clone(), &seen).await;
        // Until it has something to do, and then a little longer.
        let before = seen.lock().unwrap().values().map(Vec::len).sum::<usize>();
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let report = second.stop().await;
        assert!(
            report.delivered > 0,
            "the second had nothing to do: {report}"
        );
        let after = seen.lock().unwrap().values().map(Vec::len).sum::<usize>();
        assert!(after > before);
    }
    done.send(()).unwrap();
    let sent = tokio::task::spawn_blocking(|| producing.join().unwrap())
        .await
        .unwrap();
    let total: u64 = sent.iter().sum();
    let end = Instant::now() + PATIENCE;
    loop {
        let delivered: usize = seen.lock().unwrap().values().map(Vec::len).sum();
        if delivered as u64 >= total && kafka.lag(group, &topic) == 0 {
            break;
        }
        assert!(
            Instant::now() < end,
            "{delivered} of {total} came, lag {}",
            kafka.lag(group, &topic)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    first.stop().await;

    let seen = seen.lock().unwrap();
    for (at, count) in sent.iter().enumerate() {
        // In order, nothing lost, nothing twice: everything could be drained in time.
        let expected: Vec<_> = (0..*count).collect();
        assert_eq!(seen[&format!("k{at}")], expected, "key {at}: {}", log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_come_and_go_under_cooperative_sticky() {
    others_come_and_go("come-and-go-cooperative", |config| config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_come_and_go_under_range() {
    others_come_and_go("come-and-go-range", |config| {
        config.with_assignor(Assignor::Range)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_come_and_go_under_the_consumer_protocol() {
    let tune = |config: KafkaConfig| config.with_protocol(GroupProtocol::Consumer);
    others_come_and_go("come-and-go-consumer", tune).await;
}

#[tokio::test]
async fn a_partition_stays_until_the_engine_lets_go() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    for (name, tune) in [
        (
            "stays-cooperative",
            (|config| config) as fn(KafkaConfig) -> KafkaConfig,
        ),
        ("stays-range", |config| {
            config.with_assignor(Assignor::Range)
        }),
        ("stays-consumer", |config| {
            config.with_protocol(GroupProtocol::Consumer)
        }),
    ] {
        let topic = kafka.topic(2);
        produce(kafka, &topic, 0, 0..10);
        produce(kafka, &topic, 1, 0..10);
        let config = tune(config(kafka, name, &topic));
        let mut first = Reader::open(config.clone()).await;
        first.read(20).await;
        let old: Vec<_> = first.assigned.clone();
        let mut second = Reader::open(config).await;
        let revocation = first.wait_revoking().await;
        // Nothing of it is with the second yet, and while the first has it, it can be settled.
        assert!(
            second
                .signal(PLENTY, Duration::from_millis(300))
                .await
                .is_none(),
            "{name}"
        );
        for assignment in &old {
            if revocation.partitions.contains(&assignment.partition) {
                let number: i32 = assignment.name.rsplit('/').next().unwrap().parse().unwrap();
                let (partition, epoch) = (assignment.partition, assignment.epoch);
                first
                    .settle(
                        Receipt {
                            partition,
                            epoch,
                            seq: 7,
                        },
                        &[],
                    )
                    .await
                    .unwrap();
                assert_eq!(
                    kafka.committed(name, &topic)[number as usize],
                    Some(7),
                    "{name}"
                );
            }
        }
        drop(revocation);
        // Both have to poll: an eager assignor gives to both anew.
        let mut came = Vec::new();
        let end = Instant::now() + PATIENCE;
        while !came.contains(&7) {
            assert!(Instant::now() < end, "{name}: {came:?}");
            if let Some(Signal::Deliveries(deliveries)) =
                second.signal(PLENTY, Duration::from_millis(50)).await
            {
                came.extend(deliveries.iter().map(|delivery| delivery.receipt.seq));
            }
            first.signal(Demand::NONE, Duration::from_millis(10)).await;
        }
        assert_eq!(
            came[0], 7,
            "{name}: what was settled during the revocation counts"
        );
        // What is settled late fails, and changes nothing.
        for Assigned { partition, epoch } in gone(&old, &first) {
            let late = first
                .settle(
                    Receipt {
                        partition,
                        epoch,
                        seq: 9,
                    },
                    &[],
                )
                .await;
            assert_eq!(late.unwrap_err().kind(), ErrorKind::Fenced, "{name}");
        }
        assert!(
            kafka
                .committed(name, &topic)
                .iter()
                .all(|offset| *offset != Some(9)),
            "{name}"
        );
        second.close().await;
        first.close().await;
    }
}

struct Assigned {
    partition: eventlane::source::Partition,
    epoch: u32,
}

/// Assignments that are over.
fn gone<'a>(
    old: &'a [eventlane::source::Assignment],
    reader: &'a Reader,
) -> impl Iterator<Item = Assigned> + 'a {
    old.iter()
        .filter(|old| {
            !reader
                .assigned
                .iter()
                .any(|new| (new.partition, new.epoch) == (old.partition, old.epoch))
        })
        .map(|old| Assigned {
            partition: old.partition,
            epoch: old.epoch,
        })
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(2);
    produce(kafka, &topic, 0, 0..5);
    produce(kafka, &topic, 1, 0..5);
    let config = config(kafka, "deadline", &topic).with_drain(Duration::from_secs(1));
    let mut first = Reader::open(config.clone()).await;
    first.read(10).await;
    let mut second = Reader::open(config).await;
    let revocation = first.wait_revoking().await;
    let start = Instant::now();
    // Never let go.
    second.read(5).await;
    assert!(
        start.elapsed() > Duration::from_millis(800),
        "{:?}",
        start.elapsed()
    );
    let gone = revocation.partitions[0];
    let late = first
        .settle(
            Receipt {
                partition: gone,
                epoch: 1,
                seq: 1,
            },
            &[],
        )
        .await;
    let late_too = first
        .settle(
            Receipt {
                partition: gone,
                epoch: 2,
                seq: 1,
            },
            &[],
        )
        .await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(late_too.unwrap_err().kind(), ErrorKind::Fenced);
    // The partition that stayed is not touched by any of this.
    let stayed = first.assigned[0].clone();
    let receipt = Receipt {
        partition: stayed.partition,
        epoch: stayed.epoch,
        seq: 5,
    };
    first.settle(receipt, &[]).await.unwrap();
    drop(revocation);
    second.close().await;
    first.close().await;
}

/// librdkafka pauses all partitions while it waits for some to be given up, also those that stay.
/// What comes just then must not be skipped.
#[tokio::test]
async fn what_stays_misses_nothing_meanwhile() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(2);
    let config = config(kafka, "stays", &topic);
    let mut first = Reader::open(config.clone()).await;
    first.wait_assigned(2).await;
    produce(kafka, &topic, 0, 0..1);
    produce(kafka, &topic, 1, 0..1);
    first.read(2).await;
    let second = Reader::open(config).await;
    let revocation = first.wait_revoking().await;
    produce(kafka, &topic, 0, 1..3);
    produce(kafka, &topic, 1, 1..3);
    let gone = revocation.partitions.clone();
    drop(revocation);
    let read = first.read(2).await;
    assert_eq!(offsets(&read), [1, 2]);
    assert!(
        read.iter()
            .all(|delivery| !gone.contains(&delivery.receipt.partition))
    );
    second.close().await;
    first.close().await;
}

#[tokio::test]
async fn an_instance_id_is_used_once() {
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(2);
    produce(kafka, &topic, 0, 0..1);
    let config = config(kafka, "instance", &topic).with_instance_id("one");
    let mut first = Reader::open(config.clone()).await;
    let receipt = first.read(1).await[0].receipt;
    let mut second = Reader::open(config).await;
    second.wait_assigned(2).await;
    // Told at the next word with the coordinator at the latest.
    let settled = first.settle(Receipt { seq: 1, ..receipt }, &[]).await;
    assert!(settled.is_err());
    let end = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < end);
        if let Err(error) = first.source.poll(Demand::NONE).await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(error.to_string().contains("instance id"), "{error}");
    drop(first);
    second.close().await;
}

#[tokio::test]
async fn a_consumer_without_partitions_says_so() {
    keep_log();
    let Some(kafka) = special() else { return };
    let topic = kafka.topic(1);
    // This broker does not know the protocol, and says nothing.
    let config = config(kafka, "silent", &topic)
        .with_protocol(GroupProtocol::Consumer)
        .with_assignment_warning(Duration::from_secs(1));
    let source = KafkaSource::connect(config).await.expect("connects");
    eventually(PATIENCE, "a warning", || {
        let log = log();
        let said = log.lines().any(|line| {
            line.contains("WARN")
                && line.contains("no partition assigned")
                && line.contains("silent")
        });
        said.then_some(())
    });
    drop(source);
}
