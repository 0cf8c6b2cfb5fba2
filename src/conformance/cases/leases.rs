use std::time::Duration;

use tokio::time::Instant;

use super::super::{
    reader::{Got, PLENTY, Reader, numbers, settle},
    stage::{Stage, Verdict, ensure},
};
use crate::{ErrorKind, source::Action};

/// A message whose lease runs out comes again, not much before and as a later attempt.
pub(super) async fn redelivers_when_a_lease_ends(stage: &Stage<'_>) -> Verdict {
    stage.produce(0..1).await?;
    let mut reader = stage.open().await?;
    let lease = lease(stage);
    let first = one(&mut reader, Duration::ZERO).await?;
    let came = Instant::now();
    let second = one(&mut reader, lease).await?;
    let after = Instant::now().saturating_duration_since(came);
    ensure!(
        after >= lease / 2,
        "a lease of {lease:?} ended after {after:?}"
    );
    later(&first, &second)?;
    reader.close().await
}

/// After its lease has run out, a message can't be settled under the old receipt; others in the
/// same call can.
pub(super) async fn fences_ended_leases(stage: &Stage<'_>) -> Verdict {
    stage.produce(0..2).await?;
    let mut reader = stage.open().await?;
    let patience = reader.patience();
    let old = reader.read(2).await?;
    let new = reader.read_as(2, PLENTY, lease(stage) + patience).await?;
    let find = |read: &[Got], number| read.iter().find(|got| got.number == number).cloned();
    let (Some(ended), Some(held)) = (find(&old, 0), find(&new, 1)) else {
        let numbers = (numbers(&old), numbers(&new));
        return Err(format!("0 and 1 came not twice, but as {numbers:?}").into());
    };
    let both = vec![
        ended.settlement(Action::Done),
        held.settlement(Action::Done),
    ];
    let settled = settle(&*reader.settler(), both, patience).await??;
    let failed: Vec<_> = settled
        .failed
        .iter()
        .map(|(of, error)| (*of, error.kind()))
        .collect();
    ensure!(
        failed == [(ended.delivery.receipt, ErrorKind::Fenced)],
        "{} has to fail as fenced, and {} not; what failed was {failed:?}",
        ended.delivery.receipt,
        held.delivery.receipt
    );
    let third = one(&mut reader, lease(stage)).await?;
    ensure!(
        third.number == 0,
        "message 1 was done and 0 was not, and then {} came",
        third.number
    );
    reader.close().await
}

/// A lease that was extended lasts longer, and the message can be settled all that time.
pub(super) async fn keeps_extended_leases(stage: &Stage<'_>) -> Verdict {
    stage.produce(0..1).await?;
    let mut reader = stage.open().await?;
    let lease = lease(stage);
    let got = one(&mut reader, Duration::ZERO).await?;
    reader
        .carried_out(vec![got.settlement(Action::Extend { by: lease * 4 })])
        .await?;
    reader.expect_nothing(PLENTY, lease * 2).await?;
    reader.done(&[got]).await?;
    reader.close().await
}

/// A released message comes again after its delay: not before, and soon after; its receipt is dead
/// at once.
pub(super) async fn releases_when_told(stage: &Stage<'_>) -> Verdict {
    stage.produce(0..1).await?;
    let mut reader = stage.open().await?;
    let delay = stage.traits.timing.release;
    let first = one(&mut reader, Duration::ZERO).await?;
    keep_long(&mut reader, stage, std::slice::from_ref(&first)).await?;
    let released = Instant::now();
    reader
        .carried_out(vec![first.settlement(Action::Release { after: delay })])
        .await?;
    reader
        .refused(first.settlement(Action::Done), ErrorKind::Fenced)
        .await?;
    let second = one(&mut reader, delay).await?;
    let after = Instant::now().saturating_duration_since(released);
    // Brokers that count whole seconds on a clock of their own round a little off.
    ensure!(
        after >= delay.mul_f64(0.9),
        "a release for {delay:?} ended after {after:?}"
    );
    later(&first, &second)?;

    keep_long(&mut reader, stage, std::slice::from_ref(&second)).await?;
    let at_once = Action::Release {
        after: Duration::ZERO,
    };
    reader.carried_out(vec![second.settlement(at_once)]).await?;
    let third = one(&mut reader, Duration::ZERO).await?;
    later(&second, &third)?;

    // Which attempt that is depends on the broker.
    keep_long(&mut reader, stage, std::slice::from_ref(&third)).await?;
    reader
        .carried_out(vec![third.settlement(Action::GiveBack)])
        .await?;
    let fourth = one(&mut reader, Duration::ZERO).await?;
    ensure!(
        fourth.number == third.number && fourth.delivery.attempt >= third.delivery.attempt,
        "message {} was given back as attempt {}, and {} came as attempt {}",
        third.number,
        third.delivery.attempt,
        fourth.number,
        fourth.delivery.attempt
    );
    reader.close().await
}

/// Makes leases last so long that what comes within the patience does not come because they end.
pub(super) async fn keep_long(
    reader: &mut Reader<'_>,
    stage: &Stage<'_>,
    messages: &[Got],
) -> Verdict {
    let (lease, patience) = (lease(stage), reader.patience());
    if lease.is_zero() || !stage.traits.capability.extend {
        return Ok(());
    }
    let extend = |got: &Got| {
        got.settlement(Action::Extend {
            by: lease + patience * 2,
        })
    };
    reader
        .carried_out(messages.iter().map(extend).collect())
        .await
}

/// The next message, which may take so much longer than the patience.
async fn one(reader: &mut Reader<'_>, longer: Duration) -> Verdict<Got> {
    let patience = longer + reader.patience();
    let mut read = reader.read_as(1, PLENTY, patience).await?;
    read.pop().ok_or_else(|| "no message came".into())
}

fn later(first: &Got, second: &Got) -> Verdict {
    let (old, new) = (&first.delivery, &second.delivery);
    ensure!(
        first.number == second.number,
        "{} came instead of {}",
        second.number,
        first.number
    );
    ensure!(
        new.attempt > old.attempt,
        "a redelivery came as attempt {} after attempt {}",
        new.attempt,
        old.attempt
    );
    ensure!(
        new.receipt != old.receipt,
        "a redelivery came with the old receipt {}",
        old.receipt
    );
    Ok(())
}

fn lease(stage: &Stage<'_>) -> Duration {
    stage.traits.capability.lease.unwrap_or_default()
}
