use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::coop;

use super::{PollerOptions, QueueBackend, QueueMonitor, settle::QueueSettle, shared::Shared};
use crate::{
    Capability, Result,
    source::{Assignment, Demand, Partition, Settle, Signal, Source},
};

pub(super) const PARTITION: Partition = Partition(0);
pub(super) const EPOCH: u32 = 1;

/// Makes a queue a [`Source`]: see [the module](super) for what it does.
///
/// Has to be polled within a tokio runtime, in which its receives and settlements are tasks. It
/// ends by
/// [`close`](Source::close), which waits for the receives under way ([`PollerOptions::wait`]) and
/// gives back what is not done; when it is dropped instead, that comes again as its leases end.
#[derive(Debug)]
pub struct Poller<B: QueueBackend> {
    shared: Arc<Shared<B>>,
    announced: bool,
}

impl<B: QueueBackend> Poller<B> {
    /// A poller with the default options.
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
        self.shared.state().room = if demand.is_none() { 0 } else { demand.records };
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

    async fn close(self: Box<Self>) -> Result<()> {
        let shared = &self.shared;
        shared.close();
        shared.settling.close();
        shared.settling.wait().await;
        let left = {
            let mut state = shared.state();
            state.buffer.clear();
            state.held.take_idle()
        };
        shared.give_back(left).await;
        shared.tasks.close();
        shared.tasks.wait().await;
        Ok(())
    }
}

impl<B: QueueBackend> Drop for Poller<B> {
    fn drop(&mut self) {
        self.shared.close();
    }
}
