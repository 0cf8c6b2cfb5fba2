//! eventlane, with a sink that takes everything.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Event, Pipeline, Result,
    queue::{Limits, Message, Poller, PollerOptions, QueueBackend},
    sink::FunctionSink,
};
use eventlane_rocketmq::{RocketMqQueue, client::LARGEST_BATCH};
use eventlane_testkit::clock::{Clock, Took};
use tokio::sync::Notify;

use crate::{Task, topic};

/// A queue that counts what is acknowledged.
struct Counted {
    queue: RocketMqQueue,
    messages: usize,
    deleted: AtomicUsize,
    empty: Arc<Notify>,
}

#[async_trait]
impl QueueBackend for Counted {
    type Handle = <RocketMqQueue as QueueBackend>::Handle;

    fn name(&self) -> &str {
        self.queue.name()
    }

    fn limits(&self) -> Limits {
        self.queue.limits()
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message<Self::Handle>>> {
        self.queue.receive(max, wait).await
    }

    async fn delete(&self, handles: &[Self::Handle]) -> Result<Vec<Result<()>>> {
        let results = self.queue.delete(handles).await?;
        let deleted = results.iter().filter(|result| result.is_ok()).count();
        if self.deleted.fetch_add(deleted, SeqCst) + deleted >= self.messages {
            self.empty.notify_one();
        }
        Ok(results)
    }

    async fn change_visibility(
        &self,
        changes: &[(Self::Handle, Duration)],
    ) -> Result<Vec<Result<Self::Handle>>> {
        self.queue.change_visibility(changes).await
    }
}

pub(crate) async fn empty(task: Task) -> Took {
    let config = topic::config(&task.endpoint, &task.topic);
    let queue = RocketMqQueue::connect(config).await.expect("connects");
    let empty = Arc::new(Notify::new());
    // So many leases that no receive has to wait for room.
    let held = (4 * task.receives * LARGEST_BATCH).max(1000);
    let poller = PollerOptions::default()
        .with_receivers(task.receives..=task.receives)
        .with_max_held(held);
    let counted = Counted {
        queue,
        messages: task.messages,
        deleted: AtomicUsize::new(0),
        empty: Arc::clone(&empty),
    };
    let sink = FunctionSink::new(|_: Event| async { Ok::<(), Infallible>(()) });
    let pipeline = Pipeline::new(Poller::with_options(counted, poller), sink);
    let clock = Clock::start();
    tokio::spawn(pipeline.run());
    empty.notified().await;
    // The receives that still wait end with the process.
    clock.stop()
}
