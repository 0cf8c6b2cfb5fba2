use super::*;

const A: Partition = Partition(0);
const B: Partition = Partition(1);

fn done_below(partition: Partition, seq: u64) -> Settlement {
    let receipt = Receipt {
        partition,
        epoch: 1,
        seq,
    };
    Settlement {
        receipt,
        action: Action::DoneBelow { beyond: Vec::new() },
    }
}

/// Settles, with nothing against it.
fn settle(ledger: &mut Ledger, batch: Vec<Settlement>) -> oneshot::Receiver<Settled> {
    let (reply, answer) = oneshot::channel();
    ledger.settle(batch, reply, |_| Ok(()));
    answer
}

fn sent(ledger: &mut Ledger) -> Vec<(Partition, u64)> {
    let begun = ledger.begin().into_iter().flatten();
    begun
        .map(|(partition, commit)| (*partition, commit.position))
        .collect()
}

fn failed(ledger: &mut Ledger, mut answer: oneshot::Receiver<Settled>) -> Vec<(u64, ErrorKind)> {
    ledger.reply();
    let settled = answer.try_recv().expect("answered");
    settled
        .failed
        .iter()
        .map(|(receipt, error)| (receipt.seq, error.kind()))
        .collect()
}

#[test]
fn one_commit_at_a_time_with_the_newest_of_each_partition() {
    let mut ledger = Ledger::default();
    let mut first = settle(&mut ledger, vec![done_below(A, 5), done_below(B, 1)]);
    assert_eq!(sent(&mut ledger), [(A, 5), (B, 1)]);
    let second = settle(&mut ledger, vec![done_below(A, 7)]);
    let third = settle(&mut ledger, vec![done_below(A, 9), done_below(A, 8)]);
    assert_eq!(sent(&mut ledger), [], "one is on its way");
    assert!(first.try_recv().is_err());
    ledger.answered(|_, _| Outcome::Done);
    assert_eq!(failed(&mut ledger, first), []);
    assert_eq!(sent(&mut ledger), [(A, 9)]);
    ledger.answered(|_, _| Outcome::Done);
    assert_eq!(
        (failed(&mut ledger, second), failed(&mut ledger, third)),
        (vec![], vec![])
    );
    assert!(ledger.is_empty());
}

#[test]
fn a_lower_position_that_comes_late_undoes_nothing() {
    let mut ledger = Ledger::default();
    let first = settle(&mut ledger, vec![done_below(A, 9)]);
    assert_eq!(sent(&mut ledger), [(A, 9)]);
    let late = settle(&mut ledger, vec![done_below(A, 5)]);
    ledger.answered(|_, _| Outcome::Done);
    assert_eq!(sent(&mut ledger), [(A, 9)]);
    ledger.answered(|_, _| Outcome::Done);
    assert_eq!(
        (failed(&mut ledger, first), failed(&mut ledger, late)),
        (vec![], vec![])
    );
}

#[test]
fn each_partition_succeeds_or_fails_by_itself() {
    let mut ledger = Ledger::default();
    let both = settle(&mut ledger, vec![done_below(A, 5), done_below(B, 1)]);
    sent(&mut ledger);
    ledger.answered(|partition, _| match partition {
        A => Outcome::Done,
        _ => Outcome::Failed(Box::new(|| {
            Error::new(ErrorKind::Unavailable, "commit", "no")
        })),
    });
    assert_eq!(failed(&mut ledger, both), [(1, ErrorKind::Unavailable)]);
}

#[test]
fn what_is_refused_is_not_sent() {
    let mut ledger = Ledger::default();
    let (reply, answer) = oneshot::channel();
    let done = Settlement {
        action: Action::Done,
        ..done_below(A, 3)
    };
    let batch = vec![done, done_below(A, 4), done_below(B, 6)];
    ledger.settle(batch, reply, |receipt| match receipt.partition {
        A => Err(fenced()),
        _ => Ok(()),
    });
    assert_eq!(sent(&mut ledger), [(B, 6)]);
    ledger.answered(|_, _| Outcome::Done);
    assert_eq!(
        failed(&mut ledger, answer),
        [(3, ErrorKind::Unsupported), (4, ErrorKind::Fenced)]
    );
    let nothing = settle(&mut ledger, Vec::new());
    assert_eq!(failed(&mut ledger, nothing), []);
}

#[test]
fn what_is_to_go_again_gives_way_to_what_is_newer() {
    let mut ledger = Ledger::default();
    let old = settle(&mut ledger, vec![done_below(A, 5), done_below(B, 5)]);
    sent(&mut ledger);
    let new = settle(&mut ledger, vec![done_below(A, 6)]);
    ledger.answered(|_, _| Outcome::Again);
    assert_eq!(sent(&mut ledger), [(A, 6), (B, 5)]);
    ledger.answered(|_, _| Outcome::Done);
    assert_eq!(
        (failed(&mut ledger, old), failed(&mut ledger, new)),
        (vec![], vec![])
    );
}

#[test]
fn the_end_of_an_assignment_fences_what_waits() {
    let mut ledger = Ledger::default();
    let on_its_way = settle(&mut ledger, vec![done_below(A, 5)]);
    sent(&mut ledger);
    let waiting = settle(&mut ledger, vec![done_below(A, 6), done_below(B, 1)]);
    assert!(ledger.concerns(A) && ledger.concerns(B));
    ledger.end(A);
    assert!(ledger.concerns(A), "still on its way");
    ledger.answered(|_, _| Outcome::Done);
    assert_eq!(
        failed(&mut ledger, on_its_way),
        [],
        "the broker has taken it"
    );
    assert!(!ledger.concerns(A));
    assert_eq!(sent(&mut ledger), [(B, 1)]);
    ledger.answered(|_, _| Outcome::Done);
    assert_eq!(failed(&mut ledger, waiting), [(6, ErrorKind::Fenced)]);
}

#[test]
fn nobody_needs_to_wait() {
    let mut ledger = Ledger::default();
    drop(settle(&mut ledger, vec![done_below(A, 5)]));
    assert_eq!(sent(&mut ledger), [(A, 5)]);
    ledger.answered(|_, _| Outcome::Done);
    assert!(ledger.is_empty() && !ledger.is_sent());
}
