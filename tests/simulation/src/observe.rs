//! Sits between a source and the engine, and tells the ledger what passes.

use std::sync::Arc;

use async_trait::async_trait;
use eventlane::{
    Capability, ErrorKind, Result, Source,
    source::{Action, Demand, Partition, Settle, Settled, Settlement, Signal},
};
use tokio::time::Instant;

use crate::{
    lanes,
    ledger::Ledger,
    life::{Entry, LifeId, PartitionView},
    plan::Family,
    world::{World, number},
};

pub(crate) struct Observed {
    pub(crate) world: Arc<World>,
    pub(crate) life: LifeId,
    pub(crate) inner: Box<dyn Source>,
    pub(crate) polls: u64,
}

struct ObservedSettle {
    world: Arc<World>,
    life: LifeId,
    inner: Arc<dyn Settle>,
}

/// A loop that polls more often than that goes round without an end.
const POLLS: u64 = 200_000;

#[async_trait]
impl Source for Observed {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn settler(&self) -> Arc<dyn Settle> {
        Arc::new(ObservedSettle {
            world: Arc::clone(&self.world),
            life: self.life,
            inner: self.inner.settler(),
        })
    }

    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        self.polls += 1;
        if self.polls == POLLS {
            let name = self.world.ledger().name(self.life);
            self.world
                .ledger()
                .violation(format!("{name} polls in a loop"));
        }
        if self.polls >= POLLS {
            return std::future::pending().await;
        }
        let signal = self.inner.poll(demand).await;
        if let Ok(signal) = &signal {
            self.heard(signal, demand);
        }
        signal
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<()> {
        self.inner.pause(partitions)
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<()> {
        self.inner.resume(partitions)
    }

    fn stop(&mut self, by: Instant) {
        self.inner.stop(by);
    }

    fn closes_by(&self) -> Option<Instant> {
        self.inner.closes_by()
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.inner.close().await
    }
}

impl Observed {
    fn heard(&self, signal: &Signal, demand: Demand) {
        let mut ledger = self.world.ledger();
        let ledger = &mut *ledger;
        let (life, now) = (self.life, Instant::now());
        match signal {
            Signal::Assigned(assignments) => {
                for assignment in assignments {
                    let view = PartitionView {
                        epoch: assignment.epoch,
                        ..Default::default()
                    };
                    let partition = assignment.partition.0;
                    let name = ledger.name(life);
                    ledger.note(|| format!("{name} is assigned p{partition}@{}", assignment.epoch));
                    let alive = &mut ledger.lives[life];
                    alive.hand.retain(|receipt, entry| {
                        receipt.partition.0 != partition || entry.flying.is_some()
                    });
                    alive.partitions.insert(partition, view);
                }
            }
            Signal::Revoking(revocation) => {
                let partitions: Vec<_> = revocation.partitions.iter().map(|p| p.0).collect();
                self.leave(ledger, &partitions, "has to let go of");
            }
            Signal::Lost(partitions) => {
                let partitions: Vec<_> = partitions.iter().map(|p| p.0).collect();
                self.leave(ledger, &partitions, "has lost");
            }
            Signal::Deliveries(deliveries) => {
                let sizes: Vec<_> = deliveries.iter().map(|one| one.event.size()).collect();
                let bytes: usize = sizes.iter().sum();
                if deliveries.len() > demand.records || (bytes > demand.bytes && sizes.len() > 1) {
                    ledger.violation(format!(
                        "a poll for {} of {} bytes brought {} of {bytes}",
                        demand.records,
                        demand.bytes,
                        sizes.len(),
                    ));
                }
                let mut names = Vec::new();
                for (delivery, size) in deliveries.iter().zip(sizes) {
                    let event = number(&delivery.event);
                    names.push(format!("e{event} as {}", delivery.receipt));
                    let record = ledger.records[event].clone();
                    let lane = record.and_then(|record| lanes::of(&ledger.plan, &record));
                    ledger.events[event].handed += 1;
                    ledger.events[event].answered_to = None;
                    let entry = Entry {
                        event,
                        size,
                        lane,
                        lease: delivery.lease,
                        maybe_gone: false,
                        flying: None,
                    };
                    let alive = &mut ledger.lives[life];
                    // Begins anew, unless an earlier delivery of it is still at work.
                    let mut earlier = alive.hand.values().filter(|entry| entry.event == event);
                    if earlier.all(|entry| entry.flying.is_none() && entry.is_doubtful(now)) {
                        alive.fails.remove(&event);
                    }
                    alive.hand.insert(delivery.receipt, entry);
                    if let Some(view) = alive.partitions.get_mut(&delivery.receipt.partition.0) {
                        view.handed.push(delivery.receipt.seq);
                    }
                    if delivery.invalid.is_some() {
                        ledger.give_up(life, event);
                    }
                }
                let name = ledger.name(life);
                ledger.note(|| format!("{name} gets {}", names.join(", ")));
                self.check_budgets(ledger, names.len());
            }
            _ => {}
        }
    }

    fn leave(&self, ledger: &mut Ledger, partitions: &[u32], how: &str) {
        let name = ledger.name(self.life);
        ledger.note(|| format!("{name} {how} {partitions:?}"));
        let now = Instant::now();
        let alive = &mut ledger.lives[self.life];
        for (number, view) in &mut alive.partitions {
            if partitions.contains(number) {
                view.leaving.get_or_insert(now);
            }
        }
        for (receipt, entry) in &mut alive.hand {
            entry.maybe_gone |= partitions.contains(&receipt.partition.0);
        }
    }

    fn check_budgets(&self, ledger: &mut Ledger, came: usize) {
        let alive = &ledger.lives[self.life];
        let budgets = &ledger.plan.engine.budgets;
        let now = Instant::now();
        // At least; what is behind one that may have been given up may have gone with it.
        let mut doubtful = Vec::new();
        let mut held = Vec::new();
        for (receipt, entry) in &alive.hand {
            let behind = entry.lane.is_some() && doubtful.contains(&entry.lane);
            if entry.is_doubtful(now) {
                doubtful.push(entry.lane);
            } else if !behind {
                held.push((receipt, entry));
            }
        }
        let bytes: usize = held.iter().map(|(_, entry)| entry.size).sum();
        let mut wrong = Vec::new();
        if held.len() > budgets.events {
            wrong.push(format!(
                "has {} events in hand of {}",
                held.len(),
                budgets.events
            ));
        }
        if bytes > budgets.bytes && came > 1 {
            wrong.push(format!("has {bytes} bytes in hand of {}", budgets.bytes));
        }
        let most = match &ledger.plan.family {
            Family::Log(log) => budgets.span.saturating_add(log.max_poll as u64),
            Family::Queue(_) => u64::MAX,
        };
        for (number, view) in &alive.partitions {
            let oldest = held
                .iter()
                .find(|(receipt, _)| receipt.partition.0 == *number && receipt.epoch == view.epoch);
            if let Some((receipt, _)) = oldest {
                let open = view
                    .handed
                    .iter()
                    .filter(|&&seq| seq >= receipt.seq)
                    .count() as u64;
                if open > most {
                    wrong.push(format!(
                        "has a span of {open} in p{number}, of {}",
                        budgets.span
                    ));
                }
            }
        }
        for wrong in wrong {
            let name = ledger.name(self.life);
            ledger.violation(format!("{name} {wrong}"));
        }
    }
}

#[async_trait]
impl Settle for ObservedSettle {
    async fn settle(&self, batch: Vec<Settlement>) -> Result<Settled> {
        let asked = Instant::now();
        self.world.ledger().asked_to_settle(self.life, &batch);
        let sent = batch.clone();
        let result = self.inner.settle(batch).await;
        self.world
            .ledger()
            .has_settled(self.life, &sent, &result, asked);
        result
    }
}

impl Ledger {
    fn asked_to_settle(&mut self, life: LifeId, batch: &[Settlement]) {
        let name = self.name(life);
        self.note(|| {
            let all = batch
                .iter()
                .map(|one| format!("{} {:?}", one.receipt, one.action));
            format!("{name} settles {}", all.collect::<Vec<_>>().join(", "))
        });
        for Settlement { receipt, action } in batch {
            match action {
                // From here on it is not the engine's any more.
                Action::Release { .. } | Action::GiveBack => {
                    self.lives[life].hand.remove(receipt);
                }
                Action::Done => {
                    if let Some(entry) = self.lives[life].hand.get(receipt) {
                        let event = entry.event;
                        // Still in hand: no good answer came. Dropping is a reason.
                        if !self.is_resolved(event) {
                            let name = self.name(life);
                            self.violation(format!("{name} settles e{event}, which is not done"));
                        }
                        self.lives[life].hand.remove(receipt);
                    }
                }
                _ => {}
            }
        }
    }

    fn has_settled(
        &mut self,
        life: LifeId,
        sent: &[Settlement],
        result: &Result<Settled>,
        asked: Instant,
    ) {
        let Ok(settled) = result else { return };
        for Settlement { receipt, action } in sent {
            let error = settled.failed.iter().find(|(of, _)| of == receipt);
            if let Action::Extend { by } = action
                && let Some(entry) = self.lives[life].hand.get_mut(receipt)
            {
                match error {
                    None => {
                        // Came too late: it may have been given up already.
                        entry.maybe_gone |= entry.lease.is_some_and(|at| at <= Instant::now());
                        entry.lease = Some(asked + *by);
                    }
                    Some((_, error)) if error.kind() == ErrorKind::Fenced => {
                        entry.lease = Some(Instant::now());
                    }
                    Some(_) => {}
                }
            }
        }
    }
}
