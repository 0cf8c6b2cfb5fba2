//! Sources that are broken on purpose, to see that the suite can fail.

use std::{
    any::Any,
    collections::HashMap,
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Capability, ErrorKind, Result, Source,
    conformance::{Harness, Message, Order, Timing},
    memory::MemoryLog,
    source::{Action, Demand, Partition, Receipt, Settle, Settled, Settlement, Signal},
};
use tokio::{sync::Mutex as AsyncMutex, time};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    // In what is handed out:
    LosesMessages,
    RepeatsMessages,
    LosesKeys,
    SwapsMessages,
    LosesWhatIsDropped,
    KeepsEpochs,
    HidesAttempts,
    LetsGoAtOnce,
    IgnoresRecords,
    IgnoresBytes,
    DeliversUnasked,
    WithholdsNews,
    NeverPauses,
    PausesEverything,
    // In what is settled:
    SettlesWhatItHandsOut,
    SettlesOneTooMany,
    SettlesAllBefore,
    SettlesNothing,
    SettlesTheGap,
    SettlesOrPolls,
    SettlesWhenClosed,
    ForgetsExtensions,
    ForgetsReleases,
    ForgetsToGiveBack,
    ReleasesAtOnce,
    ForgetsToClose,
    HidesFailures,
    FailsTogether,
    IgnoresEpochs,
    FencesInWordsOnly,
}

/// A harness whose sources have a flaw.
pub(crate) struct Broken<H> {
    pub(crate) harness: H,
    pub(crate) flaw: Flaw,
}

#[async_trait]
impl<H: Harness> Harness for Broken<H>
where
    H::Topic: 'static,
{
    type Topic = H::Topic;

    fn capability(&self) -> Capability {
        self.harness.capability()
    }

    fn order(&self) -> Order {
        self.harness.order()
    }

    fn timing(&self) -> Timing {
        self.harness.timing()
    }

    fn hands_over(&self) -> bool {
        self.harness.hands_over()
    }

    async fn create(&self) -> Result<H::Topic> {
        self.harness.create().await
    }

    async fn produce(&self, topic: &H::Topic, messages: &[Message]) -> Result<()> {
        self.harness.produce(topic, messages).await
    }

    async fn open(&self, topic: &H::Topic) -> Result<Box<dyn Source>> {
        let inner = self.harness.open(topic).await?;
        let settle = Arc::new(BrokenSettle {
            inner: inner.settler(),
            flaw: self.flaw,
            log: (topic as &dyn Any).downcast_ref::<MemoryLog>().cloned(),
            lock: AsyncMutex::new(()),
            epochs: Mutex::default(),
            delivered: Mutex::default(),
        });
        Ok(Box::new(BrokenSource {
            inner,
            settle,
            polls: 0,
        }))
    }

    async fn rebalance(&self, topic: &H::Topic) -> Result<()> {
        self.harness.rebalance(topic).await
    }
}

struct BrokenSource {
    inner: Box<dyn Source>,
    settle: Arc<BrokenSettle>,
    polls: u64,
}

struct BrokenSettle {
    inner: Arc<dyn Settle>,
    flaw: Flaw,
    log: Option<MemoryLog>,
    lock: AsyncMutex<()>,
    epochs: Mutex<HashMap<Partition, u32>>,
    delivered: Mutex<Vec<Receipt>>,
}

impl BrokenSource {
    fn demand(&self, demand: Demand) -> Demand {
        let plenty = 1 << 20;
        match self.settle.flaw {
            Flaw::IgnoresRecords if !demand.is_none() => Demand {
                records: plenty,
                ..demand
            },
            Flaw::IgnoresBytes if !demand.is_none() => Demand {
                bytes: plenty,
                ..demand
            },
            Flaw::DeliversUnasked if demand.is_none() => Demand {
                records: 1,
                bytes: plenty,
            },
            _ => demand,
        }
    }

    /// What becomes of a signal; `None` if nothing is left of it.
    fn alter(&mut self, mut signal: Signal) -> Option<Signal> {
        self.polls += 1;
        let flaw = self.settle.flaw;
        match &mut signal {
            Signal::Deliveries(deliveries) => {
                let mut delivered = self.settle.delivered.lock().unwrap();
                delivered.extend(deliveries.iter().map(|delivery| delivery.receipt));
                match flaw {
                    Flaw::LosesMessages => {
                        let mut count = self.polls;
                        deliveries.retain(|_| {
                            count += 1;
                            !count.is_multiple_of(9)
                        });
                    }
                    Flaw::RepeatsMessages => deliveries.extend_from_within(..1),
                    Flaw::LosesKeys => deliveries.iter_mut().for_each(|it| it.key = None),
                    Flaw::SwapsMessages => {
                        let events: Vec<_> = deliveries.iter().map(|it| it.event.clone()).collect();
                        for (delivery, event) in deliveries.iter_mut().zip(events.into_iter().rev())
                        {
                            delivery.event = event;
                        }
                    }
                    Flaw::KeepsEpochs => deliveries.iter_mut().for_each(|it| it.receipt.epoch = 1),
                    Flaw::HidesAttempts => deliveries.iter_mut().for_each(|it| it.attempt = 1),
                    _ => {}
                }
                return (!deliveries.is_empty()).then_some(signal);
            }
            Signal::Assigned(assignments) if flaw == Flaw::KeepsEpochs => {
                let mut epochs = self.settle.epochs.lock().unwrap();
                for assignment in assignments {
                    epochs.insert(assignment.partition, assignment.epoch);
                    assignment.epoch = 1;
                }
            }
            _ => {}
        }
        match signal {
            Signal::Revoking(revocation) if flaw == Flaw::LetsGoAtOnce => {
                Some(Signal::Lost(revocation.partitions))
            }
            signal => Some(signal),
        }
    }
}

#[async_trait]
impl Source for BrokenSource {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn settler(&self) -> Arc<dyn Settle> {
        Arc::<BrokenSettle>::clone(&self.settle)
    }

    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        let settle = Arc::clone(&self.settle);
        let demand = self.demand(demand);
        if settle.flaw == Flaw::WithholdsNews && demand.is_none() {
            future::pending::<()>().await;
        }
        let _lock = match settle.flaw {
            Flaw::SettlesOrPolls => Some(settle.lock.lock().await),
            _ => None,
        };
        loop {
            let signal = self.inner.poll(demand).await?;
            let Some(signal) = self.alter(signal) else {
                continue;
            };
            match (&signal, settle.flaw) {
                (Signal::Deliveries(_), Flaw::LosesWhatIsDropped) => {
                    time::sleep(Duration::from_millis(1)).await;
                }
                (Signal::Deliveries(_), Flaw::SettlesWhatItHandsOut) => settle.all().await?,
                _ => {}
            }
            return Ok(signal);
        }
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<()> {
        match self.settle.flaw {
            Flaw::NeverPauses => Ok(()),
            Flaw::PausesEverything => self.inner.pause(&[Partition(0), Partition(1)]),
            _ => self.inner.pause(partitions),
        }
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<()> {
        self.inner.resume(partitions)
    }

    async fn close(self: Box<Self>) -> Result<()> {
        match self.settle.flaw {
            Flaw::SettlesWhenClosed => self.settle.all().await?,
            Flaw::ForgetsToClose => return Ok(()),
            _ => {}
        }
        self.inner.close().await
    }
}

impl BrokenSettle {
    /// Settles all that was delivered.
    async fn all(&self) -> Result<()> {
        let receipts = self.delivered.lock().unwrap().clone();
        let done = |receipt: Receipt| match self.log {
            Some(_) => Settlement {
                receipt: Receipt {
                    seq: receipt.seq + 1,
                    ..receipt
                },
                action: Action::DoneBelow { beyond: vec![] },
            },
            None => Settlement {
                receipt,
                action: Action::Done,
            },
        };
        self.inner
            .settle(receipts.into_iter().map(done).collect())
            .await?;
        Ok(())
    }

    fn alter(
        &self,
        Settlement {
            mut receipt,
            mut action,
        }: Settlement,
    ) -> Vec<Settlement> {
        match (self.flaw, &mut action) {
            (Flaw::SettlesNothing, Action::Done | Action::DoneBelow { .. })
            | (Flaw::ForgetsExtensions, Action::Extend { .. })
            | (Flaw::ForgetsReleases, Action::Release { .. })
            | (Flaw::ForgetsToGiveBack, Action::GiveBack) => return vec![],
            (Flaw::SettlesOneTooMany, Action::DoneBelow { .. }) => receipt.seq += 1,
            (Flaw::SettlesTheGap, Action::DoneBelow { beyond }) => {
                if let Some(last) = beyond.pop() {
                    receipt.seq = last.end;
                }
                beyond.clear();
            }
            (Flaw::SettlesAllBefore, Action::Done) => {
                let delivered = self.delivered.lock().unwrap();
                let before = delivered.iter().filter(|other| other.seq <= receipt.seq);
                let done = |receipt: &Receipt| Settlement {
                    receipt: *receipt,
                    action: Action::Done,
                };
                return before.map(done).collect();
            }
            (Flaw::ReleasesAtOnce, Action::Release { after }) => *after = Duration::ZERO,
            (Flaw::KeepsEpochs, _) => {
                let epochs = self.epochs.lock().unwrap();
                receipt.epoch = epochs
                    .get(&receipt.partition)
                    .copied()
                    .unwrap_or(receipt.epoch);
            }
            _ => {}
        }
        vec![Settlement { receipt, action }]
    }

    /// Commits although it must not.
    fn force(&self, receipt: Receipt) {
        if let Some(log) = &self.log {
            log.set_committed("group", receipt.partition.0, receipt.seq);
        }
    }
}

#[async_trait]
impl Settle for BrokenSettle {
    async fn settle(&self, batch: Vec<Settlement>) -> Result<Settled> {
        let _lock = match self.flaw {
            Flaw::SettlesOrPolls => Some(self.lock.lock().await),
            _ => None,
        };
        let receipts: Vec<_> = batch.iter().map(|settlement| settlement.receipt).collect();
        let altered = batch
            .into_iter()
            .flat_map(|settlement| self.alter(settlement))
            .collect();
        let mut settled = self.inner.settle(altered).await?;
        let fenced = |settled: &Settled| {
            let fenced = settled
                .failed
                .iter()
                .filter(|(_, error)| error.kind() == ErrorKind::Fenced);
            fenced.map(|(receipt, _)| *receipt).collect::<Vec<_>>()
        };
        match self.flaw {
            // The second would be told on by what was settled twice.
            Flaw::HidesFailures | Flaw::SettlesAllBefore => settled.failed.clear(),
            // What it altered can't be found in the answer.
            Flaw::KeepsEpochs => settled.failed.iter_mut().for_each(|(it, _)| it.epoch = 1),
            Flaw::FencesInWordsOnly => fenced(&settled).into_iter().for_each(|it| self.force(it)),
            Flaw::IgnoresEpochs => {
                fenced(&settled).into_iter().for_each(|it| self.force(it));
                settled
                    .failed
                    .retain(|(_, error)| error.kind() != ErrorKind::Fenced);
            }
            Flaw::FailsTogether => {
                if let Some((_, error)) = settled.failed.pop() {
                    let again = |receipt| {
                        (
                            receipt,
                            eventlane::Error::new(error.kind(), "settle", "all"),
                        )
                    };
                    settled.failed = receipts.into_iter().map(again).collect();
                }
            }
            _ => {}
        }
        Ok(settled)
    }
}
