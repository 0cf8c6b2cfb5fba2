//! The source and the settler of a [`MemoryLog`], and the handle that plays the group's
//! coordinator.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{task::coop, time::Instant};

use super::{MemoryLog, group::MemberId, later};
use crate::{
    Result,
    source::{Capability, Demand, Partition, Settle, Settled, Settlement, Signal, Source},
};

/// A member of a group that reads a [`MemoryLog`]: [`MemoryLog::source`].
///
/// Settled cumulatively, can be paused. Dropping it is a crash: the partitions go back to the group
/// at once, as they do when it is closed.
#[derive(Debug)]
pub struct MemorySource {
    member: Member,
}

/// Decides from outside what a [`MemorySource`] holds: [`MemorySource::member`].
///
/// A handle that stays when the source has moved into a pipeline. Once the source is gone there is
/// nothing left to decide.
#[derive(Clone, Debug)]
pub struct Member {
    log: MemoryLog,
    group: usize,
    id: MemberId,
}

struct LogSettle(Member);

impl MemorySource {
    pub(super) fn new(log: MemoryLog, group: usize, id: MemberId) -> Self {
        Self {
            member: Member { log, group, id },
        }
    }

    /// To decide what this source holds.
    pub fn member(&self) -> Member {
        self.member.clone()
    }

    fn next(&self, demand: Demand) -> Result<Option<Signal>> {
        let Member { log, group, id } = &self.member;
        log.faults().poll()?;
        Ok(log.read(*group, |group, records, finished| {
            group.poll(*id, records, demand, finished)
        }))
    }
}

impl Member {
    /// The partitions that the source holds, including those that it has to let go of.
    pub fn partitions(&self) -> Vec<u32> {
        self.log
            .change_quietly(self.group, |group| group.held_by(self.id))
            .unwrap_or_default()
    }

    /// Gives the source partitions that nobody holds.
    ///
    /// # Errors
    ///
    /// [`Rejected`](crate::ErrorKind::Rejected) if some source holds one of them, one doesn't exist
    /// or this source is gone; then none is assigned.
    pub fn assign(&self, partitions: &[u32]) -> Result<()> {
        self.log
            .change(self.group, |group, records| {
                group.assign(self.id, partitions, records)
            })
            .unwrap_or(Ok(()))
    }

    /// Begins to take partitions away: the source hands out nothing more of them, the engine has
    /// `within` to let go, and then they are free for others. Partitions that the source doesn't
    /// hold are left alone. Needs a tokio runtime.
    pub fn revoke(&self, partitions: &[u32], within: Duration) {
        let deadline = later(Instant::now(), within);
        let revoked = self.log.change(self.group, |group, _| {
            group.revoke(self.id, partitions, deadline)
        });
        if let Some(pending) = revoked.flatten() {
            self.log.wait_for(self.group, pending);
        }
    }

    /// Takes partitions away at once, as a broker does that has not heard of the source for too
    /// long. Partitions that the source doesn't hold are left alone.
    pub fn lose(&self, partitions: &[u32]) {
        self.log.change(self.group, |group, records| {
            group.lose(self.id, partitions, records)
        });
    }

    fn leave(&self) {
        self.log
            .change(self.group, |group, records| group.leave(self.id, records));
    }
}

#[async_trait]
impl Source for MemorySource {
    fn capability(&self) -> Capability {
        Capability::log()
    }

    fn settler(&self) -> Arc<dyn Settle> {
        Arc::new(LogSettle(self.member()))
    }

    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        // There may always be something; without this, a loop of polls would starve whatever else
        // its thread has to do.
        coop::consume_budget().await;
        loop {
            // Made before the state is read: it sees every change from here on. Nothing is awaited
            // after something was taken, so that dropping this future loses nothing.
            let changed = self.member.log.changed().notified();
            if let Some(signal) = self.next(demand)? {
                return Ok(signal);
            }
            changed.await;
        }
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<()> {
        let Member { log, group, id } = &self.member;
        log.change_quietly(*group, |group| group.pause(*id, partitions, true));
        Ok(())
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<()> {
        let Member { log, group, id } = &self.member;
        log.change(*group, |group, _| group.pause(*id, partitions, false));
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        self.member.leave();
    }
}

#[async_trait]
impl Settle for LogSettle {
    async fn settle(&self, batch: Vec<Settlement>) -> Result<Settled> {
        let Member { log, group, id } = &self.0;
        let faults = log.faults();
        faults.before_settle().await?;
        let mut settled = Settled::default();
        log.change_quietly(*group, |group| {
            for settlement in batch {
                let receipt = settlement.receipt;
                let result = faults
                    .settlement()
                    .and_then(|()| group.settle(*id, settlement));
                if let Err(error) = result {
                    settled.failed.push((receipt, error));
                }
            }
        });
        faults.after_settle()?;
        Ok(settled)
    }
}
