//! One group, of which a source and RocketMQ's clients are members.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use eventlane::{
    Budgets, Event, Pipeline,
    queue::{Poller, PollerOptions},
    sink::FunctionSink,
};
use eventlane_rocketmq::{RocketMqQueue, client::OutgoingMessage};
use eventlane_testkit::rocketmq::{RocketMq, TopicType};
use serde_json::json;
use tokio::{sync::Notify, task::JoinHandle, time::sleep};

use super::{
    official::{Consumed, Language, Log, Official},
    until,
};
use crate::support::{SECOND, Topic};

const LEASE: Duration = Duration::from_secs(3);
/// What the work on a message takes.
const WORK: Duration = Duration::from_millis(5);
/// What any of them has in hand.
const HELD: usize = 32;

fn now() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_nanos()
}

/// A source that runs.
#[derive(Debug)]
struct Ours {
    stop: Arc<Notify>,
    run: JoinHandle<()>,
}

impl Ours {
    async fn start(topic: &Topic, log: &Log) -> Self {
        let config = topic.config().with_lease(LEASE).with_wait(SECOND);
        let queue = RocketMqQueue::connect(config).await.unwrap();
        let sink = {
            let log = log.clone();
            FunctionSink::new(move |event: Event| {
                let log = log.clone();
                async move {
                    let from = now();
                    sleep(WORK).await;
                    let body = event.data().unwrap().as_bytes().to_vec();
                    let body = String::from_utf8(body).unwrap();
                    let to = now();
                    log.push(Consumed { body, from, to });
                }
            })
        };
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let run = tokio::spawn(async move {
            // Slow, like the others. The broker serves those that wait for any queue, as this does,
            // before those that wait for a certain one, as Java's does, and would leave it nothing.
            let options = PollerOptions::default().with_receivers(1..=1);
            let source = Poller::with_options(queue, options.with_max_held(HELD));
            let budgets = Budgets::default().with_requests(1);
            let pipeline = Pipeline::new(source, sink).with_budgets(budgets);
            pipeline.run_until(stopped.notified_owned()).await.unwrap();
        });
        Self { stop, run }
    }

    async fn stop(self) {
        self.stop.notify_one();
        self.run.await.unwrap();
    }
}

/// How often each message was consumed.
fn times(consumed: &[Consumed]) -> BTreeMap<&str, u32> {
    let mut times = BTreeMap::new();
    for it in consumed {
        *times.entry(it.body.as_str()).or_default() += 1;
    }
    times
}

/// Until it has consumed some more, and so is a member.
async fn works(log: &Log, who: &str) {
    const SOME: usize = 25;
    let before = log.count();
    let enough = || log.count() >= before + SOME;
    let progress = || format!("{who}: {} of {SOME}", log.count() - before);
    until(enough, progress).await;
}

#[tokio::test]
async fn each_message_goes_to_one_of_them() {
    const COUNT: u32 = 600;
    const BATCH: u32 = 15;
    let Some(broker) = RocketMq::shared_short_or_skip() else {
        return;
    };
    let topic = Topic::create(broker, TopicType::Normal, 4, 16).await;
    let mut java = Official::start(Language::Java, broker).await;
    let mut python = Official::start(Language::Python, broker).await;
    for official in [&mut java, &mut python] {
        official
            .consume(&topic.name, &topic.group, LEASE, WORK)
            .await;
    }
    let log = Log::default();
    let ours = Ours::start(&topic, &log).await;
    for batch in 0..COUNT / BATCH {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        let messages = numbers.map(|number| OutgoingMessage::new(number.to_string()));
        let messages: Vec<_> = messages.collect();
        let sent = topic.producer.send_all(&topic.name, &messages).await;
        sent.unwrap();
    }
    let logs = [log, java.consumed.clone(), python.consumed.clone()];
    let count = || logs.iter().map(Log::count).sum::<usize>();
    until(
        || count() >= COUNT as usize,
        || format!("{} of {COUNT} came", count()),
    )
    .await;
    // What was not acknowledged after all would come again.
    sleep(LEASE + 4 * SECOND).await;
    ours.stop().await;
    let counts = logs.each_ref().map(Log::count);
    println!("ours, Java, Python: {counts:?}");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    let consumed = logs.each_ref().map(Log::all).concat();
    let times = times(&consumed);
    assert_eq!(times.len(), COUNT as usize);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

/// Members come and go, in order and by force, and queues go from one to the other.
#[tokio::test]
async fn order_holds_as_queues_change_hands() {
    const GROUPS: u32 = 12;
    let Some(broker) = RocketMq::shared_short_or_skip() else {
        return;
    };
    let topic = Topic::create(broker, TopicType::Fifo, 4, 1000).await;
    let mut java = Official::start(Language::Java, broker).await;
    let mut python = Official::start(Language::Python, broker).await;
    let log = Log::default();
    let logs = [log.clone(), java.consumed.clone(), python.consumed.clone()];
    let all = || logs.each_ref().map(Log::all).concat();
    let end = Cell::new(false);
    let load = async {
        // There is always something for everybody.
        const AHEAD: usize = 400;
        const BATCH: u32 = 5;
        let mut sent = 0;
        while !end.get() {
            for group in 0..GROUPS {
                let numbers = (0..BATCH).map(|it| sent + it * GROUPS + group);
                let message = |it: u32| OutgoingMessage::new(it.to_string());
                let messages = numbers.map(|it| message(it).with_group(format!("g{group}")));
                let messages: Vec<_> = messages.collect();
                let sent = topic.producer.send_all(&topic.name, &messages).await;
                sent.unwrap();
            }
            sent += GROUPS * BATCH;
            while sent as usize > all().len() + AHEAD && !end.get() {
                sleep(WORK).await;
            }
        }
        sent
    };
    let members = async {
        let (name, group) = (&topic.name, &topic.group);
        python.consume(name, group, LEASE, WORK).await;
        works(&python.consumed, "Python").await;
        let ours = Ours::start(&topic, &log).await;
        works(&log, "ours").await;
        java.consume(name, group, LEASE, WORK).await;
        works(&java.consumed, "Java").await;
        python.kill().await;
        works(&log, "ours").await;
        ours.stop().await;
        works(&java.consumed, "Java alone").await;
        let ours = Ours::start(&topic, &log).await;
        works(&log, "ours again").await;
        java.call(json!({ "do": "stop" })).await;
        works(&log, "ours alone").await;
        end.set(true);
        ours
    };
    let (sent, ours) = tokio::join!(load, members);
    let came = || times(&all()).len();
    until(
        || came() >= sent as usize,
        || format!("{} of {sent} came", came()),
    )
    .await;
    ours.stop().await;
    let counts = logs.each_ref().map(Log::count);
    println!("{sent} sent; ours, Java, Python: {counts:?}");

    let mut all = all();
    all.sort_unstable_by_key(|it| it.from);
    let mut heads: BTreeMap<u32, (u32, u128)> = (0..GROUPS).map(|it| (it, (it, 0))).collect();
    let mut repeated = Vec::new();
    for it in &all {
        let number: u32 = it.body.parse().unwrap();
        let (next, free) = heads.get_mut(&(number % GROUPS)).unwrap();
        assert!(number <= *next, "{number} came before {next}");
        if number < *next {
            repeated.push(it.body.as_str());
            continue;
        }
        assert!(it.from >= *free, "{number} was begun too early");
        (*next, *free) = (number + GROUPS, it.to);
    }
    // A member that leaves has had them in hand. Not only the one that was killed: of a queue that
    // is given back, the broker forgets the acknowledgements behind the first that is missing.
    println!("{} repeated", repeated.len());
    assert!(repeated.len() <= 3 * HELD, "{repeated:?}");
}
