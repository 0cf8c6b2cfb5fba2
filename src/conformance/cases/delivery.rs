use std::{
    collections::BTreeSet,
    future::{Future, poll_fn},
    task::Poll,
    time::Duration,
};

use tokio::{
    pin,
    task::yield_now,
    time::{Instant, sleep},
};

use super::super::{
    Order,
    reader::{Got, News, PLENTY, Reader, numbers, sorted_numbers},
    stage::{Stage, Verdict, ensure, key_of},
};
use crate::source::Demand;

/// What was produced before the source opened and while it was open comes, once, with its key, and
/// nothing else.
pub(super) async fn delivers_all(stage: &Stage<'_>) -> Verdict {
    const KEYS: u32 = 7;
    stage.produce_with_keys(0..50, KEYS).await?;
    let mut reader = stage.open().await?;
    let mut got = reader.read_and_settle(50, PLENTY).await?;
    stage.produce_with_keys(50..100, KEYS).await?;
    got.extend(reader.read_and_settle(50, PLENTY).await?);
    let came = sorted_numbers(&got);
    ensure!(
        came.iter().copied().eq(0..100),
        "0 to 99 were produced, {came:?} came"
    );
    for Got { number, delivery } in &got {
        let key = key_of(*number, KEYS);
        ensure!(
            !stage.traits.keeps_keys || delivery.key.as_deref() == Some(key.as_bytes()),
            "message {number} came with the key {:?} instead of {key:?}",
            delivery.key
        );
        // A later attempt that comes first: the broker handed the message out, and the source lost
        // it.
        ensure!(
            delivery.attempt == 1,
            "message {number} came as attempt {}, though it never came before",
            delivery.attempt
        );
    }
    reader
        .expect_nothing(PLENTY, stage.traits.timing.quiet)
        .await?;
    reader.close().await
}

/// Messages of one partition (or at least of one key, as the harness says) come in the order in
/// which they were produced.
pub(super) async fn keeps_order(stage: &Stage<'_>) -> Verdict {
    const KEYS: u32 = 6;
    stage.produce_with_keys(0..30, KEYS).await?;
    let mut reader = stage.open().await?;
    stage.produce_with_keys(30..60, KEYS).await?;
    let got = reader
        .read_and_settle(
            60,
            Demand {
                records: 7,
                ..PLENTY
            },
        )
        .await?;
    let by_partition = stage.traits.order == Order::Partition;
    for key in 0..KEYS {
        let keyed = |got: &Got| got.number % KEYS == key;
        let Some(first) = got.iter().find(|&got| keyed(got)) else {
            continue;
        };
        let same = |got: &Got| match by_partition {
            true => got.delivery.receipt.partition == first.delivery.receipt.partition,
            false => keyed(got),
        };
        let came: Vec<_> = got.iter().filter(|&got| same(got)).cloned().collect();
        let came = numbers(&came);
        ensure!(
            came.is_sorted(),
            "messages that belong in order came as {came:?}"
        );
    }
    reader.close().await
}

/// When a source is dropped, what it had not settled comes again, to the next one.
pub(super) async fn redelivers_what_was_abandoned(stage: &Stage<'_>) -> Verdict {
    stage.produce_to_both(0..10).await?;
    let mut first = stage.open().await?;
    first.read(10).await?;
    drop(first);
    let mut second = stage.open().await?;
    let wait = after_a_crash(&second, stage);
    let got = second.read_as(10, PLENTY, wait).await?;
    let came = sorted_numbers(&got);
    ensure!(
        came.iter().copied().eq(0..10),
        "0 to 9 were abandoned, {came:?} came again"
    );
    for Got { number, delivery } in &got {
        ensure!(
            delivery.lease.is_none() || delivery.attempt > 1,
            "message {number} came again, but as attempt {}",
            delivery.attempt
        );
    }
    second.close().await
}

/// How long it may take until what a vanished source had comes again.
pub(super) fn after_a_crash(reader: &Reader<'_>, stage: &Stage<'_>) -> Duration {
    let lease = stage.traits.capability.lease.unwrap_or_default();
    reader.patience() + stage.traits.timing.recovery + lease
}

/// Polls that are dropped at any moment, while messages arrive, lose none.
pub(super) async fn loses_nothing_when_polls_are_dropped(stage: &Stage<'_>) -> Verdict {
    const MESSAGES: u32 = 120;
    let mut reader = stage.open().await?;
    let producing = async {
        for start in (0..MESSAGES).step_by(8) {
            stage.produce_to_both(start..start + 8).await?;
            sleep(Duration::from_millis(2)).await;
        }
        Verdict::Ok(())
    };
    let reading = async {
        let mut random = fastrand::Rng::with_seed(1);
        let shortest = Duration::from_millis(2);
        // Grows while nothing comes: a source may need some time undisturbed.
        let mut longest = shortest;
        let mut came = BTreeSet::new();
        let mut until = Instant::now() + reader.patience();
        while came.len() < MESSAGES as usize {
            let missing: Vec<_> = (0..MESSAGES)
                .filter(|number| !came.contains(number))
                .collect();
            ensure!(Instant::now() < until, "{missing:?} never came");
            let demand = Demand {
                records: random.usize(1..5),
                ..PLENTY
            };
            let next = reader.next(demand, Instant::now() + longest.mul_f64(random.f64()));
            // By the clock, or at one of the very first points where it waits.
            let polled = match random.bool() {
                true => next.await?,
                false => drop_after(random.usize(1..4), next)
                    .await
                    .transpose()?
                    .flatten(),
            };
            let Some(News::Messages(got)) = polled else {
                longest = (longest * 5 / 4).min(Duration::from_secs(1));
                yield_now().await;
                continue;
            };
            longest = shortest;
            until = Instant::now() + reader.patience();
            reader.done(&got).await?;
            for Got { number, delivery } in got {
                ensure!(
                    !came.insert(number) || delivery.attempt == 1,
                    "message {number} came to nobody at first: this is attempt {}",
                    delivery.attempt
                );
            }
        }
        Verdict::Ok(())
    };
    futures_util::try_join!(producing, reading)?;
    reader.close().await
}

/// Drops a future when it has been polled so often without being ready.
async fn drop_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        left = left.saturating_sub(1);
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
