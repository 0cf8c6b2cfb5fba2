//! The rules of the [contract](crate::source) that hold for every signal, whatever the case.
//!
//! Each poll's result goes through [`Rules::check`] before the case sees it. A source that breaks
//! one fails the case that happens to run, with a message that names the rule.

use std::collections::HashMap;

use super::stage::{Verdict, ensure};
use crate::source::{Assignment, Capability, Delivery, Demand, Partition, Position, Signal};

/// What holds of every signal, in every case: each poll is checked against what came before it.
#[derive(Debug)]
pub(super) struct Rules {
    capability: Capability,
    partitions: HashMap<Partition, State>,
}

/// What is known of a partition. Kept when it goes, since the next epoch must be higher.
#[derive(Debug)]
struct State {
    epoch: u32,
    /// Below it nothing more may come in this epoch.
    next: u64,
    ours: bool,
}

impl Rules {
    pub(super) fn new(capability: Capability) -> Self {
        Self {
            capability,
            partitions: HashMap::new(),
        }
    }

    /// The epoch under which the source holds a partition, if it does.
    pub(super) fn epoch(&self, partition: Partition) -> Option<u32> {
        self.partitions
            .get(&partition)
            .filter(|state| state.ours)
            .map(|state| state.epoch)
    }

    pub(super) fn holds_any(&self) -> bool {
        self.partitions.values().any(|state| state.ours)
    }

    /// Checks a signal that answers a poll with this demand, and takes note of it.
    pub(super) fn check(&mut self, signal: &Signal, demand: Demand) -> Verdict {
        match signal {
            Signal::Deliveries(deliveries) => self.deliveries(deliveries, demand),
            Signal::Assigned(assignments) => {
                assignments.iter().try_for_each(|new| self.assigned(new))
            }
            Signal::Advanced(positions) => positions.iter().try_for_each(|to| self.advanced(*to)),
            Signal::Revoking(revocation) => {
                for partition in &revocation.partitions {
                    ensure!(
                        self.epoch(*partition).is_some(),
                        "{partition:?} is being revoked, but the source does not hold it"
                    );
                }
                self.gone(&revocation.partitions);
                Ok(())
            }
            Signal::Lost(partitions) => {
                self.gone(partitions);
                Ok(())
            }
            Signal::End => Err("the source ended, though more may come".into()),
        }
    }

    /// The demand is a hard cap, except that one event may be larger than its bytes.
    fn deliveries(&mut self, deliveries: &[Delivery], demand: Demand) -> Verdict {
        let count = deliveries.len();
        ensure!(
            !deliveries.is_empty(),
            "a poll returned neither deliveries nor news"
        );
        ensure!(
            !demand.is_none(),
            "{count} deliveries came where {demand:?} was the demand"
        );
        ensure!(
            count <= demand.records,
            "{count} deliveries came where {demand:?} was the demand"
        );
        let most = self.capability.max_poll;
        ensure!(
            count <= most,
            "{count} deliveries came at once; the capability says {most} at most"
        );
        let bytes: usize = deliveries
            .iter()
            .map(|delivery| delivery.event.size())
            .sum();
        ensure!(
            count == 1 || bytes <= demand.bytes,
            "{count} deliveries of {bytes} bytes came where {demand:?} was the demand"
        );
        deliveries
            .iter()
            .try_for_each(|delivery| self.delivery(delivery))
    }

    fn delivery(&mut self, delivery: &Delivery) -> Verdict {
        let receipt = delivery.receipt;
        let leased = self.capability.lease.is_some();
        let Some(state) = self
            .partitions
            .get_mut(&receipt.partition)
            .filter(|state| state.ours)
        else {
            return Err(format!(
                "delivery {receipt} is of a partition that the source does not hold"
            )
            .into());
        };
        ensure!(
            receipt.epoch == state.epoch,
            "delivery {receipt} has another epoch than its assignment, {}",
            state.epoch
        );
        ensure!(
            receipt.seq >= state.next,
            "delivery {receipt} comes when its partition has got to {}",
            state.next
        );
        ensure!(
            delivery.attempt > 0,
            "delivery {receipt} has attempt 0; the first is 1"
        );
        ensure!(
            delivery.lease.is_some() == leased,
            "delivery {receipt} and the capability differ on leases"
        );
        state.next = receipt.seq + 1;
        Ok(())
    }

    /// Not ours yet, and under a higher epoch than ever before.
    fn assigned(&mut self, new: &Assignment) -> Verdict {
        let Assignment {
            partition,
            epoch,
            name,
        } = new;
        if let Some(old) = self.partitions.get(partition) {
            ensure!(
                !old.ours,
                "{name} is assigned, but the source holds it already"
            );
            ensure!(
                *epoch > old.epoch,
                "{name} is assigned with epoch {epoch} after epoch {}",
                old.epoch
            );
        }
        self.partitions.insert(
            *partition,
            State {
                epoch: *epoch,
                next: 0,
                ours: true,
            },
        );
        Ok(())
    }

    fn advanced(&mut self, to: Position) -> Verdict {
        let Some(state) = self
            .partitions
            .get_mut(&to.partition)
            .filter(|state| state.ours)
        else {
            return Err(format!("{to:?} is of a partition that the source does not hold").into());
        };
        ensure!(
            to.epoch == state.epoch,
            "{to:?} has another epoch than its assignment"
        );
        ensure!(
            to.next >= state.next,
            "{to:?} goes back from {}",
            state.next
        );
        state.next = to.next;
        Ok(())
    }

    fn gone(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            if let Some(state) = self.partitions.get_mut(partition) {
                state.ours = false;
            }
        }
    }
}
