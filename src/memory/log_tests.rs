use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, advance, timeout};

use super::{MemoryLog, MemorySource, Record};
use crate::{
    Error, ErrorKind, Event, Result, Source,
    source::{Action, Demand, Partition, Receipt, Revocation, Settled, Settlement, Signal},
};

const PLENTY: Demand = Demand {
    records: 1000,
    bytes: 1 << 20,
};
const WITHIN: Duration = Duration::from_secs(5);

fn event(id: u64) -> Event {
    Event::builder()
        .id(id.to_string())
        .source("/test")
        .ty("test")
        .build()
        .unwrap()
}

fn log(partitions: u32, messages: u64) -> MemoryLog {
    let log = MemoryLog::new(partitions);
    for partition in 0..partitions {
        log.append_all(partition, (0..messages).map(|id| Record::new(event(id))));
    }
    log
}

async fn poll(source: &mut MemorySource) -> Signal {
    let polled = timeout(Duration::from_secs(3600), source.poll(PLENTY)).await;
    polled.expect("a signal within an hour").unwrap()
}

/// Whether nothing comes, as far as can be seen without waiting.
async fn is_silent(source: &mut MemorySource) -> bool {
    timeout(Duration::from_millis(1), source.poll(PLENTY))
        .await
        .is_err()
}

async fn assigned(source: &mut MemorySource) -> Vec<(u32, u32)> {
    match poll(source).await {
        Signal::Assigned(all) => all.iter().map(|new| (new.partition.0, new.epoch)).collect(),
        other => panic!("no assignment but {other:?}"),
    }
}

async fn offsets(source: &mut MemorySource) -> Vec<(u32, u64)> {
    match poll(source).await {
        Signal::Deliveries(all) => all
            .iter()
            .map(|one| (one.receipt.partition.0, one.receipt.seq))
            .collect(),
        other => panic!("no deliveries but {other:?}"),
    }
}

async fn revoking(source: &mut MemorySource) -> Revocation {
    match poll(source).await {
        Signal::Revoking(revocation) => revocation,
        other => panic!("no revocation but {other:?}"),
    }
}

async fn settle(
    source: &MemorySource,
    (partition, epoch, seq): (u32, u32, u64),
    beyond: &[(u64, u64)],
) -> Result<Settled> {
    let receipt = Receipt {
        partition: Partition(partition),
        epoch,
        seq,
    };
    let beyond = beyond.iter().map(|&(start, end)| start..end).collect();
    let settlement = Settlement {
        receipt,
        action: Action::DoneBelow { beyond },
    };
    source.settler().settle(vec![settlement]).await
}

async fn settles(source: &MemorySource, below: (u32, u32, u64)) -> Option<ErrorKind> {
    let settled = settle(source, below, &[]).await.unwrap();
    settled.failed.first().map(|(_, error)| error.kind())
}

#[tokio::test(start_paused = true)]
async fn the_first_source_of_a_group_gets_everything_and_the_next_what_becomes_free() {
    let log = log(2, 1);
    let mut first = log.source("group");
    let mut second = log.source("group");
    assert_eq!(assigned(&mut first).await, [(0, 1), (1, 1)]);
    assert!(is_silent(&mut second).await);
    drop(first);
    assert_eq!(assigned(&mut second).await, [(0, 2), (1, 2)]);
    let mut elsewhere = log.source("other group");
    assert_eq!(assigned(&mut elsewhere).await, [(0, 1), (1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_evens_out_and_waits_until_the_engine_lets_go() {
    let log = log(3, 1);
    let mut first = log.source("group");
    let mut second = log.source("group");
    assert_eq!(assigned(&mut first).await.len(), 3);
    assert_eq!(offsets(&mut first).await.len(), 3);
    log.rebalance("group", WITHIN);
    let revocation = revoking(&mut first).await;
    assert_eq!(revocation.partitions, [Partition(2)]);
    assert_eq!(revocation.deadline, Instant::now() + WITHIN);
    assert!(is_silent(&mut second).await);
    assert_eq!(
        settles(&first, (2, 1, 1)).await,
        None,
        "it can still be settled"
    );
    let start = Instant::now();
    drop(revocation);
    assert_eq!(assigned(&mut second).await, [(2, 2)]);
    assert_eq!(Instant::now(), start);
    assert_eq!(settles(&first, (2, 1, 1)).await, Some(ErrorKind::Fenced));
    log.rebalance("group", WITHIN);
    assert!(is_silent(&mut first).await, "two and one are even enough");
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_a_partition_goes_even_if_nobody_polls() {
    let log = log(1, 1);
    let mut first = log.source("group");
    let mut second = log.source("group");
    assigned(&mut first).await;
    offsets(&mut first).await;
    first.member().revoke(&[0], WITHIN);
    let revocation = revoking(&mut first).await;
    let start = Instant::now();
    assert_eq!(assigned(&mut second).await, [(0, 2)]);
    assert_eq!(Instant::now() - start, WITHIN);
    assert_eq!(settles(&first, (0, 1, 1)).await, Some(ErrorKind::Fenced));
    drop(revocation);
    assert_eq!(offsets(&mut second).await, [(0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_partition_delivers_nothing_more() {
    let log = log(1, 1);
    let mut source = log.source("group");
    assigned(&mut source).await;
    source.member().revoke(&[0], WITHIN);
    let _held = revoking(&mut source).await;
    assert!(is_silent(&mut source).await);
    assert_eq!(source.member().partitions(), [0]);
    advance(WITHIN).await;
    assert!(
        is_silent(&mut source).await,
        "whoever gave a partition up does not get it back"
    );
    assert_eq!(source.member().partitions(), [0; 0]);
    source.member().assign(&[0]).unwrap();
    assert_eq!(assigned(&mut source).await, [(0, 2)]);
}

#[tokio::test(start_paused = true)]
async fn an_old_revocation_does_not_end_a_new_assignment() {
    let log = log(1, 1).with_manual_assignment();
    let mut source = log.source("group");
    let member = source.member();
    member.assign(&[0]).unwrap();
    assigned(&mut source).await;
    member.revoke(&[0], WITHIN);
    let old = revoking(&mut source).await;
    member.lose(&[0]);
    member.assign(&[0]).unwrap();
    drop(old);
    advance(WITHIN * 2).await;
    assert!(matches!(poll(&mut source).await, Signal::Lost(lost) if lost == [Partition(0)]));
    assert_eq!(assigned(&mut source).await, [(0, 2)]);
    assert_eq!(offsets(&mut source).await, [(0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn assignment_by_hand_is_all_there_is_if_wanted() {
    let log = log(2, 1).with_manual_assignment();
    let mut first = log.source("group");
    let second = log.source("group");
    assert!(is_silent(&mut first).await);
    first.member().assign(&[1]).unwrap();
    assert_eq!(assigned(&mut first).await, [(1, 1)]);
    for refused in [&[0, 1][..], &[0, 7]] {
        let error = second.member().assign(refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
    }
    assert_eq!(second.member().partitions(), [0; 0], "all or nothing");
    second.member().assign(&[0]).unwrap();
    first.member().lose(&[1]);
    assert!(matches!(poll(&mut first).await, Signal::Lost(lost) if lost == [Partition(1)]));
    assert_eq!(second.member().partitions(), [0], "lost is not moved");
    let gone = second.member();
    drop(second);
    assert_eq!(gone.assign(&[0]).unwrap_err().kind(), ErrorKind::Rejected);
    gone.revoke(&[0], Duration::MAX);
    first.member().assign(&[0]).unwrap();
    assert_eq!(assigned(&mut first).await, [(0, 2)]);
}

#[tokio::test(start_paused = true)]
async fn news_come_in_order_with_deliveries() {
    let log = log(2, 1);
    let mut source = log.source("group");
    source.member().lose(&[1]);
    assert_eq!(assigned(&mut source).await, [(0, 1), (1, 1)]);
    assert!(matches!(poll(&mut source).await, Signal::Lost(lost) if lost == [Partition(1)]));
    assert_eq!(offsets(&mut source).await, [(0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_new_source_passes_over_what_was_done_beyond_the_position() {
    let log = log(1, 10);
    let mut first = log.source("group");
    assigned(&mut first).await;
    offsets(&mut first).await;
    assert!(
        settle(&first, (0, 1, 2), &[(3, 5), (8, 10)])
            .await
            .unwrap()
            .failed
            .is_empty()
    );
    assert_eq!((log.committed("group", 0), log.commits("group")), (2, 1));
    assert_eq!(log.beyond("group", 0), [3..5, 8..10]);
    drop(first);
    let mut second = log.source("group");
    assigned(&mut second).await;
    assert_eq!(offsets(&mut second).await, [(0, 2), (0, 5), (0, 6), (0, 7)]);
    let Signal::Advanced(advanced) = poll(&mut second).await else {
        panic!("8 and 9 are done")
    };
    assert_eq!(
        advanced
            .iter()
            .map(|to| (to.epoch, to.next))
            .collect::<Vec<_>>(),
        [(2, 10)]
    );
}

#[tokio::test(start_paused = true)]
async fn gaps_are_passed_over_and_only_trailing_ones_are_told() {
    let log = MemoryLog::new(1);
    assert_eq!(log.append(0, event(0), None), 0);
    log.skip(0, 1_000_000);
    assert_eq!(log.append(0, event(1), None), 1_000_001);
    let mut source = log.source("group");
    assigned(&mut source).await;
    assert_eq!(offsets(&mut source).await, [(0, 0), (0, 1_000_001)]);
    assert!(is_silent(&mut source).await);
    log.skip(0, 3);
    let Signal::Advanced(advanced) = source.poll(Demand::NONE).await.unwrap() else {
        panic!("news come without demand")
    };
    assert_eq!(advanced[0].next, log.end(0));
    assert_eq!(settles(&source, (0, 1, log.end(0))).await, None);
    assert!(is_silent(&mut source).await, "told once");
}

#[tokio::test(start_paused = true)]
async fn settlements_that_make_no_sense_are_refused() {
    let log = log(1, 10);
    let mut source = log.source("group");
    assigned(&mut source).await;
    let some = Demand {
        records: 6,
        ..PLENTY
    };
    source.poll(some).await.unwrap();
    let too_far = (7, vec![]);
    let backwards = (1, vec![(4, 5), (2, 3)]);
    let overlapping = (1, vec![(2, 4), (3, 5)]);
    let empty = (1, vec![(3, 3)]);
    let adjoining = (1, vec![(1, 3)]);
    let unseen = (1, vec![(3, 8)]);
    for (below, beyond) in [too_far, backwards, overlapping, empty, adjoining, unseen] {
        let settled = settle(&source, (0, 1, below), &beyond).await.unwrap();
        assert_eq!(
            settled.failed[0].1.kind(),
            ErrorKind::Rejected,
            "{below} and {beyond:?}"
        );
    }
    assert_eq!(
        settles(&source, (9, 1, 0)).await,
        Some(ErrorKind::Fenced),
        "no such partition"
    );
    assert_eq!(settles(&source, (0, 1, 4)).await, None);
    assert_eq!(settles(&source, (0, 1, 2)).await, None);
    assert_eq!(
        log.committed("group", 0),
        4,
        "a call that was overtaken undoes nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn a_small_demand_starves_no_partition() {
    let log = log(3, 100);
    let mut source = log.source("group");
    assigned(&mut source).await;
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let small = Demand {
            records: 10,
            ..PLENTY
        };
        let Signal::Deliveries(some) = source.poll(small).await.unwrap() else {
            panic!()
        };
        seen.extend(some.iter().map(|one| one.receipt.partition.0));
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2]));
}

#[tokio::test(start_paused = true)]
async fn a_finished_log_ends_when_all_is_handed_out_to_whomever() {
    let log = log(2, 1);
    let mut first = log.source("group");
    let mut second = log.source("group");
    log.rebalance("group", WITHIN);
    assigned(&mut first).await;
    drop(revoking(&mut first).await);
    assert_eq!(assigned(&mut second).await, [(1, 2)]);
    log.finish();
    assert_eq!(offsets(&mut first).await, [(0, 0)]);
    assert!(is_silent(&mut first).await, "partition 1 may yet come back");
    let (end, last) = tokio::join!(poll(&mut first), offsets(&mut second));
    assert!(matches!(end, Signal::End));
    assert_eq!(last, [(1, 0)]);
    assert!(matches!(poll(&mut second).await, Signal::End));
    drop(second);
    assert_eq!(
        assigned(&mut first).await,
        [(1, 3)],
        "unsettled, so it comes again"
    );
    assert_eq!(offsets(&mut first).await, [(1, 0)]);
    assert!(matches!(poll(&mut first).await, Signal::End));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_fails_as_scripted_and_the_next_one_goes_on() {
    let log = log(1, 0);
    let mut source = log.source("group");
    assigned(&mut source).await;
    let fail = async {
        tokio::task::yield_now().await;
        log.faults()
            .fail_polls([Error::new(ErrorKind::Unavailable, "fetch", "gone")]);
    };
    let (polled, ()) = tokio::join!(source.poll(PLENTY), fail);
    assert_eq!(polled.unwrap_err().kind(), ErrorKind::Unavailable);
    log.append(0, event(0), Some("key"));
    assert_eq!(offsets(&mut source).await, [(0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_settlement_is_fenced_by_what_happens_meanwhile() {
    let log = log(1, 4);
    let mut source = log.source("group");
    assigned(&mut source).await;
    offsets(&mut source).await;
    log.faults().delay_settles(WITHIN);
    let lose = async {
        tokio::task::yield_now().await;
        source.member().lose(&[0]);
    };
    let (settled, ()) = tokio::join!(settle(&source, (0, 1, 4), &[]), lose);
    assert_eq!(settled.unwrap().failed[0].1.kind(), ErrorKind::Fenced);
    assert_eq!(log.committed("group", 0), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_has_an_effect_and_a_failed_call_has_none() {
    let log = log(1, 4);
    let mut source = log.source("group");
    assigned(&mut source).await;
    offsets(&mut source).await;
    let faults = log.faults();
    faults.fail_settles([Error::new(ErrorKind::Throttled, "commit", "slower")]);
    assert_eq!(
        settle(&source, (0, 1, 1), &[]).await.unwrap_err().kind(),
        ErrorKind::Throttled
    );
    assert_eq!(log.committed("group", 0), 0);
    faults.fail_settlements([Error::new(ErrorKind::Unavailable, "commit", "not this one")]);
    assert_eq!(
        settles(&source, (0, 1, 1)).await,
        Some(ErrorKind::Unavailable)
    );
    assert_eq!(log.committed("group", 0), 0);
    faults.lose_settle_answers(1);
    assert_eq!(
        settle(&source, (0, 1, 2), &[]).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert_eq!(log.committed("group", 0), 2);
    assert_eq!(settles(&source, (0, 1, 3)).await, None);
    assert_eq!(log.committed("group", 0), 3);
}

#[tokio::test(start_paused = true)]
async fn an_operator_can_reset_the_position() {
    let log = log(1, 4);
    log.set_committed("group", 0, 3);
    let mut source = log.source("group");
    assigned(&mut source).await;
    assert_eq!(offsets(&mut source).await, [(0, 3)]);
}
