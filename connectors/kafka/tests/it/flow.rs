//! Reading with pauses and with little demand.

use std::collections::HashMap;

use eventlane::{
    Source,
    source::{Demand, Partition, Signal},
};
use eventlane_testkit::Kafka;
use tokio::time::{Instant, timeout};

use crate::support::{PATIENCE, PLENTY, Reader, config, produce};

/// librdkafka throws away what it has fetched when a partition is paused, and fetches it again.
#[tokio::test]
async fn pauses_lose_nothing_and_repeat_nothing() {
    const RECORDS: u64 = 8_000;
    let Some(kafka) = Kafka::shared_or_skip() else {
        return;
    };
    let topic = kafka.topic(3);
    for partition in 0..3 {
        produce(kafka, &topic, partition, 0..RECORDS as u32);
    }
    let mut reader = Reader::open(config(kafka, "pauses", &topic)).await;
    let mut next: HashMap<Partition, u64> = HashMap::new();
    let mut paused: Vec<Partition> = Vec::new();
    // Whatever it is, it must hold; but a failure must come again.
    let mut random = 12_345_u64;
    let mut draw = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % below
    };
    let end = Instant::now() + PATIENCE;
    while next.values().sum::<u64>() < 3 * RECORDS {
        assert!(Instant::now() < end, "{next:?}, paused {paused:?}");
        match draw(6) {
            0 if paused.len() < 2 => {
                let partition = reader
                    .assigned
                    .get(draw(3) as usize)
                    .map(|one| one.partition);
                let partition = partition.filter(|partition| !paused.contains(partition));
                paused.extend(partition);
                reader.source.pause(partition.as_slice()).unwrap();
            }
            1 => {
                let partition = (!paused.is_empty()).then(|| paused.swap_remove(0));
                reader.source.resume(partition.as_slice()).unwrap();
            }
            _ => {}
        }
        let demand = match draw(4) {
            0 => Demand::NONE,
            1 => Demand {
                records: 1,
                ..PLENTY
            },
            _ => Demand {
                records: 1 + draw(500) as usize,
                ..PLENTY
            },
        };
        // Dropped now and then while it waits.
        let wait = std::time::Duration::from_millis(draw(20));
        let Some(signal) = reader.signal(demand, wait).await else {
            continue;
        };
        let Signal::Deliveries(deliveries) = signal else {
            continue;
        };
        assert!(deliveries.len() <= demand.records);
        for delivery in deliveries {
            let receipt = delivery.receipt;
            assert!(!paused.contains(&receipt.partition));
            let next = next.entry(receipt.partition).or_default();
            assert_eq!(receipt.seq, *next);
            *next += 1;
        }
    }
    let more = timeout(
        std::time::Duration::from_millis(300),
        reader.source.poll(PLENTY),
    )
    .await;
    assert!(!matches!(more, Ok(Ok(Signal::Deliveries(_)))), "{more:?}");
    reader.close().await;
}
