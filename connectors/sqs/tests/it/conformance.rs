//! The conformance suite of every source, on every server.

use std::time::Duration;

use async_trait::async_trait;
use eventlane::{
    Capability, Result, Source,
    conformance::{Harness, Message, Order, Timing},
    queue::Poller,
};

use crate::support::{Queue, Server};

/// Seconds, as short as lease tests allow.
const LEASE: u64 = 3;

struct Queues {
    server: Server,
    fifo: bool,
}

#[async_trait]
impl Harness for Queues {
    type Topic = Queue;

    fn capability(&self) -> Capability {
        Capability::queue(Duration::from_secs(LEASE))
    }

    fn order(&self) -> Order {
        match self.fifo {
            true => Order::Key,
            false => Order::None,
        }
    }

    fn keeps_keys(&self) -> bool {
        self.fifo
    }

    fn timing(&self) -> Timing {
        Timing::default()
            .with_patience(Duration::from_secs(20))
            .with_recovery(Duration::from_secs(LEASE))
    }

    async fn create(&self) -> Result<Queue> {
        Ok(self.server.queue(self.fifo, LEASE).await)
    }

    async fn produce(&self, queue: &Queue, messages: &[Message]) -> Result<()> {
        for message in messages {
            match self.fifo {
                true => queue.send_to(&message.key, &message.body).await,
                false => queue.send(&message.body).await,
            }
        }
        Ok(())
    }

    async fn open(&self, queue: &Queue) -> Result<Box<dyn Source>> {
        Ok(Box::new(Poller::new(queue.connect().await)))
    }
}

macro_rules! conformance {
    ($($module:ident: $server:ident, $fifo:expr;)*) => {$(
        mod $module {
            /// `None` leaves the server out, as told.
            fn queues() -> super::Queues {
                let server = crate::support::Server::$server();
                let server = server.unwrap_or_else(|| crate::support::Server::fake().unwrap());
                super::Queues { server, fifo: $fifo }
            }

            eventlane::conformance::tests!(queues());
        }
    )*};
}

conformance! {
    fake_standard: fake, false;
    fake_fifo: fake, true;
    elasticmq_standard: elasticmq, false;
    elasticmq_fifo: elasticmq, true;
    ministack_standard: ministack, false;
    ministack_fifo: ministack, true;
}
