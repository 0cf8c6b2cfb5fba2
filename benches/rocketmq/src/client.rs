//! The client alone.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use eventlane_rocketmq::client::{Consumer, LARGEST_BATCH};
use eventlane_testkit::clock::{Clock, Took};
use tokio::{sync::Notify, task::JoinSet};

use crate::{Task, topic};

pub(crate) async fn empty(task: Task) -> Took {
    let config = topic::config(&task.endpoint, &task.topic);
    let wait = config.wait;
    let consumer = Consumer::connect(&config).await.expect("connects");
    let (consumer, done) = (Arc::new(consumer), Arc::new(AtomicUsize::new(0)));
    let empty = Arc::new(Notify::new());
    let mut tasks = JoinSet::new();
    let clock = Clock::start();
    for _ in 0..task.receives {
        let (consumer, done) = (Arc::clone(&consumer), Arc::clone(&done));
        let (empty, messages) = (Arc::clone(&empty), task.messages);
        tasks.spawn(async move {
            loop {
                let received = consumer.receive(LARGEST_BATCH, wait).await;
                let received = received.expect("receives");
                if received.is_empty() {
                    continue;
                }
                let handles: Vec<_> = received.iter().map(|it| it.handle.clone()).collect();
                let outcomes = consumer.ack(&handles).await.expect("acknowledges");
                let acked = outcomes.iter().filter(|it| it.is_ok()).count();
                if done.fetch_add(acked, SeqCst) + acked >= messages {
                    empty.notify_one();
                }
            }
        });
    }
    tokio::select! {
        () = empty.notified() => {}
        Some(ended) = tasks.join_next() => ended.expect("runs"),
    }
    let took = clock.stop();
    tasks.shutdown().await;
    took
}
