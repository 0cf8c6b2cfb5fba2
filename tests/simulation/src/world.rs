//! What all parts of a world share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eventlane::{
    Event,
    event::Data,
    source::{Delivery, Receipt},
};
use tokio::{sync::Notify, time::Instant};

use crate::{
    dice::Dice,
    ledger::Ledger,
    log::{LogState, Part},
    plan::{Family, Outage, Plan, RecordPlan},
    queue::QueueState,
};

/// Locks are taken in this order: log or queue, ledger.
pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) dice: Dice,
    pub(crate) changed: Notify,
    ledger: Mutex<Ledger>,
    log: Mutex<LogState>,
    queue: Mutex<QueueState>,
    outage: Mutex<Option<(Outage, Instant)>>,
    records: Vec<Option<(RecordPlan, Event)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of an event, which its id is made of.
pub(crate) fn number(event: &Event) -> usize {
    event.id()[1..].parse().unwrap_or(usize::MAX)
}

fn event(record: &RecordPlan) -> Event {
    Event::builder()
        .id(format!("e{}", record.number))
        .source("/simulation")
        .ty("simulated")
        .data(Data::bytes(vec![b'x'; record.size]))
        .build()
        .unwrap_or_else(|error| panic!("{error}"))
}

impl World {
    pub(crate) fn new(plan: Plan, tracing: bool) -> Self {
        let count = plan
            .records
            .iter()
            .map(|record| record.number + 1)
            .max()
            .unwrap_or(0);
        let mut records = vec![None; count];
        for record in &plan.records {
            records[record.number] = Some((record.clone(), event(record)));
        }
        let mut log = LogState::default();
        if let Family::Log(of) = &plan.family {
            log.partitions = (0..of.partitions).map(|_| Part::default()).collect();
        }
        let plan = Arc::new(plan);
        Self {
            dice: Dice::new(plan.seed, plan.rates, plan.only.clone()),
            changed: Notify::new(),
            ledger: Mutex::new(Ledger::new(Arc::clone(&plan), tracing)),
            log: Mutex::new(log),
            queue: Mutex::default(),
            outage: Mutex::default(),
            records,
            plan,
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, LogState> {
        lock(&self.log)
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, QueueState> {
        lock(&self.queue)
    }

    pub(crate) fn record(&self, number: usize) -> &RecordPlan {
        match &self.records[number] {
            Some((record, _)) => record,
            None => unreachable!("e{number} is not in the plan"),
        }
    }

    pub(crate) fn event(&self, number: usize) -> Event {
        match &self.records[number] {
            Some((_, event)) => event.clone(),
            None => unreachable!("e{number} is not in the plan"),
        }
    }

    pub(crate) fn delivery(&self, number: usize, receipt: Receipt) -> Delivery {
        let record = self.record(number);
        let mut delivery = Delivery::new(receipt, self.event(number));
        delivery.key = record.key.map(|key| vec![b'k', key].into());
        delivery.invalid = record.invalid.then(|| "so it was planned".into());
        delivery
    }

    /// How long a settlement takes on its way, at most, if nothing is wrong.
    pub(crate) fn settle_pace(&self) -> u64 {
        match &self.plan.family {
            Family::Log(_) => 20,
            // What waits is extended request by request: these must be short against a lease.
            Family::Queue(queue) => (queue.lease.as_millis() as u64 / 200).clamp(1, 20),
        }
    }

    pub(crate) fn break_out(&self, kind: Outage, until: Instant) {
        *lock(&self.outage) = Some((kind, until));
    }

    pub(crate) fn outage(&self) -> Option<Outage> {
        let outage = *lock(&self.outage);
        let (kind, until) = outage?;
        (Instant::now() < until && !self.dice.is_calm()).then_some(kind)
    }
}
