//! The source and the settler of the log.

use std::sync::Arc;

use async_trait::async_trait;
use eventlane::{
    Capability, Error, ErrorKind, Result, Source,
    source::{
        Action, Assignment, Delivery, Demand, Partition, Position, Receipt, Settle, Settled,
        Settlement, Signal,
    },
};
use tokio::task::coop;

use crate::{
    dice::{Choice, Site},
    life::LifeId,
    log::{self, LogState, News, View},
    settle,
    world::World,
};

pub(crate) struct LogSource {
    pub(crate) world: Arc<World>,
    pub(crate) life: LifeId,
}

struct LogSettle {
    world: Arc<World>,
    life: LifeId,
}

#[async_trait]
impl Source for LogSource {
    fn capability(&self) -> Capability {
        let log = log::plan(&self.world.plan);
        if log.pause {
            Capability::log()
        } else {
            Capability::log().without_pause()
        }
    }

    fn settler(&self) -> Arc<dyn Settle> {
        Arc::new(LogSettle {
            world: Arc::clone(&self.world),
            life: self.life,
        })
    }

    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        coop::consume_budget().await;
        let world = Arc::clone(&self.world);
        loop {
            let changed = world.changed.notified();
            if let Some(signal) = self.next(demand)? {
                return Ok(signal);
            }
            changed.await;
        }
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<()> {
        self.set_paused(partitions, true);
        Ok(())
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<()> {
        self.set_paused(partitions, false);
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        let unsettled = self.world.unsettled_at_close(self.life);
        self.world.ledger().closed(self.life, unsettled);
        self.world.leave(self.life);
        Ok(())
    }
}

impl LogSource {
    fn set_paused(&self, partitions: &[Partition], paused: bool) {
        if let Some(member) = self.world.log().members.get_mut(&self.life) {
            for partition in partitions {
                if let Some(view) = member.views.get_mut(&partition.0) {
                    view.paused = paused;
                }
            }
        }
    }

    fn next(&self, demand: Demand) -> Result<Option<Signal>> {
        let mut log = self.world.log();
        let LogState {
            partitions,
            members,
            finished,
        } = &mut *log;
        let Some(member) = members.get_mut(&self.life) else {
            return Ok(None);
        };
        if let Some(news) = member.news.pop_front() {
            return Ok(Some(match news {
                News::Assigned(number, epoch) => {
                    let view = member.views.get_mut(&number);
                    if let Some(view) = view.filter(|view| view.epoch == epoch) {
                        view.stopped = false;
                    }
                    let name = format!("log/{number}").into();
                    let partition = Partition(number);
                    Signal::Assigned(vec![Assignment {
                        partition,
                        epoch,
                        name,
                    }])
                }
                News::Revoking(revocation, number, epoch) => {
                    let view = member.views.get_mut(&number);
                    if let Some(view) = view.filter(|view| view.epoch == epoch) {
                        view.stopped = true;
                    }
                    Signal::Revoking(revocation)
                }
                News::Lost(number) => Signal::Lost(vec![Partition(number)]),
            }));
        }
        let readable = |view: &View| !view.stopped && !view.paused;
        let polls = member.polls;
        let ids = [self.life as u64, polls];
        let mut deliveries = Vec::new();
        if !demand.is_none() {
            let most = log::plan(&self.world.plan).max_poll;
            let most = self
                .world
                .dice
                .choose(Choice::PollCount, &ids)
                .usize(1..most + 1);
            let mut bytes = 0;
            let count = partitions.len();
            'all: for at in 0..count {
                let number = (at + polls as usize) % count;
                let part = &partitions[number];
                let Some(view) = member.views.get_mut(&(number as u32)) else {
                    continue;
                };
                if !readable(view) {
                    continue;
                }
                let first = part
                    .records
                    .partition_point(|(offset, _)| *offset < view.next);
                for &(offset, event) in &part.records[first..] {
                    if view.skip.iter().any(|range| range.contains(&offset)) {
                        view.next = offset + 1;
                        continue;
                    }
                    let delivery = self.world.delivery(
                        event,
                        Receipt {
                            partition: Partition(number as u32),
                            epoch: view.epoch,
                            seq: offset,
                        },
                    );
                    let size = delivery.event.size();
                    let fits = deliveries.is_empty() || bytes + size <= demand.bytes;
                    if !fits || deliveries.len() >= most.min(demand.records) {
                        break 'all;
                    }
                    bytes += size;
                    let told = view.told;
                    deliveries.push((number as u32, told, delivery));
                    (view.next, view.told) = (offset + 1, offset + 1);
                }
            }
        }
        if !deliveries.is_empty() {
            member.polls += 1;
            if let Some(error) = self.trouble(&ids) {
                // Nothing of it was handed out.
                for (number, told, delivery) in deliveries.iter().rev() {
                    if let Some(view) = member.views.get_mut(number) {
                        (view.next, view.told) = (delivery.receipt.seq, *told);
                    }
                }
                return Err(error);
            }
            let deliveries: Vec<Delivery> = deliveries.into_iter().map(|(_, _, one)| one).collect();
            return Ok(Some(Signal::Deliveries(deliveries)));
        }
        let mut advanced = Vec::new();
        for (&number, view) in member.views.iter_mut().filter(|(_, view)| readable(view)) {
            let part = &partitions[number as usize];
            let at_end = part
                .records
                .last()
                .is_none_or(|(offset, _)| *offset < view.next);
            if at_end && view.told < part.end {
                (view.next, view.told) = (part.end, part.end);
                let (partition, epoch, next) = (Partition(number), view.epoch, view.next);
                advanced.push(Position {
                    partition,
                    epoch,
                    next,
                });
            }
        }
        if !advanced.is_empty() {
            return Ok(Some(Signal::Advanced(advanced)));
        }
        let ends = *finished
            && partitions.iter().enumerate().all(|(number, part)| {
                part.owner == Some(self.life)
                    && member
                        .views
                        .get(&(number as u32))
                        .is_some_and(|view| view.told == part.end)
            });
        Ok(ends.then_some(Signal::End))
    }

    fn trouble(&self, ids: &[u64]) -> Option<Error> {
        let fatal = self.world.dice.fault(Site::PollFatal, ids);
        if fatal.is_some() {
            self.world
                .ledger()
                .note(|| "group: a poll fails for good".to_owned());
            return Some(Error::new(ErrorKind::Unexpected, "poll", "for good"));
        }
        let mut random = self.world.dice.fault(Site::PollFail, ids)?;
        self.world
            .ledger()
            .note(|| "group: a poll fails".to_owned());
        Some(settle::passing(&mut random, "poll"))
    }
}

impl Drop for LogSource {
    fn drop(&mut self) {
        self.world.changed.notify_waiters();
    }
}

#[async_trait]
impl Settle for LogSettle {
    async fn settle(&self, batch: Vec<Settlement>) -> Result<Settled> {
        let number = {
            let mut log = self.world.log();
            let Some(member) = log.members.get_mut(&self.life) else {
                let failed = batch.iter().map(|one| (one.receipt, fenced())).collect();
                return Ok(Settled { failed });
            };
            member.settles += 1;
            member.settles
        };
        let ids = [self.life as u64, number];
        let world = Arc::clone(&self.world);
        let life = self.life;
        let trouble = settle::Trouble::draw(&self.world, life, &ids);
        settle::call(&self.world, life, trouble, &ids, move |failing| {
            let mut settled = Settled::default();
            for (at, settlement) in batch.iter().enumerate() {
                let result = match failing(at) {
                    Some(error) => Err(error),
                    None => world.commit(life, settlement),
                };
                if let Err(error) = result {
                    settled.failed.push((settlement.receipt, error));
                }
            }
            settled
        })
        .await
    }
}

fn fenced() -> Error {
    Error::new(ErrorKind::Fenced, "commit", "the assignment is over")
}

impl World {
    /// What the broker does with a commit, and whether it may be made.
    fn commit(&self, life: LifeId, settlement: &Settlement) -> Result<()> {
        let Settlement { receipt, action } = settlement;
        let mut log = self.log();
        let LogState {
            partitions,
            members,
            ..
        } = &mut *log;
        let number = receipt.partition.0;
        let part = &mut partitions[number as usize];
        let mut ledger = self.ledger();
        if part.owner != Some(life) || part.epoch != receipt.epoch {
            ledger.note(|| format!("group: refuses a commit of p{number}@{}", receipt.epoch));
            return Err(fenced());
        }
        let Action::DoneBelow { beyond } = action else {
            ledger.violation(format!("a log was settled by {action:?}"));
            return Err(Error::new(ErrorKind::Unsupported, "commit", "a log"));
        };
        let reach = members
            .get(&life)
            .and_then(|member| member.views.get(&number));
        if reach.is_some_and(|view| receipt.seq > view.next) {
            ledger.violation(format!(
                "p{number} was committed to {}, not read",
                receipt.seq
            ));
        }
        if receipt.seq < part.committed {
            ledger.violation(format!(
                "the commit of p{number} went back from {} to {}",
                part.committed, receipt.seq,
            ));
        }
        let below = Some(0..receipt.seq)
            .into_iter()
            .chain(beyond.iter().cloned());
        for range in below {
            for &(offset, event) in part
                .records
                .iter()
                .filter(|(offset, _)| range.contains(offset))
            {
                if !part.has_recorded(offset) && !ledger.is_resolved(event) {
                    ledger.violation(format!(
                        "lost: p{number} was settled over {offset}, e{event}, which is not done",
                    ));
                }
            }
        }
        ledger.note(|| format!("group: p{number}@{} is at {}", receipt.epoch, receipt.seq));
        part.committed = receipt.seq;
        part.beyond = match log::plan(&self.plan).keeps_beyond {
            true => beyond.clone(),
            false => Vec::new(),
        };
        Ok(())
    }
}
