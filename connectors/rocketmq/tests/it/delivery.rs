//! Through the whole pipeline, while things go wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use eventlane::{Event, OnExhausted, Pipeline, Retry, sink::FunctionSink};
use eventlane_rocketmq::{RocketMqConfig, RocketMqQueue, client::OutgoingMessage};
use eventlane_testkit::rocketmq::{Options, RocketMq, Role, TopicType};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use crate::support::{SECOND, Topic, body, dead_letters};

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
async fn load(topic: &Topic<'_>, stop: &tokio::sync::Notify) -> Vec<String> {
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
        sleep(SECOND / 50).await;
    }
    sent
}

/// A broker that something is done to while everything else goes on.
struct Shaken(Arc<RocketMq>);

impl Shaken {
    async fn does(&self, what: impl FnOnce(&RocketMq) + Send + 'static) {
        let broker = Arc::clone(&self.0);
        spawn_blocking(move || what(&broker)).await.unwrap();
    }

    /// A crash.
    async fn dies(&self, role: Role) {
        self.does(move |broker| broker.kill(role)).await;
        sleep(2 * SECOND).await;
        self.does(RocketMq::revive).await;
    }

    /// What accepts connections, and answers nothing.
    async fn hangs(&self, role: Role) {
        self.does(move |broker| broker.pause(role)).await;
        sleep(6 * SECOND).await;
        self.does(move |broker| broker.resume(role)).await;
    }

    /// A restart.
    async fn ends_in_order(&self, role: Role) {
        self.does(move |broker| broker.term(role)).await;
        self.does(RocketMq::revive).await;
    }
}

/// What happens to a broker under load loses nothing, and the source resumes by itself.
async fn loses_nothing(options: Options, happens: impl AsyncFn(&Shaken)) {
    let Some(broker) = RocketMq::start_or_skip(options) else {
        return;
    };
    let shaken = Shaken(Arc::new(broker));
    let broker = &shaken.0;
    let topic = Topic::create(broker, TopicType::Normal, 4, 16).await;
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
        sleep(2 * SECOND).await;
        let before = taken.count();
        assert!(before > 0);
        happens(&shaken).await;
        sleep(5 * SECOND).await;
        stop_load.notify_one();
    };
    let run = tokio::spawn(run);
    let (sent, ()) = tokio::join!(load(&topic, &stop_load), course);
    assert!(sent.len() > 50, "{}", sent.len());
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

#[tokio::test]
async fn a_broker_that_is_killed_loses_nothing() {
    loses_nothing(Options::default(), async |broker| {
        broker.dies(Role::Broker).await
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_hangs_or_is_restarted_loses_nothing() {
    loses_nothing(Options::default(), async |broker| {
        broker.hangs(Role::Broker).await;
        sleep(3 * SECOND).await;
        broker.ends_in_order(Role::Broker).await;
    })
    .await;
}

const CLUSTER: Options = Options {
    cluster: true,
    kv: false,
    short: false,
    acl: false,
    tls: false,
};

#[tokio::test]
async fn brokers_and_proxies_of_a_cluster_that_are_killed_lose_nothing() {
    loses_nothing(CLUSTER, async |broker| {
        broker.dies(Role::Broker).await;
        sleep(5 * SECOND).await;
        broker.dies(Role::Proxy).await;
    })
    .await;
}

#[tokio::test]
async fn brokers_and_proxies_of_a_cluster_that_hang_or_are_restarted_lose_nothing() {
    loses_nothing(CLUSTER, async |broker| {
        for role in [Role::Broker, Role::Proxy] {
            broker.hangs(role).await;
            sleep(3 * SECOND).await;
        }
        for role in [Role::Broker, Role::Proxy] {
            broker.ends_in_order(role).await;
            sleep(3 * SECOND).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_poisoned_message_becomes_a_dead_letter_of_the_broker() {
    let Some(broker) = RocketMq::shared_or_skip() else {
        return;
    };
    let topic = Topic::create(broker, TopicType::Normal, 1, 2).await;
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

#[tokio::test]
async fn a_delivery_that_outlasts_its_lease_is_not_repeated() {
    let Some(broker) = RocketMq::shared_or_skip() else {
        return;
    };
    let topic = Topic::create(broker, TopicType::Normal, 1, 16).await;
    topic.send_numbers(0..4).await;
    let taken = Taken::default();
    let sink = {
        let taken = taken.clone();
        FunctionSink::new(move |event: Event| {
            let taken = taken.clone();
            async move {
                drop(taken.take(&event));
                sleep(23 * SECOND).await;
            }
        })
    };
    let queue = RocketMqQueue::connect(topic.config()).await.unwrap();
    let pipeline = Pipeline::new(queue.into_source(), sink).with_idle_timeout(16 * SECOND);
    let report = pipeline.run().await.unwrap();
    assert_eq!(report.delivered, 4, "{report}");
    let taken = taken.0.lock().unwrap();
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
}

#[tokio::test]
async fn what_is_in_hand_at_the_end_goes_to_others_at_once() {
    let Some(broker) = RocketMq::shared_or_skip() else {
        return;
    };
    let topic = Topic::create(broker, TopicType::Normal, 1, 16).await;
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
