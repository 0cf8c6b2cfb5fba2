//! The suite that every connector passes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Capability, Result, Source,
    conformance::{Harness, Message, Order, Timing},
    queue::Poller,
};
use eventlane_mns::MnsQueue;
use tokio::sync::OnceCell;

use crate::fake::{Fake, FakeOptions};

/// As short as lease tests allow.
const LEASE: Duration = Duration::from_secs(3);

/// Queues of messages with groups, or without.
struct Queues {
    fake: OnceCell<Arc<Fake>>,
    grouped: bool,
}

struct Queue {
    fake: Arc<Fake>,
    name: String,
}

impl Queues {
    fn new(grouped: bool) -> Self {
        Self {
            fake: OnceCell::new(),
            grouped,
        }
    }
}

#[async_trait]
impl Harness for Queues {
    type Topic = Queue;

    fn capability(&self) -> Capability {
        Capability::queue(LEASE)
    }

    fn order(&self) -> Order {
        match self.grouped {
            true => Order::Key,
            false => Order::None,
        }
    }

    fn keeps_keys(&self) -> bool {
        self.grouped
    }

    fn timing(&self) -> Timing {
        Timing::default().with_recovery(LEASE)
    }

    async fn create(&self) -> Result<Queue> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let options = FakeOptions {
            lease: LEASE,
            ..FakeOptions::default()
        };
        let start = async || Arc::new(Fake::start(options).await);
        let fake = Arc::clone(self.fake.get_or_init(start).await);
        let name = format!("conformance-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Ok(Queue { fake, name })
    }

    async fn produce(&self, queue: &Queue, messages: &[Message]) -> Result<()> {
        for message in messages {
            let group = self.grouped.then_some(message.key.as_str());
            queue.fake.send(&queue.name, &message.body, group);
        }
        Ok(())
    }

    async fn open(&self, queue: &Queue) -> Result<Box<dyn Source>> {
        let config = queue.fake.config(&queue.name);
        Ok(Box::new(Poller::new(MnsQueue::connect(config).await?)))
    }
}

mod plain {
    eventlane::conformance::tests!(super::Queues::new(false));
}

mod grouped {
    eventlane::conformance::tests!(super::Queues::new(true));
}
