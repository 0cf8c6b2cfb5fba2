//! What has to stay in order, by the plan alone.

use std::collections::BTreeMap;

use eventlane::{Keyless, Ordering, source::Receipt};
use tokio::time::Instant;

use crate::{
    ledger::list,
    life::{Entry, Life},
    plan::{Family, Plan, QueueKind, RecordPlan},
};

/// Partition, and key if there is one.
pub(crate) type Lane = (u32, Option<u8>);

/// The lane in which an engine has to keep a record.
pub(crate) fn of(plan: &Plan, record: &RecordPlan) -> Option<Lane> {
    let log = matches!(plan.family, Family::Log(_));
    match (plan.engine.ordering, record.key) {
        (Ordering::Partition, _) => Some((record.partition, None)),
        (Ordering::Key, None) if log && plan.engine.keyless == Keyless::Partition => {
            Some((record.partition, None))
        }
        (Ordering::Key, Some(key)) => Some((record.partition, Some(key))),
        _ => None,
    }
}

/// The lane in which the whole system has to keep it, whoever consumes it: where the broker has an
/// order as well.
pub(crate) fn promised(plan: &Plan, record: &RecordPlan) -> Option<Lane> {
    let lane = of(plan, record)?;
    match &plan.family {
        Family::Log(_) => Some(lane),
        Family::Queue(queue) => match queue.kind {
            QueueKind::Standard => None,
            QueueKind::Groups => record.key.map(|key| (0, Some(key))),
            QueueKind::Bound => Some(lane),
        },
    }
}

/// What is wrong with sending these events now.
pub(crate) fn check(
    plan: &Plan,
    life: &Life,
    records: &[Option<RecordPlan>],
    events: &[usize],
    now: Instant,
) -> Vec<String> {
    let mut wrong = Vec::new();
    if life.stopped.is_some_and(|at| now > at) {
        wrong.push(format!("sends {} after it was asked to stop", list(events)));
    }
    if life
        .rest
        .is_some_and(|(since, until)| since < now && now < until)
    {
        wrong.push(format!(
            "sends {} though the destination rests",
            list(events)
        ));
    }
    let batch = &plan.engine.batch;
    if events.len() > batch.events {
        wrong.push(format!("a batch of {}", events.len()));
    }
    let (mut bytes, mut picked) = (0, Vec::new());
    let mut lanes: BTreeMap<Lane, Vec<Receipt>> = BTreeMap::new();
    for &event in events {
        if records[event].as_ref().is_some_and(|record| record.invalid) {
            wrong.push(format!("sends e{event}, which is invalid"));
        }
        let Some((receipt, entry)) = pick(life, event, now, &picked) else {
            wrong.push(format!("sends e{event}, which it does not have in hand"));
            continue;
        };
        picked.push(*receipt);
        bytes += entry.size;
        if entry.lease.is_some_and(|until| until <= now) {
            wrong.push(format!("sends e{event} as {receipt}, whose lease is over"));
        }
        if life
            .partitions
            .get(&receipt.partition.0)
            .is_none_or(|view| view.leaving.is_some_and(|at| now > at))
        {
            wrong.push(format!("sends e{event} of a partition that goes"));
        }
        if let Some(lane) = entry.lane {
            lanes.entry(lane).or_default().push(*receipt);
        }
    }
    if bytes > batch.bytes && events.len() > 1 {
        wrong.push(format!("a batch of {bytes} bytes"));
    }
    for (lane, of) in lanes {
        if plan.sink.per_event && of.len() > 1 {
            wrong.push(format!("{} of one lane in a batch", of.len()));
        }
        wrong.extend(out_of_turn(life, lane, &of, now));
    }
    wrong
}

/// The delivery that an engine means when it sends an event now: one it may still have, if it has
/// several.
pub(crate) fn pick<'a>(
    life: &'a Life,
    event: usize,
    now: Instant,
    but: &[Receipt],
) -> Option<(&'a Receipt, &'a Entry)> {
    let all = life
        .hand
        .iter()
        .filter(|(receipt, _)| !but.contains(receipt));
    let all = all.filter(|(_, entry)| entry.event == event && entry.flying.is_none());
    all.min_by_key(|(receipt, entry)| {
        let over = entry.lease.is_some_and(|until| until <= now);
        (over, entry.maybe_gone, **receipt)
    })
}

/// Why these events of one lane, in the order of the batch, are not next.
fn out_of_turn(life: &Life, lane: Lane, wanted: &[Receipt], now: Instant) -> Option<String> {
    let mut wanted = wanted.iter();
    let mut next = *wanted.next()?;
    let mut given_up = false;
    for (receipt, entry) in life
        .hand
        .iter()
        .filter(|(_, entry)| entry.lane == Some(lane))
    {
        // With one that was given up went what was behind it.
        given_up |= entry.is_doubtful(now);
        let event = life.hand.get(&next).map_or(0, |entry| entry.event);
        let other = entry.event;
        if let Some(call) = entry.flying {
            return Some(format!(
                "sends e{event} beside e{other} of its lane (call {call})"
            ));
        }
        if *receipt == next {
            match wanted.next() {
                Some(&receipt) => next = receipt,
                None => return None,
            }
        } else if !given_up {
            return Some(format!("sends e{event} before e{other} of its lane"));
        }
    }
    None
}
