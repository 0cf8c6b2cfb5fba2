//! The suite that every connector passes.

use std::time::Duration;

use async_trait::async_trait;
use eventlane::{
    Capability, Result, Source,
    conformance::{Harness, Message, Order, Timing},
};
use eventlane_rocketmq::{RocketMqQueue, client::OutgoingMessage};
use eventlane_testkit::rocketmq::TopicType;

use crate::support::{Is, SECOND, Server, Topic};

/// Topics of messages in order, or without one.
struct Topics {
    server: Server,
    /// As short as lease tests allow; the server is one that takes it.
    lease: Duration,
    fifo: bool,
}

impl Topics {
    /// `None` if there shall be no real server.
    fn of(is: Is, fifo: bool) -> Option<Self> {
        let server = is.short()?;
        let lease = match is {
            Is::Real => 3 * SECOND,
            Is::Fake => SECOND,
        };
        Some(Self {
            server,
            lease,
            fifo,
        })
    }
}

#[async_trait]
impl Harness for Topics {
    type Topic = Topic;

    fn capability(&self) -> Capability {
        Capability::queue(self.lease)
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
            .with_patience(20 * SECOND)
            .with_recovery(self.lease)
    }

    async fn create(&self) -> Result<Topic> {
        // A FIFO queue gives nothing more while one of its messages is on lease, whatever its
        // group. Of so many queues, each of the suite's first seven keys has one of its own.
        let (ty, queues) = match self.fifo {
            true => (TopicType::Fifo, 40),
            false => (TopicType::Normal, 4),
        };
        Ok(Topic::create(&self.server, ty, queues, 16).await)
    }

    async fn produce(&self, topic: &Topic, messages: &[Message]) -> Result<()> {
        for message in messages {
            let outgoing = OutgoingMessage::new(message.body.clone());
            let outgoing = match self.fifo {
                true => outgoing.with_group(&message.key),
                false => outgoing,
            };
            topic.producer.send(&topic.name, &outgoing).await?;
        }
        Ok(())
    }

    async fn open(&self, topic: &Topic) -> Result<Box<dyn Source>> {
        let queue =
            RocketMqQueue::connect(topic.config().with_lease(self.lease).with_wait(SECOND)).await?;
        Ok(Box::new(queue.into_source()))
    }
}

/// The suite with an order: all cases but `caps_records` and `caps_bytes`. Those leave up to thirty
/// messages unsettled, each of a group of its own, and the broker, which has groups share queues,
/// would keep some back until the others' leases end.
macro_rules! in_order {
    ($run:ident) => {
        $run! {
            delivers_all
            keeps_order
            redelivers_what_was_abandoned
            loses_nothing_when_polls_are_dropped
            settles_by_position
            commits_only_below_the_gap
            settles_one_by_one
            settles_while_a_poll_waits
            refuses_the_wrong_settlement
            epochs_rise
            fences_late_settlements
            hands_over_what_was_settled
            redelivers_when_a_lease_ends
            fences_ended_leases
            keeps_extended_leases
            releases_when_told
            gives_nothing_without_demand
            pauses_and_resumes
            gives_back_when_closed
            fences_when_closed
        }
    };
}

mod real {
    use super::{Is, Topics};

    mod normal {
        /// Ends the test that it stands in if there shall be no real server.
        macro_rules! topics {
            () => {
                match super::Topics::of(super::Is::Real, false) {
                    Some(topics) => topics,
                    None => return,
                }
            };
        }

        eventlane::conformance::tests!(topics!());
    }

    mod fifo {
        macro_rules! cases {
            ($($name:ident)*) => {$(
                #[tokio::test]
                async fn $name() {
                    if let Some(topics) = super::Topics::of(super::Is::Real, true) {
                        eventlane::conformance::check(stringify!($name), &topics).await;
                    }
                }
            )*};
        }

        in_order!(cases);
    }
}

/// Side by side, since all they do is wait.
mod fake {
    use eventlane::conformance::check;
    use futures_util::future::join_all;

    use super::{Is, Topics};

    macro_rules! names {
        ($($name:ident)*) => {
            [$(stringify!($name)),*]
        };
    }

    async fn check_all(fifo: bool, names: &[&str]) {
        let checks = names.iter().map(async |name| {
            let topics = Topics::of(Is::Fake, fifo).unwrap();
            check(name, &topics).await;
        });
        join_all(checks).await;
    }

    #[tokio::test]
    async fn normal() {
        check_all(false, &in_order!(names)).await;
        check_all(false, &["caps_records", "caps_bytes"]).await;
    }

    #[tokio::test]
    async fn fifo() {
        check_all(true, &in_order!(names)).await;
    }
}
