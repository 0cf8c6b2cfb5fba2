use std::time::Duration;

use tokio::pin;

use super::{
    super::{
        reader::{PLENTY, numbers, settle, sorted_numbers},
        stage::{Stage, Verdict, ensure},
    },
    delivery::after_a_crash,
};
use crate::{
    ErrorKind,
    source::{Action, Settlement, Settling},
};

/// A restart begins exactly at the position that was settled, in the middle and at the end.
pub(super) async fn settles_by_position(stage: &Stage<'_>) -> Verdict {
    stage.produce(0..10).await?;
    let mut first = stage.open().await?;
    let got = first.read(10).await?;
    let Some(fifth) = got.get(4) else {
        return Err("ten messages are fewer than five".into());
    };
    first.carried_out(vec![fifth.below()]).await?;
    first.close().await?;

    let mut second = stage.open().await?;
    let rest = second.read(6).await?;
    let came = numbers(&rest);
    ensure!(
        came == [4, 5, 6, 7, 8, 9],
        "0 to 3 of 0 to 9 were done, and then {came:?} came"
    );
    second.done(&rest).await?;
    second.close().await?;

    let mut third = stage.open().await?;
    stage.produce(10..11).await?;
    let came = numbers(&third.read(1).await?);
    ensure!(
        came == [10],
        "0 to 9 were done and 10 was new, and then {came:?} came"
    );
    third.close().await
}

/// What is done beyond a gap may be remembered or not; what is in the gap comes again.
pub(super) async fn commits_only_below_the_gap(stage: &Stage<'_>) -> Verdict {
    stage.produce(0..8).await?;
    let mut first = stage.open().await?;
    let got = first.read(8).await?;
    let [_, _, gap, _, from, to, ..] = got.as_slice() else {
        return Err("eight messages are fewer than six".into());
    };
    let beyond = from.delivery.receipt.seq..to.delivery.receipt.seq + 1;
    let action = Action::DoneBelow {
        beyond: vec![beyond],
    };
    first.carried_out(vec![gap.settlement(action)]).await?;
    first.close().await?;

    let mut second = stage.open().await?;
    let mut came = Vec::new();
    while !came.contains(&7) {
        let one = second.read(1).await;
        came.extend(numbers(
            &one.map_err(|violation| format!("after {came:?}: {violation}"))?,
        ));
    }
    came.retain(|number| ![4, 5].contains(number));
    ensure!(
        came == [2, 3, 6, 7],
        "0, 1, 4 and 5 of 0 to 7 were done, and then, apart from those, {came:?} came"
    );
    second.close().await
}

/// Each message is settled by itself, whatever the order; only the others come again.
pub(super) async fn settles_one_by_one(stage: &Stage<'_>) -> Verdict {
    stage.produce(0..6).await?;
    let mut first = stage.open().await?;
    let mut got = first.read(6).await?;
    got.retain(|got| got.number % 2 == 1);
    got.reverse();
    first.done(&got).await?;
    first.close().await?;

    let mut second = stage.open().await?;
    let rest = second
        .read_as(3, PLENTY, after_a_crash(&second, stage))
        .await?;
    let came = sorted_numbers(&rest);
    ensure!(
        came == [0, 2, 4],
        "1, 3 and 5 of 0 to 5 were done, and then {came:?} came"
    );
    second.done(&rest).await?;
    second.close().await?;

    let mut third = stage.open().await?;
    stage.produce(6..7).await?;
    let came = numbers(&third.read(1).await?);
    ensure!(
        came == [6],
        "0 to 5 were done and 6 was new, and then {came:?} came"
    );
    third.close().await
}

/// A poll that waits holds up no settlement.
pub(super) async fn settles_while_a_poll_waits(stage: &Stage<'_>) -> Verdict {
    stage.produce(0..1).await?;
    let mut reader = stage.open().await?;
    let got = reader.read(1).await?;
    let (settler, settlements) = (reader.settler(), reader.settlements(&got));
    let patience = reader.patience();
    let settling = settle(&*settler, settlements, patience);
    pin!(settling);
    let settled = loop {
        tokio::select! {
            // So that the poll waits already when the settlement begins.
            biased;
            news = reader.expect_nothing(PLENTY, patience * 2) => {
                news.map_err(|violation| format!("no settlement while a poll waited: {violation}"))?;
            }
            settled = &mut settling => break settled??,
        }
    };
    if let Some((receipt, error)) = settled.failed.first() {
        return Err(format!("settling {receipt} failed: {error}").into());
    }
    reader.close().await
}

/// What the capability doesn't have is refused as unsupported, and changes nothing.
pub(super) async fn refuses_the_wrong_settlement(stage: &Stage<'_>) -> Verdict {
    stage.produce(0..1).await?;
    let mut first = stage.open().await?;
    let got = first.read(1).await?;
    let capability = stage.traits.capability;
    let mut wrong = vec![match capability.settling {
        Settling::Cumulative => Action::Done,
        Settling::Individual => Action::DoneBelow { beyond: Vec::new() },
    }];
    if !capability.release {
        wrong.push(Action::Release {
            after: Duration::ZERO,
        });
    }
    if !capability.extend {
        wrong.push(Action::Extend {
            by: Duration::from_secs(5),
        });
    }
    for mut receipt in got.iter().map(|got| got.delivery.receipt) {
        for action in &wrong {
            if let Action::DoneBelow { .. } = action {
                receipt.seq += 1;
            }
            let settlement = Settlement {
                receipt,
                action: action.clone(),
            };
            first.refused(settlement, ErrorKind::Unsupported).await?;
        }
    }
    first.close().await?;

    let mut second = stage.open().await?;
    let again = second
        .read_as(1, PLENTY, after_a_crash(&second, stage))
        .await?;
    ensure!(
        numbers(&again) == [0],
        "message 0 was not done, but {:?} came",
        numbers(&again)
    );
    second.close().await
}
