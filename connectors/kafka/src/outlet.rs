//! What the engine's polls are given: news first, then deliveries within the demand.
//!
//!
//! The rules, all of them from the [source contract](eventlane::source::Source):
//!
//! * **Order.** News before deliveries; of a partition, deliveries by rising offset; a position
//!   ([`Signal::Advanced`]) only when everything below it has been handed out.
//! * **Demand is a hard cap.** The one record that was popped and does not fit is held for the next
//!   poll. While one is held nothing more is popped, so at most one record beyond the demand exists
//!   (and what a pause sets aside).
//! * **Pause.** What is still on its way of a paused partition is set aside, in order.
//! * **Cancellation.** What is taken out is returned at once; nothing is awaited in here.

use std::collections::{HashMap, VecDeque};

use eventlane::{
    Error, ErrorKind, Result,
    source::{Delivery, Demand, Partition, Position, Receipt, Signal},
};

/// At most so many deliveries a poll, whatever the demand: a poll must not keep the engine from its
/// other work for long.
// Also how long the consumer's thread may find the state locked.
const MOST: usize = 256;

/// Keeps what can't be handed out yet.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    /// Goes before all deliveries: those of a partition that is taken away are withdrawn first, and
    /// those of a new one follow.
    news: VecDeque<Result<Signal>>,
    /// How far partitions have come without a delivery.
    advanced: Vec<Position>,
    /// Made, but beyond the demand of the poll that made them; or withheld by a pause that has
    /// ended.
    held: VecDeque<Delivery>,
    /// Paused partitions, with what was still on its way.
    aside: HashMap<Partition, VecDeque<Delivery>>,
    /// The source has failed: nothing more is made.
    failed: bool,
    ended: bool,
}

/// One thing that was fetched.
#[derive(Debug)]
pub(crate) enum Pulled {
    Delivery(Delivery),
    /// Everything before was delivered, or never will be.
    Advanced(Position),
    /// What has to be said before the next delivery of the partition, and that delivery.
    Anew(Vec<Signal>, Delivery),
    /// Nothing for the engine.
    Nothing,
    /// The end of the source.
    Failure(Error),
}

impl Outlet {
    /// What there is. `pull` is called for more as long as there is demand; `None` means that there
    /// is no more at present.
    ///
    /// Pulls without demand as well, until the first record is held: news of a partition's end must
    /// not wait for the engine to want events.
    pub(crate) fn next(
        &mut self,
        demand: Demand,
        mut pull: impl FnMut() -> Option<Pulled>,
    ) -> Option<Result<Signal>> {
        if let Some(news) = self.news.pop_front() {
            return Some(news);
        }
        let mut taken = Vec::new();
        let most = if demand.is_none() {
            0
        } else {
            demand.records.min(MOST)
        };
        let mut bytes = demand.bytes;
        while let Some(delivery) = self.held.pop_front() {
            if taken.len() >= most || !fits(&delivery, &mut bytes, taken.is_empty()) {
                self.held.push_front(delivery);
                break;
            }
            taken.push(delivery);
        }
        // Without demand, too: only behind a record that is withheld nothing can be seen.
        while self.held.is_empty() && self.news.is_empty() && !self.failed {
            if taken.len() >= most && most > 0 {
                break;
            }
            match pull() {
                None => break,
                Some(Pulled::Nothing) => {}
                Some(Pulled::Delivery(delivery)) => {
                    if let Some(aside) = self.aside.get_mut(&delivery.receipt.partition) {
                        aside.push_back(delivery);
                    } else if taken.len() >= most || !fits(&delivery, &mut bytes, taken.is_empty())
                    {
                        self.held.push_back(delivery);
                    } else {
                        taken.push(delivery);
                    }
                }
                Some(Pulled::Advanced(position)) => {
                    self.advanced
                        .retain(|other| other.partition != position.partition);
                    self.advanced.push(position);
                }
                Some(Pulled::Anew(news, delivery)) => {
                    let partition = delivery.receipt.partition;
                    taken.retain(|other: &Delivery| other.receipt.partition != partition);
                    self.forget(&[partition]);
                    self.news.extend(news.into_iter().map(Ok));
                    self.held.push_back(delivery);
                }
                Some(Pulled::Failure(error)) => self.fail(error),
            }
        }
        if !taken.is_empty() {
            return Some(Ok(Signal::Deliveries(taken)));
        }
        if let Some(news) = self.news.pop_front() {
            return Some(news);
        }
        if let Some(positions) = self.take_advanced() {
            return Some(Ok(Signal::Advanced(positions)));
        }
        self.ended.then(|| {
            let message = "the consumer has ended";
            Err(Error::new(ErrorKind::Unexpected, "poll Kafka", message))
        })
    }

    /// Positions, but for those with deliveries before them that could not be handed out yet. They
    /// stay in `advanced` until their turn: a position told too early would let the engine commit
    /// beyond a delivery that it has never seen.
    fn take_advanced(&mut self) -> Option<Vec<Position>> {
        if self.advanced.is_empty() {
            return None;
        }
        let Self { held, aside, .. } = self;
        let waits = |position: &Position| {
            let before = |delivery: &Delivery| {
                let Receipt { partition, seq, .. } = delivery.receipt;
                partition == position.partition && seq < position.next
            };
            held.iter().any(before)
                || aside
                    .get(&position.partition)
                    .is_some_and(|aside| aside.iter().any(before))
        };
        let (waiting, ready): (Vec<_>, Vec<_>) = self.advanced.drain(..).partition(waits);
        self.advanced = waiting;
        (!ready.is_empty()).then_some(ready)
    }

    /// Announces something.
    pub(crate) fn announce(&mut self, news: Signal) {
        self.news.push_back(Ok(news));
    }

    /// Withdraws what is here of these partitions, and announces what became of them. What is
    /// withdrawn was not handed out, so it still belongs to the broker.
    pub(crate) fn withdraw(&mut self, partitions: &[Partition], news: Signal) {
        self.forget(partitions);
        self.announce(news);
    }

    /// An assignment is over, and the next begins resumed.
    fn forget(&mut self, partitions: &[Partition]) {
        let gone = |partition: &Partition| partitions.contains(partition);
        self.advanced.retain(|position| !gone(&position.partition));
        self.held
            .retain(|delivery| !gone(&delivery.receipt.partition));
        self.aside.retain(|partition, _| !gone(partition));
    }

    /// Hands out nothing more of this partition.
    pub(crate) fn pause(&mut self, partition: Partition) {
        let aside = self.aside.entry(partition).or_default();
        for delivery in std::mem::take(&mut self.held) {
            match delivery.receipt.partition == partition {
                true => aside.push_back(delivery),
                false => self.held.push_back(delivery),
            }
        }
    }

    /// Whether the engine has paused it.
    pub(crate) fn is_paused(&self, partition: Partition) -> bool {
        self.aside.contains_key(&partition)
    }

    /// Hands it out again, what was set aside first. Without effect if it is not paused.
    pub(crate) fn resume(&mut self, partition: Partition) {
        self.held
            .extend(self.aside.remove(&partition).unwrap_or_default());
    }

    /// Ends the source: the engine learns why, and nothing more is made.
    pub(crate) fn fail(&mut self, error: Error) {
        if !std::mem::replace(&mut self.failed, true) {
            self.news.push_back(Err(error));
        }
    }

    /// The consumer is gone.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }
}

/// Takes a delivery off the demand, unless it is too large for it.
fn fits(delivery: &Delivery, bytes: &mut usize, first: bool) -> bool {
    let size = delivery.event.size();
    if size > *bytes && !first {
        return false;
    }
    *bytes = bytes.saturating_sub(size);
    true
}

#[cfg(test)]
mod tests;
