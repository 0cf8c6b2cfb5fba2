use super::super::{
    reader::{PLENTY, numbers, sorted_numbers},
    stage::{Stage, Verdict, ensure},
};
use crate::source::{Demand, Partition};

/// No poll returns more messages than were asked for.
pub(super) async fn caps_records(stage: &Stage<'_>) -> Verdict {
    stage.produce_to_both(0..30).await?;
    let mut reader = stage.open().await?;
    let mut came = Vec::new();
    for records in [1, 2, 7] {
        // A poll may bring fewer than it may, so a round may end above its ten.
        let count = 10.min(30_usize.saturating_sub(came.len()));
        came.extend(
            reader
                .read_as(count, Demand { records, ..PLENTY }, reader.patience())
                .await?,
        );
    }
    let left = 30_usize.saturating_sub(came.len());
    came.extend(reader.read(left).await?);
    let came = sorted_numbers(&came);
    ensure!(
        came.iter().copied().eq(0..30),
        "0 to 29 were produced, {came:?} came"
    );
    reader.close().await
}

/// No poll returns more bytes than were asked for, but always one message, however large.
pub(super) async fn caps_bytes(stage: &Stage<'_>) -> Verdict {
    stage.produce_to_both(0..20).await?;
    let mut reader = stage.open().await?;
    let patience = reader.patience();
    let mut came = reader
        .read_as(5, Demand { bytes: 1, ..PLENTY }, patience)
        .await?;
    let size = came
        .iter()
        .map(|got| got.delivery.event.size())
        .max()
        .unwrap_or_default();
    let bytes = size * 5 / 2;
    let left = 20_usize.saturating_sub(came.len());
    came.extend(
        reader
            .read_as(left, Demand { bytes, ..PLENTY }, patience)
            .await?,
    );
    let came = sorted_numbers(&came);
    ensure!(
        came.iter().copied().eq(0..20),
        "0 to 19 were produced, {came:?} came"
    );
    reader.close().await
}

/// Without demand nothing is delivered, but partitions are still assigned; nothing gets lost
/// meanwhile.
pub(super) async fn gives_nothing_without_demand(stage: &Stage<'_>) -> Verdict {
    stage.produce_to_both(0..6).await?;
    let mut reader = stage.open().await?;
    reader.expect_assignment().await?;
    let quiet = stage.traits.timing.quiet;
    for none in [
        Demand::NONE,
        Demand {
            records: 0,
            ..PLENTY
        },
        Demand { bytes: 0, ..PLENTY },
    ] {
        reader.expect_nothing(none, quiet).await?;
    }
    let came = sorted_numbers(&reader.read(6).await?);
    ensure!(
        came.iter().copied().eq(0..6),
        "0 to 5 were produced, {came:?} came"
    );
    reader.close().await
}

/// A paused partition delivers nothing until it is resumed, the others go on; what is not assigned
/// is ignored.
pub(super) async fn pauses_and_resumes(stage: &Stage<'_>) -> Verdict {
    stage.produce_to_both(0..8).await?;
    let mut reader = stage.open().await?;
    let got = reader.read(8).await?;
    let partition = |hint: u32| {
        let of = got.iter().find(|got| got.number % 2 == hint);
        of.map(|got| got.delivery.receipt.partition)
    };
    let (Some(paused), Some(other)) = (partition(0), partition(1)) else {
        return Err(format!("0 to 7 were produced, {:?} came", numbers(&got)).into());
    };
    reader.source.pause(&[Partition(u32::MAX), paused])?;
    stage.produce_to_both(8..16).await?;
    if other != paused {
        let came = numbers(&reader.read(4).await?);
        ensure!(
            came == [9, 11, 13, 15],
            "the other partition had 9, 11, 13, 15, but {came:?} came"
        );
    }
    reader
        .expect_nothing(PLENTY, stage.traits.timing.quiet)
        .await?;
    reader.source.resume(&[Partition(u32::MAX), paused])?;
    let (count, first) = if other == paused { (8, 8) } else { (4, 8) };
    let came = numbers(&reader.read(count).await?);
    ensure!(
        came.first() == Some(&first),
        "after the pause {came:?} came"
    );
    reader.close().await
}
