//! With RocketMQ's own clients, in Java and Python.

mod events;
mod messages;
mod official;
mod sharing;

use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use eventlane::{Event, Pipeline, sink::FunctionSink};
use eventlane_rocketmq::{RocketMqConfig, RocketMqQueue};
use tokio::time::{Instant, sleep};

use crate::support::SECOND;

/// Waits until it is true, and says what was missing if that takes longer than half a minute.
async fn until(mut done: impl FnMut() -> bool, what: impl FnOnce() -> String) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < 30 * SECOND, "{}", what());
        sleep(SECOND / 50).await;
    }
}

/// Events that a sink was given.
#[derive(Clone, Debug, Default)]
struct Taken(Arc<Mutex<Vec<Event>>>);

impl Taken {
    /// What a source of this configuration delivers, by the time that there are so many.
    async fn from_source(config: RocketMqConfig, count: usize) -> Vec<Event> {
        // A source that stops waits for its last receive.
        let queue = RocketMqQueue::connect(config.with_wait(SECOND))
            .await
            .unwrap();
        let taken = Self::default();
        let sink = {
            let taken = taken.clone();
            FunctionSink::new(move |event: Event| taken.clone().take(event))
        };
        let enough = until(
            || taken.count() >= count,
            || format!("{} of {count} came", taken.count()),
        );
        let pipeline = Pipeline::new(queue.into_source(), sink);
        Box::pin(pipeline.run_until(enough)).await.unwrap();
        let taken = std::mem::take(&mut *taken.0.lock().unwrap());
        assert_eq!(taken.len(), count);
        taken
    }

    fn take(self, event: Event) -> impl Future<Output = ()> {
        self.0.lock().unwrap().push(event);
        std::future::ready(())
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
