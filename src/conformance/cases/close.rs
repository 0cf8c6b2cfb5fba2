use super::{
    super::{
        reader::{PLENTY, refused, sorted_numbers},
        stage::{Stage, Verdict, ensure},
    },
    delivery::after_a_crash,
    leases::keep_long,
};
use crate::ErrorKind;

/// Closing gives back what is unsettled, without waiting for leases to end, and keeps what was
/// settled.
pub(super) async fn gives_back_when_closed(stage: &Stage<'_>) -> Verdict {
    stage.produce(0..9).await?;
    let mut first = stage.open().await?;
    let mut got = first.read(9).await?;
    got.sort_by_key(|got| got.number);
    let unsettled = got.split_off(3);
    first.done(&got).await?;
    keep_long(&mut first, stage, &unsettled).await?;
    first.close().await?;

    let mut second = stage.open().await?;
    let wait = if stage.traits.capability.extend {
        second.patience()
    } else {
        after_a_crash(&second, stage)
    };
    let came = sorted_numbers(&second.read_as(6, PLENTY, wait).await?);
    ensure!(
        came.iter().copied().eq(3..9),
        "3 to 8 were not settled, {came:?} came again"
    );
    second.close().await
}

/// After closing, settlements fail as fenced, and what they were to settle comes again.
pub(super) async fn fences_when_closed(stage: &Stage<'_>) -> Verdict {
    stage.produce(0..4).await?;
    let mut first = stage.open().await?;
    let got = first.read(4).await?;
    let (settler, late, patience) = (first.settler(), first.settlements(&got), first.patience());
    first.close().await?;
    for settlement in late {
        refused(&*settler, settlement, ErrorKind::Fenced, patience).await?;
    }

    let mut second = stage.open().await?;
    let again = second
        .read_as(4, PLENTY, after_a_crash(&second, stage))
        .await?;
    let came = sorted_numbers(&again);
    ensure!(
        came.iter().copied().eq(0..4),
        "0 to 3 were not settled, {came:?} came again"
    );
    second.close().await
}
