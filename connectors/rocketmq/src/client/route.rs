//! Which brokers have a topic, and where they are reached.
//!
//! Servers list queues. For a consumer like ours only the brokers count: the server takes messages
//! from any queue of the one that is named.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Address, pb};

/// A broker that has queues of a topic.
#[derive(Clone, Debug)]
pub(super) struct BrokerRoute {
    pub(super) name: Arc<str>,
    /// At least one.
    pub(super) addresses: Vec<Address>,
    /// A queue to name in receives; the server takes messages from any of the broker's queues.
    pub(super) readable: Option<pb::MessageQueue>,
    /// The queues that can be written to.
    pub(super) writable: Vec<pb::MessageQueue>,
}

/// What is known of a topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    pub(super) brokers: Vec<BrokerRoute>,
}

impl Route {
    /// Reads an answer. Only masters count, and only queues that somebody can be asked about.
    pub(super) fn read(queues: Vec<pb::MessageQueue>) -> Self {
        const READ: i32 = 2;
        const WRITE: i32 = 3;
        const READ_WRITE: i32 = 4;
        let mut brokers: Vec<BrokerRoute> = Vec::new();
        for queue in queues {
            let Some(broker) = queue.broker.as_ref().filter(|broker| broker.id == 0) else {
                continue;
            };
            let at = match brokers.iter().position(|known| *known.name == broker.name) {
                Some(at) => at,
                None => {
                    let addresses = broker.endpoints.iter().flat_map(|it| &it.addresses);
                    let addresses: Vec<_> = addresses.filter_map(Address::of).collect();
                    if addresses.is_empty() {
                        continue;
                    }
                    brokers.push(BrokerRoute {
                        name: broker.name.as_str().into(),
                        addresses,
                        readable: None,
                        writable: Vec::new(),
                    });
                    brokers.len() - 1
                }
            };
            let permission = queue.permission;
            if matches!(permission, READ | READ_WRITE) && brokers[at].readable.is_none() {
                brokers[at].readable = Some(queue.clone());
            }
            if matches!(permission, WRITE | READ_WRITE) {
                brokers[at].writable.push(queue);
            }
        }
        Self { brokers }
    }
}

/// The last route of each topic that was known; a failure changes nothing.
#[derive(Debug, Default)]
pub(super) struct Routes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    routes: HashMap<String, Arc<Route>>,
    doubted: HashSet<String>,
}

impl Routes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was known last.
    pub(super) fn get(&self, topic: &str) -> Option<Arc<Route>> {
        self.state().routes.get(topic).cloned()
    }

    /// What is known now.
    pub(super) fn set(&self, topic: &str, route: Arc<Route>) {
        self.state().routes.insert(topic.to_owned(), route);
    }

    /// What is known may be wrong.
    pub(super) fn doubt(&self, topic: &str) {
        self.state().doubted.insert(topic.to_owned());
    }

    /// Whether it may. One is told, who is to ask; what nobody can tell him is doubted no more.
    pub(super) fn is_doubted(&self, topic: &str) -> bool {
        self.state().doubted.remove(topic)
    }

    /// The topics that were asked for.
    pub(super) fn topics(&self) -> Vec<String> {
        self.state().routes.keys().cloned().collect()
    }

    /// All servers of all routes.
    pub(super) fn addresses(&self) -> Vec<Address> {
        let state = self.state();
        let brokers = state.routes.values().flat_map(|route| &route.brokers);
        brokers
            .flat_map(|broker| broker.addresses.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(broker: &str, id: i32, permission: i32, port: i32) -> pb::MessageQueue {
        let address = pb::Address {
            host: "h".to_owned(),
            port,
        };
        pb::MessageQueue {
            permission,
            broker: Some(pb::Broker {
                name: broker.to_owned(),
                id,
                endpoints: Some(pb::Endpoints {
                    scheme: 3,
                    addresses: vec![address],
                }),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn queues_are_gathered_by_broker() {
        let route = Route::read(vec![
            queue("a", 0, 4, 1),
            queue("b", 0, 3, 2),
            queue("a", 0, 4, 1),
            queue("b", 0, 2, 2),
            queue("slave", 1, 4, 3),
            queue("nowhere", 0, 4, 0),
            queue("nowhere", 0, 4, 70_000),
            pb::MessageQueue::default(),
        ]);
        let seen = route.brokers.iter().map(|broker| {
            let readable = broker.readable.is_some();
            (
                &*broker.name,
                broker.addresses[0].to_string(),
                readable,
                broker.writable.len(),
            )
        });
        let seen: Vec<_> = seen.collect();
        assert_eq!(
            seen,
            [
                ("a", "h:1".to_owned(), true, 2),
                ("b", "h:2".to_owned(), true, 1)
            ]
        );
    }
}
