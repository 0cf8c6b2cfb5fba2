//! A source under test, read with patience.
//!
//! Transient errors of polls are waited out, as the engine does; any other fails the case.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{
    rules::Rules,
    stage::{Stage, Verdict, ensure},
};
use crate::{
    Error, ErrorKind, Result,
    source::{
        Action, Delivery, Demand, Partition, Receipt, Revocation, Settle, Settled, Settlement,
        Settling, Signal, Source,
    },
};

/// As much as a case ever wants.
pub(super) const PLENTY: Demand = Demand {
    records: 1000,
    bytes: 64 << 20,
};

/// A source under test: what it says is checked against the [`Rules`], and nothing is waited for
/// without end.
pub(super) struct Reader<'s> {
    stage: &'s Stage<'s>,
    pub(super) source: Box<dyn Source>,
    settler: Arc<dyn Settle>,
    pub(super) rules: Rules,
    /// The last transient error, to say why nothing comes.
    trouble: Option<Error>,
}

/// A message that came, recognised.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) number: u32,
    pub(super) delivery: Delivery,
}

/// What a poll brought, as far as cases tell it apart.
#[derive(Debug)]
pub(super) enum News {
    Messages(Vec<Got>),
    Revoking(Revocation),
    Other,
}

impl<'s> Reader<'s> {
    pub(super) fn new(stage: &'s Stage<'s>, source: Box<dyn Source>) -> Self {
        let settler = source.settler();
        Self {
            stage,
            source,
            settler,
            rules: Rules::new(stage.traits.capability),
            trouble: None,
        }
    }

    pub(super) fn patience(&self) -> Duration {
        self.stage.traits.timing.patience
    }

    // Reading.

    /// The next signal; `None` if none came until then.
    pub(super) async fn next(&mut self, demand: Demand, until: Instant) -> Verdict<Option<News>> {
        loop {
            let Ok(signal) = timeout_at(until, self.source.poll(demand)).await else {
                return Ok(None);
            };
            match signal {
                Ok(signal) => return self.take(signal, demand).map(Some),
                Err(error) if error.kind().is_transient() => {
                    let pause = error.retry_after().unwrap_or(Duration::from_millis(100));
                    self.trouble = Some(error);
                    sleep_until(until.min(Instant::now() + pause)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn take(&mut self, signal: Signal, demand: Demand) -> Verdict<News> {
        self.rules.check(&signal, demand)?;
        Ok(match signal {
            Signal::Deliveries(deliveries) => News::Messages(
                deliveries
                    .into_iter()
                    .map(|delivery| {
                        Ok(Got {
                            number: self.stage.number(&delivery.event)?,
                            delivery,
                        })
                    })
                    .collect::<Verdict<_>>()?,
            ),
            Signal::Revoking(revocation) => News::Revoking(revocation),
            Signal::Assigned(_) | Signal::Advanced(_) | Signal::Lost(_) | Signal::End => {
                News::Other
            }
        })
    }

    /// So many messages, or a few more if they come together.
    pub(super) async fn read(&mut self, count: usize) -> Verdict<Vec<Got>> {
        self.read_as(count, PLENTY, self.patience()).await
    }

    /// The same, each poll with the given demand, and within the given time after the last message.
    pub(super) async fn read_as(
        &mut self,
        count: usize,
        demand: Demand,
        patience: Duration,
    ) -> Verdict<Vec<Got>> {
        let mut read = Vec::new();
        let mut until = Instant::now() + patience;
        while read.len() < count {
            match self.next(demand, until).await? {
                Some(News::Messages(messages)) => {
                    read.extend(messages);
                    until = Instant::now() + patience;
                }
                Some(News::Revoking(_) | News::Other) => {}
                None => {
                    let got = numbers(&read);
                    let trouble = match &self.trouble {
                        Some(error) => format!("; the last error was {error}"),
                        None => String::new(),
                    };
                    return Err(format!(
                        "only {got:?} came, and then nothing for {patience:?}, where {count} were to come{trouble}"
                    )
                    .into());
                }
            }
        }
        Ok(read)
    }

    /// So many messages, each settled as soon as it came.
    pub(super) async fn read_and_settle(
        &mut self,
        count: usize,
        demand: Demand,
    ) -> Verdict<Vec<Got>> {
        let mut read = Vec::new();
        while read.len() < count {
            let got = self.read_as(1, demand, self.patience()).await;
            let got =
                got.map_err(|violation| format!("after {:?}: {violation}", numbers(&read)))?;
            self.done(&got).await?;
            read.extend(got);
        }
        Ok(read)
    }

    /// Fails if a message comes within this time.
    pub(super) async fn expect_nothing(&mut self, demand: Demand, within: Duration) -> Verdict {
        let until = Instant::now() + within;
        while let Some(news) = self.next(demand, until).await? {
            if let News::Messages(messages) = news {
                return Err(
                    format!("{:?} came, where nothing was to come", numbers(&messages)).into(),
                );
            }
        }
        Ok(())
    }

    /// Polls without demand until the source holds a partition.
    pub(super) async fn expect_assignment(&mut self) -> Verdict {
        let until = Instant::now() + self.patience();
        while !self.rules.holds_any() {
            let news = self.next(Demand::NONE, until).await?;
            ensure!(
                news.is_some(),
                "no partition was assigned within the patience"
            );
        }
        Ok(())
    }

    // Settling.

    pub(super) fn settler(&self) -> Arc<dyn Settle> {
        Arc::clone(&self.settler)
    }

    /// The settlements that make these messages, and all before them, done.
    pub(super) fn settlements(&self, messages: &[Got]) -> Vec<Settlement> {
        match self.stage.traits.capability.settling {
            Settling::Individual => messages
                .iter()
                .map(|got| got.settlement(Action::Done))
                .collect(),
            Settling::Cumulative => {
                let mut last: BTreeMap<Partition, Receipt> = BTreeMap::new();
                for Got { delivery, .. } in messages {
                    let receipt = delivery.receipt;
                    let last = last.entry(receipt.partition).or_insert(receipt);
                    *last = if receipt.seq > last.seq {
                        receipt
                    } else {
                        *last
                    };
                }
                last.into_values()
                    .map(|last| {
                        below(Receipt {
                            seq: last.seq + 1,
                            ..last
                        })
                    })
                    .collect()
            }
        }
    }

    /// Settles these messages, and in a log all before them.
    pub(super) async fn done(&mut self, messages: &[Got]) -> Verdict {
        self.carried_out(self.settlements(messages)).await
    }

    /// Settles, which must work.
    pub(super) async fn carried_out(&mut self, settlements: Vec<Settlement>) -> Verdict {
        let most = self.stage.traits.capability.max_settle.max(1);
        for batch in settlements.chunks(most) {
            let settled = settle(&*self.settler, batch.to_vec(), self.patience()).await?;
            if let Some((receipt, error)) = settled?.failed.first() {
                return Err(format!("settling {receipt} failed: {error}").into());
            }
        }
        Ok(())
    }

    /// Settles, which must fail, and as this.
    pub(super) async fn refused(&mut self, settlement: Settlement, kind: ErrorKind) -> Verdict {
        refused(&*self.settler, settlement, kind, self.patience()).await
    }

    // Ending.

    /// Closes the source, which has to come to an end within the patience.
    pub(super) async fn close(self) -> Verdict {
        let patience = self.patience();
        let closed = timeout(patience, self.source.close()).await;
        Ok(closed.map_err(|_| format!("closing takes longer than {patience:?}"))??)
    }
}

impl Got {
    pub(super) fn settlement(&self, action: Action) -> Settlement {
        Settlement {
            receipt: self.delivery.receipt,
            action,
        }
    }

    pub(super) fn below(&self) -> Settlement {
        below(self.delivery.receipt)
    }
}

pub(super) fn numbers(messages: &[Got]) -> Vec<u32> {
    messages.iter().map(|got| got.number).collect()
}

pub(super) fn sorted_numbers(messages: &[Got]) -> Vec<u32> {
    let mut numbers = numbers(messages);
    numbers.sort_unstable();
    numbers
}

fn below(receipt: Receipt) -> Settlement {
    Settlement {
        receipt,
        action: Action::DoneBelow { beyond: Vec::new() },
    }
}

/// One call, which has to return in time.
pub(super) async fn settle(
    settler: &dyn Settle,
    batch: Vec<Settlement>,
    patience: Duration,
) -> Verdict<Result<Settled>> {
    let settled = timeout(patience, settler.settle(batch)).await;
    Ok(settled.map_err(|_| format!("settling takes longer than {patience:?}"))?)
}

/// One settlement, which must fail, and as this.
pub(super) async fn refused(
    settler: &dyn Settle,
    settlement: Settlement,
    kind: ErrorKind,
    patience: Duration,
) -> Verdict {
    let failure = |settled: Settled| {
        let of = |(receipt, error)| (receipt == settlement.receipt).then_some(error);
        settled.failed.into_iter().find_map(of)
    };
    let error: Option<Error> = match settle(settler, vec![settlement.clone()], patience).await? {
        Ok(settled) => failure(settled),
        Err(error) => Some(error),
    };
    let Settlement { receipt, action } = settlement;
    let what = format!("settling {receipt} as {action:?}");
    match error {
        None => Err(format!("{what} worked; it has to fail as {kind:?}").into()),
        Some(error) if error.kind() == kind => Ok(()),
        Some(error) => Err(format!("{what} failed, but not as {kind:?}: {error:?}").into()),
    }
}
