//! The source and the settler of a [`MemoryQueue`].

use std::{future, sync::Arc};

use async_trait::async_trait;
use tokio::{
    task::coop,
    time::{self, Instant},
};

use super::{
    MemoryQueue,
    leases::{HolderId, PARTITION},
};
use crate::{
    Error, ErrorKind, Result,
    source::{
        Assignment, Capability, Demand, Partition, Settle, Settled, Settlement, Signal, Source,
    },
};

/// Receives from a [`MemoryQueue`]: [`MemoryQueue::source`].
///
/// Its one partition is assigned to it from the beginning, and never taken away.
#[derive(Debug)]
pub struct MemoryQueueSource {
    queue: MemoryQueue,
    holder: HolderId,
    capability: Capability,
    announced: bool,
}

/// Outlives the source; once that is closed, its leases are gone and settlements are fenced.
#[derive(Debug)]
struct QueueSettle {
    queue: MemoryQueue,
    holder: HolderId,
    max_settle: usize,
}

enum Next {
    Signal(Signal),
    /// Nothing before this moment, unless something is sent or settled.
    Wait(Option<Instant>),
}

impl MemoryQueueSource {
    pub(super) fn new(queue: MemoryQueue, holder: HolderId, capability: Capability) -> Self {
        Self {
            queue,
            holder,
            capability,
            announced: false,
        }
    }

    /// What a poll returns now, or until when there is nothing. Scripted faults come first.
    fn next(&mut self, demand: Demand) -> Result<Next> {
        self.queue.faults().poll()?;
        if !self.announced {
            self.announced = true;
            return Ok(Next::Signal(Signal::Assigned(vec![Assignment {
                partition: PARTITION,
                epoch: self.holder,
                name: "memory".into(),
            }])));
        }
        let mut state = self.queue.state();
        if state.finished && state.leases.len() == 0 {
            return Ok(Next::Signal(Signal::End));
        }
        if demand.is_none() {
            return Ok(Next::Wait(None));
        }
        let demand = Demand {
            records: demand.records.min(self.capability.max_poll),
            ..demand
        };
        let lease = state.lease;
        let deliveries = state
            .leases
            .receive(self.holder, demand, Instant::now(), lease);
        if deliveries.is_empty() {
            return Ok(Next::Wait(state.leases.next_change()));
        }
        Ok(Next::Signal(Signal::Deliveries(deliveries)))
    }

    fn no_pausing() -> Result<()> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "pause",
            "a queue can't be paused",
        ))
    }
}

#[async_trait]
impl Source for MemoryQueueSource {
    fn capability(&self) -> Capability {
        self.capability
    }

    fn settler(&self) -> Arc<dyn Settle> {
        Arc::new(QueueSettle {
            queue: self.queue.clone(),
            holder: self.holder,
            max_settle: self.capability.max_settle,
        })
    }

    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        // There may always be something; without this, a loop of polls would starve whatever else
        // its thread has to do.
        coop::consume_budget().await;
        let queue = self.queue.clone();
        loop {
            // Made before the state is read: it sees every change from here on. Nothing is awaited
            // after something was taken, so that dropping this future loses nothing.
            let changed = queue.changed().notified();
            let ready = match self.next(demand)? {
                Next::Signal(signal) => return Ok(signal),
                Next::Wait(until) => until,
            };
            let due = async {
                match ready {
                    Some(ready) => time::sleep_until(ready).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = due => {}
            }
        }
    }

    fn pause(&mut self, _: &[Partition]) -> Result<()> {
        Self::no_pausing()
    }

    fn resume(&mut self, _: &[Partition]) -> Result<()> {
        Self::no_pausing()
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.queue.state().leases.release_all(self.holder);
        self.queue.changed().notify_waiters();
        Ok(())
    }
}

#[async_trait]
impl Settle for QueueSettle {
    async fn settle(&self, batch: Vec<Settlement>) -> Result<Settled> {
        if batch.len() > self.max_settle {
            let error = Error::new(
                ErrorKind::Rejected,
                "settle",
                "too many settlements at once",
            );
            return Err(error.with_context("limit", self.max_settle));
        }
        let faults = self.queue.faults();
        faults.before_settle().await?;
        let mut settled = Settled::default();
        {
            let mut state = self.queue.state();
            let now = Instant::now();
            for settlement in batch {
                let receipt = settlement.receipt;
                let result = faults
                    .settlement()
                    .and_then(|()| state.leases.settle(self.holder, settlement, now));
                if let Err(error) = result {
                    settled.failed.push((receipt, error));
                }
            }
        }
        self.queue.changed().notify_waiters();
        faults.after_settle()?;
        Ok(settled)
    }
}
