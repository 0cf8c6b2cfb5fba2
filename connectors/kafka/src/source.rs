//! The engine's side of the consumer.
//!
//! [`KafkaSource`] is what the engine polls. It owns no consumer: that lives on a thread of its own
//! ([`live`]), which also drops it, since librdkafka's destroy waits for the group to be left and
//! may block. The two sides meet in [`Shared`] (records, news) and in a channel of [`Command`]s.
//! Each wakes the other: the engine unparks the thread, the thread notifies the engine.

use std::{
    sync::{Arc, mpsc},
    task::{Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use async_trait::async_trait;
use eventlane::{
    Error, ErrorKind, Result,
    source::{Capability, Demand, Partition, Settle, Signal, Source},
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use crate::{
    config::KafkaConfig,
    connect,
    context::{Context, unexpected},
    convert::Converter,
    intake::Intake,
    lag::KafkaMonitor,
    native::{Commits, Records},
    settle::{KafkaSettle, Link},
    shared::Shared,
    worker::{Command, Worker},
};

/// Reads topics as a member of a consumer group.
///
/// * **Order**: by offset within each partition.
/// * **Settling**: by position, committed to the group; what is done beyond it goes along in the
///   commit's metadata.
/// * **Hand-over**: a partition that is taken away is announced, and given up once the engine has
///   let go of it, or at the deadline ([`drain`](field@KafkaConfig::drain)). Its positions are
///   committed before. With the cooperative assignor (the default) and with the consumer protocol,
///   the other partitions flow on meanwhile.
/// * **Memory**: what librdkafka prefetches (`queued.max.messages.kbytes`); events are made only
///   when they are asked for. librdkafka allocates with C's `malloc`; glibc's keeps for long what a
///   backlog took. A program that counts its megabytes links an allocator that gives back, as
///   `kafka-to-http` does (`mimalloc` with `override`: 19 MB instead of 37 after outages).
/// * **Outages**: librdkafka reconnects for ever. [`poll`](Source::poll) fails only when trying
///   again can't help: a permission that is missing, an instance id that is used twice.
/// * **Runtime**: the consumer lives on a thread of its own. [`close`](Source::close) waits for it,
///   at most [`KafkaConfig::close_timeout`]; a broker that hangs can hold it longer, and then the
///   thread is left behind. Dropping the source closes it without waiting.
///
/// ```no_run
/// use eventlane::{Pipeline, sink::FunctionSink, Event};
/// use eventlane_kafka::{KafkaConfig, KafkaSource};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = KafkaConfig::new("localhost:9092", "billing", ["orders"]);
/// let source = KafkaSource::connect(config).await?;
/// let monitor = source.monitor();
/// let sink = FunctionSink::new(|event: Event| async move { println!("{}", event.id()) });
/// let stop = async { drop(tokio::signal::ctrl_c().await) };
/// Pipeline::new(source, sink).run_until(stop).await?;
/// assert!(monitor.partitions().is_empty()); // given up, once the source is closed
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct KafkaSource {
    shared: Arc<Shared>,
    link: Link,
    ended: oneshot::Receiver<()>,
    settle_timeout: Duration,
    close_timeout: Duration,
}

impl KafkaSource {
    /// Joins the group, after a look at whether that can work: a broker answers, it accepts who we
    /// are, the topics exist and may be described, and so may the group. Topics are never
    /// created. Patterns are allowed to match nothing yet.
    ///
    /// # Errors
    /// Within [`connect_timeout`](KafkaConfig::connect_timeout), in one line that says what to do:
    /// `Config` for a setting that can't work or a topic that doesn't exist, `Unauthorized` for a
    /// wrong password, certificate or a permission that is missing, `Unavailable` if nobody
    /// answers. Permissions that the broker looks at only when the group is joined or records are
    /// fetched (Read on either) are reported by the first polls.
    ///
    /// # Cancellation
    /// Dropping the future closes the consumer without waiting for it. Whether the group had been
    /// joined by then is open; if it was, it is left again.
    pub async fn connect(config: KafkaConfig) -> Result<Self> {
        let config = config.validated()?;
        let (settle_timeout, close_timeout) = (config.settle_timeout, config.close_timeout);
        // The thread keeps the time itself; this is for calls into librdkafka that take longer than
        // they say.
        let limit = config.connect_timeout + Duration::from_secs(2);
        let intake = Intake::new(&config.group, Converter::new(&config.event));
        let shared = Arc::new(Shared::new(intake));
        let (commands, inbox) = mpsc::channel();
        let (ready, connected) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("eventlane-kafka".to_owned())
            .spawn(move || {
                live(&config, &theirs, inbox, ready);
                // Nobody may wait for it.
                let _ = done.send(());
            })
            .map_err(|error| unexpected("start a thread", &error.to_string()))?;
        let link = Link {
            commands,
            thread: thread.thread().clone(),
        };
        // Closes the consumer if we stop waiting.
        let source = Self {
            shared,
            link,
            ended,
            settle_timeout,
            close_timeout,
        };
        match timeout(limit, connected).await {
            Ok(Ok(result)) => result.map(|()| source),
            Ok(Err(_)) => Err(unexpected(
                "connect to Kafka",
                "the consumer's thread has died",
            )),
            Err(_) => {
                let message = format!("no answer within {} s", limit.as_secs_f64());
                Err(Error::new(
                    ErrorKind::Unavailable,
                    "connect to Kafka",
                    message,
                ))
            }
        }
    }

    /// A view of where the partitions stand, which lives on when the source has gone into a
    /// pipeline.
    pub fn monitor(&self) -> KafkaMonitor {
        self.shared.monitor.clone()
    }
}

/// The life of the consumer's thread: create, check, join, serve, leave. `ready` is told once, when
/// the group is joined or why it can't be; if nobody listens any more, the thread ends at once.
fn live(
    config: &KafkaConfig,
    shared: &Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    ready: oneshot::Sender<Result<()>>,
) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let consumer = match connect::create(config, waker.clone(), shared.monitor.clone()) {
        Ok(consumer) => Arc::new(consumer),
        Err(error) => return drop(ready.send(Err(error))),
    };
    // The consumer leaves the group as it is dropped, and it has to be dropped here: behind
    // whatever else refers to it.
    let _last = Last {
        consumer: &consumer,
        shared,
    };
    if let Err(error) = connect::check(&consumer, config) {
        return drop(ready.send(Err(error)));
    }
    let news = Waker::from(Arc::new(News(Arc::clone(&shared.news))));
    let records = Records::new(Arc::clone(&consumer), news);
    let commits = Commits::new(Arc::clone(&consumer), waker.clone());
    let (Some(records), Some(commits)) = (records, commits) else {
        return drop(ready.send(Err(unexpected("connect to Kafka", "out of memory"))));
    };
    shared.state().records = Some(records);
    let joined = connect::join(&consumer, config);
    let failed = joined.is_err();
    // Nobody waits for it any more if it took too long.
    if ready.send(joined).is_err() || failed {
        return;
    }
    let shared = Arc::clone(shared);
    Worker::new(&consumer, config, commits, shared, commands, waker).run();
}

// A field or a plain call at the end of `live` would not do: every early return needs it, too.
/// Prepares the consumer for its end, however the thread comes to it.
struct Last<'a> {
    consumer: &'a BaseConsumer<Context>,
    shared: &'a Shared,
}

/// Rebalances are carried out on the spot from here on (nobody drains any more), the queue of
/// records goes while the consumer still lives, and a poll that waits is told of the end.
impl Drop for Last<'_> {
    fn drop(&mut self) {
        self.consumer.context().set_closing();
        let mut state = self.shared.state();
        let records = state.records.take();
        state.outlet.end();
        drop(state);
        drop(records);
        self.shared.news.notify_one();
    }
}

/// Wakes the consumer's thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Wakes the engine's side.
struct News(Arc<Notify>);

impl Wake for News {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn capability(&self) -> Capability {
        Capability::log()
    }

    fn settler(&self) -> Arc<dyn Settle> {
        Arc::new(KafkaSettle::new(self.link.clone(), self.settle_timeout))
    }

    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        self.shared.take(demand).await
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<()> {
        self.shared.pause(partitions);
        self.link.send(Command::Pause);
        Ok(())
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<()> {
        self.shared.resume(partitions);
        self.link.send(Command::Pause);
        Ok(())
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        self.link.send(Command::Close);
        // An error means that the thread has died, and the consumer with it.
        if timeout(self.close_timeout, &mut self.ended).await.is_ok() {
            return Ok(());
        }
        tracing::warn!("the consumer does not close in time; its thread is left behind");
        let message = format!(
            "the consumer has not left the group within {} s; the broker will notice after the session timeout",
            self.close_timeout.as_secs_f64(),
        );
        Err(Error::new(
            ErrorKind::Unavailable,
            "close the Kafka consumer",
            message,
        ))
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.link.send(Command::Close);
    }
}
