use std::future::Future;

use tokio::time::Instant;

use super::super::{
    reader::{Got, News, PLENTY, Reader, numbers},
    stage::{Stage, Verdict, ensure},
};
use crate::{ErrorKind, source::Demand};

/// Half of them in each of two partitions: the even and the odd ones.
const MESSAGES: u32 = 20;
const HALF: usize = MESSAGES as usize / 2;

/// Two sources of a group, after the second has taken a partition over from the first.
struct HandOver<'s> {
    from: Reader<'s>,
    to: Reader<'s>,
    /// What `from` had read: everything.
    read: Vec<Got>,
    /// What came to `to` already.
    arrived: Vec<Got>,
}

/// Whether `from` settles what is being revoked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settle {
    All,
    Nothing,
}

/// A partition that comes back to a source comes with a higher epoch.
pub(super) async fn epochs_rise(stage: &Stage<'_>) -> Verdict {
    let HandOver {
        mut from,
        mut to,
        read,
        arrived,
    } = hand_over(stage, Settle::Nothing).await?;
    let moved = whole_partition(&mut from, &mut to, arrived).await?;
    let again = come_back(&mut from, to, stage, &moved).await?;
    for new in &again {
        let old = read.iter().find(|old| old.number == new.number);
        let Some(old) = old.map(|old| old.delivery.receipt) else {
            continue;
        };
        let new = new.delivery.receipt;
        ensure!(
            old.partition == new.partition,
            "{old} came again in another partition: {new}"
        );
        ensure!(old.epoch < new.epoch, "{old} went and came again as {new}");
    }
    from.close().await
}

/// What was handed out before a partition went can't be settled after: it fails as fenced, and the
/// position stays.
pub(super) async fn fences_late_settlements(stage: &Stage<'_>) -> Verdict {
    let HandOver {
        mut from,
        mut to,
        read,
        arrived,
    } = hand_over(stage, Settle::Nothing).await?;
    let moved = whole_partition(&mut from, &mut to, arrived).await?;
    let late: Vec<_> = read
        .into_iter()
        .filter(|got| moved.contains(&got.number))
        .collect();
    for settlement in from.settlements(&late) {
        from.refused(settlement, ErrorKind::Fenced).await?;
    }
    come_back(&mut from, to, stage, &moved).await?;
    from.close().await
}

/// What is settled while a partition is being revoked counts: the next source begins behind it.
pub(super) async fn hands_over_what_was_settled(stage: &Stage<'_>) -> Verdict {
    let HandOver {
        mut from,
        mut to,
        arrived,
        ..
    } = hand_over(stage, Settle::All).await?;
    ensure!(
        arrived.is_empty(),
        "{:?} came again, though settled in time",
        numbers(&arrived)
    );
    stage.produce_to_both(MESSAGES..MESSAGES + 2).await?;
    let came = numbers(&attended(&mut from, to.read(1)).await?);
    ensure!(
        came.iter().all(|number| *number >= MESSAGES),
        "everything below {MESSAGES} was settled in time, and then {came:?} came"
    );
    to.close().await?;
    from.close().await
}

/// Lets one source read everything, and another one take over.
async fn hand_over<'s>(stage: &'s Stage<'_>, settle: Settle) -> Verdict<HandOver<'s>> {
    stage.produce_to_both(0..MESSAGES).await?;
    let mut from = stage.open().await?;
    let read = from.read(MESSAGES as usize).await?;
    let mut to = stage.open().await?;
    stage.rebalance().await?;
    let until = Instant::now() + from.patience() + stage.traits.timing.recovery;
    let mut arrived = Vec::new();
    while !to.rules.holds_any() {
        let news = tokio::select! {
            // News have to come even without demand.
            news = from.next(Demand::NONE, until) => news?,
            news = to.next(PLENTY, until) => match news? {
                Some(News::Messages(messages)) => {
                    arrived.extend(messages);
                    continue;
                }
                news => news,
            },
        };
        match news {
            Some(News::Revoking(revocation)) if settle == Settle::All => {
                let mut going = read.clone();
                going.retain(|got| {
                    revocation
                        .partitions
                        .contains(&got.delivery.receipt.partition)
                });
                from.done(&going).await?;
            }
            Some(_) => {}
            None => return Err("the second source was assigned nothing within the patience".into()),
        }
    }
    Ok(HandOver {
        from,
        to,
        read,
        arrived,
    })
}

/// Reads in `to` what is in the partition that it got, from the beginning, since nothing was
/// settled.
async fn whole_partition(
    from: &mut Reader<'_>,
    to: &mut Reader<'_>,
    mut arrived: Vec<Got>,
) -> Verdict<Vec<u32>> {
    let left = HALF.saturating_sub(arrived.len());
    arrived.extend(attended(from, to.read(left)).await?);
    let came = numbers(&arrived);
    let parity = came.first().map_or(0, |first| first % 2);
    ensure!(
        came.iter().copied().eq((parity..MESSAGES).step_by(2)),
        "one of two partitions was handed over, with nothing settled, and {came:?} came"
    );
    Ok(came)
}

/// Closes `to`; what it had and did not settle comes to `from` again.
async fn come_back(
    from: &mut Reader<'_>,
    to: Reader<'_>,
    stage: &Stage<'_>,
    moved: &[u32],
) -> Verdict<Vec<Got>> {
    attended(from, to.close()).await?;
    let wait = from.patience() + stage.traits.timing.recovery;
    let mut again = Vec::new();
    while again.len() < moved.len() {
        let read = from.read_as(1, PLENTY, wait).await.map_err(|violation| {
            format!(
                "{moved:?} came not all again, but {:?}: {violation}",
                numbers(&again)
            )
        })?;
        again.extend(read.into_iter().filter(|got| moved.contains(&got.number)));
    }
    let came = numbers(&again);
    ensure!(
        came == moved,
        "{moved:?} was handed over and came back as {came:?}"
    );
    Ok(again)
}

/// Keeps polling a source while something else is awaited, as an engine does.
async fn attended<T>(
    source: &mut Reader<'_>,
    other: impl Future<Output = Verdict<T>>,
) -> Verdict<T> {
    let patience = source.patience() * 10;
    tokio::select! {
        biased;
        done = other => done,
        polled = source.expect_nothing(Demand::NONE, patience) => {
            polled?;
            Err("the second source is stuck".into())
        }
    }
}
