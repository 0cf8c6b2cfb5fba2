//! Through the poller and the engine, to a sink.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use eventlane::{Event, Ordering, Pipeline, queue::Poller, sink::FunctionSink};

use crate::support::{Server, on_every_server};

on_every_server! {
    groups_are_delivered_in_order_and_deleted
}

async fn groups_are_delivered_in_order_and_deleted(server: &Server) {
    let made = server.queue(true, 30).await;
    for number in 0..10 {
        for group in ["a", "b", "c"] {
            made.send_to(group, &format!("{group}{number}")).await;
        }
    }
    let seen: Arc<Mutex<BTreeMap<String, Vec<String>>>> = Arc::default();
    let log = Arc::clone(&seen);
    let sink = FunctionSink::new(move |event: Event| {
        let log = Arc::clone(&log);
        async move {
            let group = event.extension("partitionkey").unwrap().to_string();
            let body = event.data().unwrap().as_bytes().to_vec();
            let body = String::from_utf8(body).unwrap();
            log.lock().unwrap().entry(group).or_default().push(body);
        }
    });
    let pipeline = Pipeline::new(Poller::new(made.connect().await), sink)
        .with_ordering(Ordering::Key)
        .with_idle_timeout(Duration::from_secs(3));
    let report = pipeline.run().await.unwrap();
    assert_eq!(report.delivered, 30, "{report}");
    for (group, bodies) in &*seen.lock().unwrap() {
        let sent: Vec<_> = (0..10).map(|number| format!("{group}{number}")).collect();
        assert_eq!(*bodies, sent);
    }
    let left = made.connect().await;
    let left = eventlane::queue::QueueBackend::depth(&left).await.unwrap();
    assert_eq!(left, Some(0));
}
