//! Through the whole pipeline, while things go wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use eventlane::{Event, OnExhausted, Pipeline, Retry, queue::QueueBackend, sink::FunctionSink};
use eventlane_rocketmq::{RocketMqConfig, RocketMqQueue, client::OutgoingMessage};
use eventlane_testkit::rocketmq::{Options, Role, TopicType};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use crate::support::{Is, SECOND, Server, Topic, body, dead_letters, on_both};

on_both! {
    a_broker_that_is_killed_loses_nothing
    a_broker_that_hangs_or_is_restarted_loses_nothing
    brokers_and_proxies_of_a_cluster_that_are_killed_lose_nothing
    brokers_and_proxies_of_a_cluster_that_hang_or_are_restarted_lose_nothing
    a_poisoned_message_becomes_a_dead_letter_of_the_broker
    a_delivery_that_outlasts_its_lease_is_not_repeated
    what_is_in_hand_at_the_end_goes_to_others_at_once
    only_what_was_tried_counts
}

/// What a sink was given, and how often.
#[derive(Clone, Debug, Default)]
struct Taken(Arc<Mutex<BTreeMap<String, u32>>>);

impl Taken {
    fn take(&self, event: &Event) -> String {
        let bytes = event.data().unwrap().as_bytes().to_vec();
        let text = String::from_utf8(bytes).unwrap();
        *self.0.lock().unwrap().entry(text.clone()).or_default() += 1;
        text
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    async fn wait_for(&self, count: usize) {
        let start = Instant::now();
        while self.count() < count {
            assert!(
                start.elapsed() < 90 * SECOND,
                "{} of {count} came",
                self.count()
            );
            sleep(SECOND / 20).await;
        }
    }
}

/// Sends numbers until it is told to stop; returns how many the broker has taken.
async fn load(topic: &Topic, stop: &tokio::sync::Notify) -> Vec<String> {
    let mut sent = Vec::new();
    let stopped = stop.notified();
    tokio::pin!(stopped);
    for number in 0.. {
        let text = number.to_string();
        let message = OutgoingMessage::new(text.clone());
        tokio::select! {
            () = &mut stopped => break,
            outcome = topic.producer.send(&topic.name, &message) => {
                if outcome.is_ok() {
                    sent.push(text);
                }
            }
        }
        sleep(topic.server.time(SECOND / 50)).await;
    }
    sent
}

/// What takes a while does not keep this thread from everything else.
async fn does(server: &Server, what: impl FnOnce(&Server) + Send + 'static) {
    let server = server.clone();
    spawn_blocking(move || what(&server)).await.unwrap();
}

/// A crash.
async fn dies(server: &Server, role: Role) {
    does(server, move |server| server.kill(role)).await;
    sleep(server.time(2 * SECOND)).await;
    does(server, Server::revive).await;
}

/// What accepts connections, and answers nothing.
async fn hangs(server: &Server, role: Role) {
    does(server, move |server| server.pause(role)).await;
    sleep(server.time(6 * SECOND)).await;
    does(server, move |server| server.resume(role)).await;
}

/// A restart.
async fn ends_in_order(server: &Server, role: Role) {
    does(server, move |server| server.term(role)).await;
    does(server, Server::revive).await;
}

/// What happens to a broker under load loses nothing, and the source resumes by itself.
async fn loses_nothing(is: Is, options: Options, happens: impl AsyncFn(&Server)) {
    let Some(server) = is.start(options) else {
        return;
    };
    let topic = Topic::create(&server, TopicType::Normal, 4, 16).await;
    let queue = RocketMqQueue::connect(topic.config()).await.unwrap();
    let taken = Taken::default();
    let sink = {
        let taken = taken.clone();
        FunctionSink::new(move |event: Event| {
            let taken = taken.clone();
            async move { drop(taken.take(&event)) }
        })
    };
    let (stop, stop_load) = (
        Arc::new(tokio::sync::Notify::new()),
        tokio::sync::Notify::new(),
    );
    let stopped = Arc::clone(&stop);
    let run = async move {
        let pipeline = Pipeline::new(queue.into_source(), sink);
        pipeline.run_until(stopped.notified_owned()).await.unwrap()
    };
    let course = async {
        sleep(server.time(2 * SECOND)).await;
        let began = Instant::now();
        while taken.count() == 0 {
            assert!(began.elapsed() < 60 * SECOND);
            sleep(SECOND / 10).await;
        }
        happens(&server).await;
        sleep(server.time(5 * SECOND)).await;
        stop_load.notify_one();
    };
    let run = tokio::spawn(run);
    let (sent, ()) = tokio::join!(load(&topic, &stop_load), course);
    assert!(sent.len() > 20, "{}", sent.len());
    let start = Instant::now();
    let missing = || {
        let taken = taken.0.lock().unwrap();
        let missing = sent.iter().filter(|it| !taken.contains_key(*it)).cloned();
        missing.collect::<Vec<_>>()
    };
    while !missing().is_empty() {
        assert!(
            start.elapsed() < 60 * SECOND,
            "of {}: {:?}",
            sent.len(),
            missing()
        );
        sleep(SECOND / 10).await;
    }
    stop.notify_one();
    let report = run.await.unwrap();
    println!("{} sent, {report}", sent.len());
}

async fn a_broker_that_is_killed_loses_nothing(is: Is) {
    loses_nothing(is, Options::default(), async |server| {
        dies(server, Role::Broker).await;
    })
    .await;
}

async fn a_broker_that_hangs_or_is_restarted_loses_nothing(is: Is) {
    loses_nothing(is, Options::default(), async |server| {
        hangs(server, Role::Broker).await;
        sleep(server.time(3 * SECOND)).await;
        ends_in_order(server, Role::Broker).await;
    })
    .await;
}

const CLUSTER: Options = Options {
    cluster: true,
    kv: false,
    short: false,
    stale_groups: false,
    acl: false,
    tls: false,
};

async fn brokers_and_proxies_of_a_cluster_that_are_killed_lose_nothing(is: Is) {
    loses_nothing(is, CLUSTER, async |server| {
        dies(server, Role::Broker).await;
        sleep(server.time(5 * SECOND)).await;
        dies(server, Role::Proxy).await;
    })
    .await;
}

async fn brokers_and_proxies_of_a_cluster_that_hang_or_are_restarted_lose_nothing(is: Is) {
    loses_nothing(is, CLUSTER, async |server| {
        for role in [Role::Broker, Role::Proxy] {
            hangs(server, role).await;
            sleep(server.time(3 * SECOND)).await;
        }
        for role in [Role::Broker, Role::Proxy] {
            ends_in_order(server, role).await;
            sleep(server.time(3 * SECOND)).await;
        }
    })
    .await;
}

async fn a_poisoned_message_becomes_a_dead_letter_of_the_broker(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 1, 2).await;
    topic.send_numbers(0..5).await;
    let taken = Taken::default();
    let sink = {
        let taken = taken.clone();
        FunctionSink::new(move |event: Event| {
            let taken = taken.clone();
            async move {
                match &*taken.take(&event) {
                    "3" => Err("poison"),
                    _ => Ok(()),
                }
            }
        })
    };
    let queue = RocketMqQueue::connect(topic.config()).await.unwrap();
    let pipeline = Pipeline::new(queue.into_source(), sink)
        .with_retry(Retry::default().with_attempts(1))
        .with_on_exhausted(OnExhausted::Release { after: SECOND });
    let letters = async {
        taken.wait_for(5).await;
        let letters = dead_letters(&topic, 1).await;
        assert_eq!(body(&letters[0]), "3");
    };
    Box::pin(pipeline.run_until(letters)).await.unwrap();
    let taken = taken.0.lock().unwrap();
    // Twice again.
    assert_eq!(taken["3"], 3, "{taken:?}");
    assert!(
        taken.iter().all(|(body, times)| body == "3" || *times == 1),
        "{taken:?}"
    );
}

async fn a_delivery_that_outlasts_its_lease_is_not_repeated(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 1, 16).await;
    topic.send_numbers(0..4).await;
    let taken = Taken::default();
    let delivery = server.lease().mul_f64(2.3);
    let sink = {
        let taken = taken.clone();
        FunctionSink::new(move |event: Event| {
            let taken = taken.clone();
            async move {
                drop(taken.take(&event));
                sleep(delivery).await;
            }
        })
    };
    let queue = RocketMqQueue::connect(topic.config()).await.unwrap();
    let pipeline = Pipeline::new(queue.into_source(), sink)
        .with_idle_timeout(server.lease() + server.late() + 2 * SECOND);
    let report = pipeline.run().await.unwrap();
    assert_eq!(report.delivered, 4, "{report}");
    let taken = taken.0.lock().unwrap();
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
}

async fn what_is_in_hand_at_the_end_goes_to_others_at_once(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 1, 16).await;
    topic.send_numbers(0..8).await;
    let config: RocketMqConfig = topic.config().with_lease(120 * SECOND);
    let queue = RocketMqQueue::connect(config.clone()).await.unwrap();
    let taken = Taken::default();
    let sink = {
        let taken = taken.clone();
        FunctionSink::new(move |event: Event| {
            let taken = taken.clone();
            async move {
                drop(taken.take(&event));
                std::future::pending::<()>().await;
            }
        })
    };
    let pipeline = Pipeline::new(queue.into_source(), sink).with_grace(SECOND / 10);
    pipeline.run_until(taken.wait_for(1)).await.unwrap();
    let released = Instant::now();
    let consumer = topic.consumer().await;
    let again = crate::support::receive(&consumer, 8).await;
    // Two seconds or three, and the poll that was under way when it stopped may have taken them,
    // and given them back, once more. Their leases would have lasted for two minutes.
    assert!(released.elapsed() < 15 * SECOND, "{:?}", released.elapsed());
    assert!(
        again.iter().all(|message| message.attempt == 1),
        "{again:?}"
    );
}

async fn only_what_was_tried_counts(is: Is) {
    let Some(server) = is.shared() else { return };
    let topic = Topic::create(&server, TopicType::Normal, 1, 16).await;
    let queue = RocketMqQueue::connect(topic.config()).await.unwrap();
    topic.send_numbers(0..1).await;
    let next = async || loop {
        let messages = queue.receive(1, server.wait()).await.unwrap();
        if let Some(message) = messages.into_iter().next() {
            return message;
        }
    };
    let first = next().await;
    let given_back = queue.give_back(&[first.handle]).await.unwrap();
    given_back.into_iter().next().unwrap().unwrap();
    let second = next().await;
    let retry = [(second.handle, std::time::Duration::ZERO)];
    let released = queue.change_visibility(&retry).await.unwrap();
    released.into_iter().next().unwrap().unwrap();
    let third = next().await;
    assert_eq!((first.attempt, second.attempt, third.attempt), (1, 1, 2));
}
