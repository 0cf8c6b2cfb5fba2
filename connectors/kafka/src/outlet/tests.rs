use eventlane::{
    Event,
    source::{Receipt, Revocation},
};
use tokio::time::Instant;

use super::*;

const A: Partition = Partition(0);
const B: Partition = Partition(1);
const PLENTY: Demand = Demand {
    records: 100,
    bytes: 1 << 20,
};

fn event() -> Event {
    Event::builder()
        .id("1")
        .source("/s")
        .ty("t")
        .build()
        .unwrap()
}

fn delivery(partition: Partition, seq: u64) -> Delivery {
    Delivery::new(
        Receipt {
            partition,
            epoch: 1,
            seq,
        },
        event(),
    )
}

fn record(partition: Partition, seq: u64) -> Pulled {
    Pulled::Delivery(delivery(partition, seq))
}

fn advanced(partition: Partition, next: u64) -> Pulled {
    Pulled::Advanced(Position {
        partition,
        epoch: 1,
        next,
    })
}

/// An outlet and what is still to be fetched.
#[derive(Default)]
struct Scene {
    outlet: Outlet,
    fetched: VecDeque<Pulled>,
}

impl Scene {
    fn new(fetched: impl IntoIterator<Item = Pulled>) -> Self {
        Self {
            outlet: Outlet::default(),
            fetched: fetched.into_iter().collect(),
        }
    }

    /// What a poll brings, in short; empty if it would wait.
    fn poll(&mut self, demand: Demand) -> String {
        let Self { outlet, fetched } = self;
        match outlet.next(demand, || fetched.pop_front()) {
            None => String::new(),
            Some(Ok(Signal::Deliveries(deliveries))) => {
                let one = |d: &Delivery| format!("{}/{}", d.receipt.partition.0, d.receipt.seq);
                deliveries.iter().map(one).collect::<Vec<_>>().join(" ")
            }
            Some(Ok(Signal::Advanced(positions))) => {
                let one = |p: &Position| format!("{}>{}", p.partition.0, p.next);
                positions.iter().map(one).collect::<Vec<_>>().join(" ")
            }
            Some(Ok(Signal::Assigned(_))) => "assigned".to_owned(),
            Some(Ok(Signal::Revoking(_))) => "revoking".to_owned(),
            Some(Ok(Signal::Lost(_))) => "lost".to_owned(),
            Some(Ok(other)) => format!("{other:?}"),
            Some(Err(error)) => error.to_string(),
        }
    }
}

#[test]
fn gives_what_there_is_within_the_demand() {
    let mut scene = Scene::new([
        record(A, 0),
        record(B, 7),
        Pulled::Nothing,
        record(A, 1),
        record(A, 2),
    ]);
    let some = |records| Demand { records, ..PLENTY };
    assert_eq!(scene.poll(some(2)), "0/0 1/7");
    assert_eq!(
        scene.fetched.len(),
        3,
        "nothing is made that was not asked for"
    );
    assert_eq!(scene.poll(some(1)), "0/1");
    assert_eq!(scene.poll(PLENTY), "0/2");
    assert_eq!(scene.poll(PLENTY), "");
}

#[test]
fn bytes_are_a_cap_but_for_the_first() {
    let mut scene = Scene::new((0..6).map(|at| record(A, at)));
    let bytes = |bytes| Demand { bytes, ..PLENTY };
    let size = event().size();
    assert_eq!(scene.poll(bytes(1)), "0/0");
    assert_eq!(scene.poll(bytes(size * 5 / 2)), "0/1 0/2");
    assert_eq!(scene.poll(bytes(size * 2)), "0/3 0/4");
    assert_eq!(scene.poll(bytes(size)), "0/5");
}

#[test]
fn a_poll_is_not_endless() {
    let mut scene = Scene::new((0..5000).map(|at| record(A, at)));
    let demand = Demand {
        records: usize::MAX,
        bytes: usize::MAX,
    };
    assert_eq!(scene.poll(demand).split(' ').count(), MOST);
}

#[test]
fn news_come_without_demand_and_before_deliveries() {
    let mut scene = Scene::new([advanced(B, 3), record(A, 0), record(A, 1), advanced(A, 5)]);
    scene.outlet.announce(Signal::Assigned(Vec::new()));
    assert_eq!(scene.poll(Demand::NONE), "assigned");
    assert_eq!(scene.poll(Demand::NONE), "1>3");
    assert_eq!(scene.poll(Demand::NONE), "");
    assert_eq!(
        scene.fetched.len(),
        2,
        "one record is looked at, and no more"
    );
    scene.outlet.announce(Signal::Assigned(Vec::new()));
    assert_eq!(scene.poll(PLENTY), "assigned");
    assert_eq!(scene.poll(PLENTY), "0/0 0/1");
    assert_eq!(scene.poll(Demand::NONE), "0>5");
}

#[test]
fn an_advance_does_not_overtake_what_lies_before_it() {
    let mut scene = Scene::new([record(A, 0), advanced(A, 4), advanced(B, 9)]);
    scene.outlet.pause(A);
    assert_eq!(scene.poll(PLENTY), "1>9");
    assert_eq!(scene.poll(PLENTY), "");
    scene.outlet.resume(A);
    assert_eq!(scene.poll(Demand::NONE), "");
    assert_eq!(scene.poll(PLENTY), "0/0");
    assert_eq!(scene.poll(PLENTY), "0>4");
}

#[test]
fn what_is_taken_away_is_withdrawn() {
    let mut scene = Scene::new([advanced(A, 1), record(A, 1), record(B, 0)]);
    // The first record is held back.
    assert_eq!(scene.poll(Demand { bytes: 0, ..PLENTY }), "0>1");
    let (revocation, mut let_go) = Revocation::new(vec![A], Instant::now());
    scene.outlet.withdraw(&[A], Signal::Revoking(revocation));
    assert!(let_go.try_recv().is_err());
    assert_eq!(scene.poll(Demand::NONE), "revoking");
    assert_eq!(scene.poll(PLENTY), "1/0");
    assert_eq!(scene.poll(PLENTY), "");
}

#[test]
fn what_is_paused_is_kept_and_the_others_flow() {
    let mut scene = Scene::new([record(A, 0), record(A, 1), record(B, 0), record(A, 2)]);
    assert_eq!(scene.poll(Demand::NONE), "");
    scene.outlet.pause(A);
    assert_eq!(scene.poll(PLENTY), "1/0");
    assert_eq!(scene.poll(PLENTY), "");
    scene.fetched.push_back(record(A, 3));
    scene.outlet.resume(A);
    assert_eq!(scene.poll(PLENTY), "0/0 0/1 0/2 0/3");
    scene.outlet.pause(A);
    scene.outlet.withdraw(&[A], Signal::Lost(vec![A]));
    scene.fetched.push_back(record(A, 0));
    assert_eq!(scene.poll(PLENTY), "lost");
    assert_eq!(scene.poll(PLENTY), "0/0", "an assignment begins resumed");
}

#[test]
fn a_partition_that_begins_anew_says_so_first() {
    let news = || vec![Signal::Lost(vec![A]), Signal::Assigned(Vec::new())];
    let again = Pulled::Anew(news(), delivery(A, 0));
    let mut scene = Scene::new([record(A, 8), record(B, 1), again, record(A, 1)]);
    assert_eq!(
        scene.poll(PLENTY),
        "1/1",
        "what was read of the old one is void"
    );
    assert_eq!(scene.poll(PLENTY), "lost");
    assert_eq!(scene.poll(Demand::NONE), "assigned");
    assert_eq!(scene.poll(PLENTY), "0/0 0/1");
}

#[test]
fn nothing_follows_a_failure() {
    let error = Error::new(ErrorKind::Rejected, "convert", "no");
    let mut scene = Scene::new([record(A, 0), Pulled::Failure(error), record(A, 2)]);
    assert_eq!(scene.poll(PLENTY), "0/0");
    assert_eq!(scene.poll(PLENTY), "convert: no");
    assert_eq!(scene.poll(PLENTY), "");
    assert_eq!(scene.fetched.len(), 1);
    scene.outlet.end();
    assert!(scene.poll(PLENTY).contains("ended"));
    assert!(scene.poll(Demand::NONE).contains("ended"));
}
