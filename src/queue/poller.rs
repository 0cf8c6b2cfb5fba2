//! The source: hands out what the receives have brought.
//!
//! * [`Poller::poll`](Source::poll) itself asks the broker for nothing. It says what there is room
//!   for, starts receives accordingly, and takes from the buffer what is there.
//! * Background tasks begin with the first poll, so that a poller can be made outside of a runtime.
//! * [`Poller::stop`](Source::stop) gives back what nobody has in hand, and lets the receives under way
//!   give back what they bring.
//! * [`Poller::close`](Source::close) goes in this order: no more receives and settlements; wait
//!   for the settlements that were accepted; give back what is on lease; wait for the receives
//!   under way, which give back what they bring; give back what was busy before.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{task::coop, time::Instant};

use super::{
    BrokerDeadLetters, PollerOptions, QueueBackend, QueueMonitor, settle::QueueSettle,
    shared::Shared,
};
use crate::{
    Capability, Result,
    source::{Assignment, Demand, Partition, Settle, Signal, Source},
};

/// A queue is one partition, assigned once, with the first poll.
pub(super) const PARTITION: Partition = Partition(0);
pub(super) const EPOCH: u32 = 1;

/// For the answer of a receive after its wait, and for giving back what it brings.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Makes a queue a [`Source`]: see [the module](super) for what it does.
///
/// * **Order.** Messages of a group are handed out in the order in which they were received. Others
///   nearly so: one whose lease is just being extended is passed over.
/// * **Cancellation.** Dropping the future of a poll loses nothing, and stops no receive.
/// * **Errors.** A poll never fails: see [`QueueMonitor::last_error`] for what the broker says.
/// * **Ownership.** What is received and not deleted still belongs to the broker, and comes again
///   when its lease ends.
/// * **The end** is [`close`](Source::close), which gives back what is not done and waits for the
///   receives under way, up to [`PollerOptions::wait`]. When the poller is dropped instead, what is
///   on lease comes again as the leases end, and settlements fail as fenced.
///
/// Has to be polled within a tokio runtime, in which its receives and settlements are tasks.
#[derive(Debug)]
pub struct Poller<B: QueueBackend> {
    shared: Arc<Shared<B>>,
    /// Whether the partition was assigned and the background tasks run.
    announced: bool,
}

impl<B: QueueBackend> Poller<B> {
    /// A poller with the default options. Nothing is asked of the broker before the first poll.
    pub fn new(backend: B) -> Self {
        Self::with_options(backend, PollerOptions::default())
    }

    /// A poller with options.
    pub fn with_options(backend: B, options: PollerOptions) -> Self {
        Self {
            shared: Arc::new(Shared::new(backend, options)),
            announced: false,
        }
    }

    /// What can be seen of it, also while a pipeline has it.
    pub fn monitor(&self) -> QueueMonitor {
        self.shared.monitor.clone()
    }

    /// For [`with_dead_letter`](crate::Pipeline::with_dead_letter) of the pipeline that gets this
    /// poller: the broker itself makes the dead letters, if its
    /// [backend](QueueBackend::dead_letter) can.
    pub fn dead_letters(&self) -> BrokerDeadLetters<B> {
        BrokerDeadLetters(Arc::clone(&self.shared))
    }

    fn begin(&mut self) -> Signal {
        self.announced = true;
        let shared = &self.shared;
        shared.tasks.spawn(Arc::clone(shared).keep_buffer());
        shared.tasks.spawn(Arc::clone(shared).watch_depth());
        Signal::Assigned(vec![Assignment {
            partition: PARTITION,
            epoch: EPOCH,
            name: shared.backend.name().into(),
        }])
    }
}

#[async_trait]
impl<B: QueueBackend> Source for Poller<B> {
    fn capability(&self) -> Capability {
        Capability::queue(self.shared.limits.lease)
    }

    fn settler(&self) -> Arc<dyn Settle> {
        Arc::new(QueueSettle(Arc::clone(&self.shared)))
    }

    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        // There may always be something; without this, a loop of polls would starve whatever else
        // its thread has to do.
        coop::consume_budget().await;
        if !self.announced {
            return Ok(self.begin());
        }
        self.shared.state().room = if demand.is_none() {
            Demand::NONE
        } else {
            demand
        };
        loop {
            // Made before the buffer is looked at: nothing that comes from here on is missed.
            // Nothing is awaited after something was taken, so that dropping this future loses
            // nothing.
            let changed = self.shared.changed.notified();
            self.shared.expire();
            let deliveries = self.shared.hand_out(demand);
            self.shared.launch();
            if !deliveries.is_empty() {
                return Ok(Signal::Deliveries(deliveries));
            }
            changed.await;
        }
    }

    fn stop(&mut self, by: Instant) {
        self.shared.stop(by);
    }

    fn closes_by(&self) -> Option<Instant> {
        let last = self.shared.state().waits.iter().max().copied();
        last.map(|end| end + LAST_ANSWER)
    }

    async fn close(self: Box<Self>) -> Result<()> {
        let shared = &self.shared;
        shared.close();
        shared.settling.close();
        shared.settling.wait().await;
        shared.give_back(shared.take_left()).await;
        shared.tasks.close();
        shared.tasks.wait().await;
        // What was busy before: its request has ended.
        shared.give_back(shared.take_left()).await;
        Ok(())
    }
}

impl<B: QueueBackend> Drop for Poller<B> {
    fn drop(&mut self) {
        self.shared.close();
    }
}
