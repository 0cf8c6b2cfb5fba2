use std::time::Duration;

use async_trait::async_trait;
use eventlane::{
    Capability, Result, Source,
    conformance::{Harness, Message, Order, Timing},
    queue::{Limits, Poller},
};

use crate::broker::{Broker, LEASE, WAIT};

/// Queues whose messages belong to groups, or don't.
struct Queues {
    groups: bool,
    min_visibility: Duration,
}

#[async_trait]
impl Harness for Queues {
    type Topic = Broker;

    fn capability(&self) -> Capability {
        Capability::queue(LEASE)
    }

    fn order(&self) -> Order {
        match self.groups {
            true => Order::Key,
            false => Order::None,
        }
    }

    fn keeps_keys(&self) -> bool {
        self.groups
    }

    fn timing(&self) -> Timing {
        Timing::default().with_patience(WAIT * 2)
    }

    async fn create(&self) -> Result<Broker> {
        let limits = Limits::default().with_lease(LEASE).with_wait(WAIT);
        let max = limits.max_visibility;
        Ok(Broker::with(
            limits.with_visibility(self.min_visibility, max),
        ))
    }

    async fn produce(&self, broker: &Broker, messages: &[Message]) -> Result<()> {
        for message in messages {
            let group = self.groups.then_some(message.key.as_str());
            broker.send_body(
                group,
                &format!("{}-{}", message.key, message.body),
                &message.body,
            );
        }
        Ok(())
    }

    async fn open(&self, broker: &Broker) -> Result<Box<dyn Source>> {
        Ok(Box::new(Poller::new(broker.clone())))
    }
}

mod standard {
    use super::*;

    const QUEUES: Queues = Queues {
        groups: false,
        min_visibility: Duration::ZERO,
    };
    eventlane::conformance::tests!(QUEUES, start_paused = true);
}

mod grouped {
    use super::*;

    const QUEUES: Queues = Queues {
        groups: true,
        min_visibility: Duration::from_secs(1),
    };
    eventlane::conformance::tests!(QUEUES, start_paused = true);
}
