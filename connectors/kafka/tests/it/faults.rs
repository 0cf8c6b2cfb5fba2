//! A broker that hangs, dies and comes back.

use std::time::Duration;

use eventlane::{ErrorKind, Source, source::Receipt};
use eventlane_testkit::{Kafka, kafka::Options};
use tokio::time::Instant;

use crate::support::{Reader, config, offsets, produce};

#[tokio::test]
async fn a_broker_that_hangs_hangs_nobody() {
    let Some(kafka) = Kafka::start_or_skip(Options::default()) else {
        return;
    };
    let topic = kafka.topic(1);
    produce(&kafka, &topic, 0, 0..10);
    let config = config(&kafka, "hangs", &topic)
        .with_settle_timeout(Duration::from_secs(1))
        .with_close_timeout(Duration::from_secs(2));
    let mut reader = Reader::open(config.clone()).await;
    let receipt = reader.read(10).await[0].receipt;
    reader
        .settle(Receipt { seq: 1, ..receipt }, &[])
        .await
        .unwrap();

    kafka.pause(1);
    for seq in 2..4 {
        let start = Instant::now();
        let error = reader
            .settle(Receipt { seq, ..receipt }, &[])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            start.elapsed() < Duration::from_millis(1500),
            "{:?}",
            start.elapsed()
        );
    }
    kafka.resume(1);
    // The newest of what was asked for is committed once it answers.
    let start = Instant::now();
    while reader
        .settle(Receipt { seq: 5, ..receipt }, &[])
        .await
        .is_err()
    {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(kafka.committed("hangs", &topic), [Some(5)]);

    kafka.pause(1);
    assert!(
        reader
            .settle(Receipt { seq: 6, ..receipt }, &[])
            .await
            .is_err()
    );
    let start = Instant::now();
    let closed = reader.source.close().await;
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(closed.unwrap_err().kind(), ErrorKind::Unavailable);
    let late = reader.settler.settle(Vec::new()).await;
    assert!(late.is_err() || late.is_ok_and(|settled| settled.failed.is_empty()));
    kafka.resume(1);
}

#[tokio::test]
async fn a_broker_that_dies_and_comes_back_is_found_again() {
    let Some(kafka) = Kafka::start_or_skip(Options::default()) else {
        return;
    };
    let topic = kafka.topic(1);
    produce(&kafka, &topic, 0, 0..5);
    let mut reader = Reader::open(config(&kafka, "dies", &topic)).await;
    let receipt = reader.read(5).await[0].receipt;
    kafka.kill(1);
    let error = reader
        .settle(Receipt { seq: 5, ..receipt }, &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    kafka.revive(1);
    produce(&kafka, &topic, 0, 5..8);
    // The partition may have been lost meanwhile, and then begins where the group has committed: at
    // the beginning, unless what was asked for above was carried out after all.
    let mut seen = Vec::new();
    while seen.last() != Some(&7) {
        seen.extend(offsets(&reader.read(1).await));
    }
    assert!(
        seen.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "{seen:?}"
    );
    assert!([0, 5].contains(&seen[0]), "{seen:?}");
    let (partition, epoch) = reader.partition(0);
    let start = Instant::now();
    while reader
        .settle(
            Receipt {
                partition,
                epoch,
                seq: 8,
            },
            &[],
        )
        .await
        .is_err()
    {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    reader.close().await;
    assert_eq!(kafka.lag("dies", &topic), 0);
}
