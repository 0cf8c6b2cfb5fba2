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
use eventlane_sqs::{SqsConfig, SqsQueue, StaticCredentials};
use eventlane_testkit::clock::{Clock, Took};
use tokio::sync::Notify;

use crate::Options;

/// A queue that counts what is deleted.
struct Counted {
    queue: SqsQueue,
    deleted: Arc<AtomicUsize>,
}

#[async_trait]
impl QueueBackend for Counted {
    type Handle = <SqsQueue as QueueBackend>::Handle;

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
        self.deleted.fetch_add(deleted, SeqCst);
        Ok(results)
    }

    async fn change_visibility(
        &self,
        changes: &[(Self::Handle, Duration)],
    ) -> Result<Vec<Result<Self::Handle>>> {
        self.queue.change_visibility(changes).await
    }
}

pub(crate) async fn empty(endpoint: &str, url: &str, options: &Options) -> Took {
    let config = SqsConfig::new(url)
        .with_endpoint(endpoint)
        .with_region("us-east-1")
        .with_credentials(StaticCredentials::new("id", "secret"))
        .with_wait(Duration::from_secs(1));
    let queue = SqsQueue::connect(config).await.expect("connects");
    let deleted = Arc::new(AtomicUsize::new(0));
    let counted = Counted {
        queue,
        deleted: Arc::clone(&deleted),
    };
    let poller = PollerOptions::default().with_receivers(1..=options.receivers);
    let sink = FunctionSink::new(|_: Event| async { Ok::<(), Infallible>(()) });
    let pipeline = Pipeline::new(Poller::with_options(counted, poller), sink);
    let clock = Clock::start();
    let empty = Arc::new(Notify::new());
    let emptied = Arc::clone(&empty);
    let messages = options.messages;
    let watch = tokio::spawn(async move {
        while deleted.load(SeqCst) < messages {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let took = clock.stop();
        emptied.notify_one();
        took
    });
    let run = pipeline.run_until(async { empty.notified().await });
    run.await.expect("runs");
    watch.await.expect("everything was deleted")
}
