//! The flags about the delivery.

use std::{fmt, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use eventlane::{
    BatchPolicy, Budgets, Error, OnExhausted, Ordering, Pipeline, Retry, Sink, Source,
    event::http::Mode,
    sink::{
        DeadLetterSink, FileDeadLetter,
        http::{HttpDeadLetter, HttpSink, HttpSinkConfig, Replies, Undecodable},
    },
};

/// Where the events go, and how.
#[derive(Args, Debug)]
pub struct Delivery {
    /// Where the events go
    #[arg(long, value_name = "URL")]
    sink: String,
    /// Where events go that the endpoint puts into its answers
    #[arg(long, value_name = "URL")]
    reply: Option<String>,
    /// What becomes of an event whose answer has a body that is no reply, if replies are wanted
    #[arg(long, value_enum, default_value = "reject")]
    undecodable: UndecodableReply,

    /// What stays in order: nothing, each partition, or each key of a partition
    #[arg(long, value_enum, default_value = "key")]
    ordering: Order,
    /// Requests in flight at a time
    #[arg(long, default_value_t = 64, value_name = "N")]
    max_in_flight: usize,
    /// Events to hold in memory
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    buffer_events: usize,
    /// Bytes of events to hold in memory
    #[arg(long, default_value_t = 64 << 20, value_name = "BYTES")]
    buffer_bytes: usize,

    /// How an event becomes a request; batched only for endpoints that are known to take it
    #[arg(long, value_enum, default_value = "binary")]
    mode: HttpMode,
    /// Events in a batch
    #[arg(long, default_value_t = 1, value_name = "N")]
    batch_events: usize,
    /// Bytes in a batch
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    batch_bytes: usize,
    /// How long an event may wait for company in its batch
    #[arg(long, default_value = "0", value_name = "MS", value_parser = milliseconds)]
    linger: Duration,

    /// How often an event is tried, the first attempt included
    #[arg(long, default_value_t = 10, value_name = "N")]
    retry_attempts: u32,
    /// The delay before the first retry; it doubles from there
    #[arg(long, default_value = "50", value_name = "MS", value_parser = milliseconds)]
    retry_initial: Duration,
    /// The longest delay between retries
    #[arg(long, default_value = "30000", value_name = "MS", value_parser = milliseconds)]
    retry_max: Duration,
    /// How long one attempt may take
    #[arg(long, default_value = "30000", value_name = "MS", value_parser = milliseconds)]
    timeout: Duration,
    /// Where events go that are given up: an endpoint, file:PATH for JSON lines, or, for RocketMQ,
    /// broker for the broker's own dead letters
    #[arg(long, value_name = "URL|file:PATH|broker")]
    dead_letter: Option<String>,
    /// What becomes of an event that is refused, or whose attempts have all failed [default:
    /// dead-letter with --dead-letter, else block]
    #[arg(long, value_enum)]
    on_exhausted: Option<Exhausted>,
    /// How long an event that is released stays away
    #[arg(long, default_value = "0", value_name = "MS", value_parser = milliseconds)]
    release_after: Duration,

    /// Stop when nothing has come for so long and nothing is in hand
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    until_idle: Option<Duration>,
    /// How long a stop may take
    #[arg(long, default_value = "30", value_name = "SECS", value_parser = seconds)]
    grace: Duration,
    /// Write what was done to this file in the end
    #[arg(long, value_name = "PATH")]
    pub(crate) report_json: Option<PathBuf>,
    /// Write a line to standard error so often: how many tasks the program has
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) tasks_every: Option<Duration>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    None,
    Partition,
    Key,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HttpMode {
    Binary,
    Structured,
    Batched,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UndecodableReply {
    /// Given up, as one that the endpoint refuses
    Reject,
    /// Tried again
    Retry,
    /// Delivered, and the body passed over
    Ignore,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Exhausted {
    Block,
    DeadLetter,
    /// Back to the broker, for sources that have leases
    Release,
    Drop,
    Stop,
}

impl Delivery {
    /// Checks the flags: everything about the sink and the dead letters, before a connection to a
    /// broker is made.
    ///
    /// # Errors
    /// A flag that can't work, with what to do about it.
    pub fn prepare(&self) -> Result<Prepared, Error> {
        let sink = HttpSinkConfig::new(&self.sink)
            .with_mode(match self.mode {
                HttpMode::Binary => Mode::Binary,
                HttpMode::Structured => Mode::Structured,
                HttpMode::Batched => Mode::Batched,
            })
            .with_max_idle_connections(self.max_in_flight)
            .with_replies(Replies::default().with_undecodable(match self.undecodable {
                UndecodableReply::Reject => Undecodable::Reject,
                UndecodableReply::Retry => Undecodable::Retry,
                UndecodableReply::Ignore => Undecodable::Ignore,
            }));
        let mut sink = HttpSink::new(sink)?;
        if let Some(url) = &self.reply {
            let replies = HttpSinkConfig::new(url).with_max_idle_connections(self.max_in_flight);
            sink = sink.with_replies_to(HttpSink::new(replies)?);
        }
        Ok(Prepared {
            sink,
            dead_letter: self
                .dead_letter
                .as_deref()
                .map(DeadLetter::open)
                .transpose()?,
        })
    }

    /// The pipeline from a source to what was prepared.
    pub fn pipeline(
        &self,
        name: &str,
        source: impl Source + 'static,
        prepared: Prepared,
    ) -> Pipeline {
        let mut pipeline = Pipeline::new(source, prepared.sink)
            .with_name(name)
            .with_ordering(match self.ordering {
                Order::None => Ordering::None,
                Order::Partition => Ordering::Partition,
                Order::Key => Ordering::Key,
            })
            .with_budgets(
                Budgets::default()
                    .with_requests(self.max_in_flight)
                    .with_events(self.buffer_events)
                    .with_bytes(self.buffer_bytes),
            )
            .with_batch(
                BatchPolicy::new(self.batch_events, self.linger).with_bytes(self.batch_bytes),
            )
            .with_retry(
                Retry::default()
                    .with_attempts(self.retry_attempts)
                    .with_delays(self.retry_initial, self.retry_max)
                    .with_timeout(self.timeout),
            )
            .with_grace(self.grace);
        pipeline = match prepared.dead_letter {
            Some(DeadLetter::Http(endpoint)) => pipeline.with_dead_letter(*endpoint),
            Some(DeadLetter::File(file)) => pipeline.with_dead_letter(file),
            Some(DeadLetter::Broker(Some(by))) => by.0(pipeline),
            // Of a source that has none, the pipeline says so when it starts.
            Some(DeadLetter::Broker(None)) => pipeline.with_on_exhausted(OnExhausted::DeadLetter),
            None => pipeline,
        };
        if let Some(exhausted) = self.on_exhausted {
            pipeline = pipeline.with_on_exhausted(match exhausted {
                Exhausted::Block => OnExhausted::Block,
                Exhausted::DeadLetter => OnExhausted::DeadLetter,
                Exhausted::Release => OnExhausted::Release {
                    after: self.release_after,
                },
                Exhausted::Drop => OnExhausted::Drop,
                Exhausted::Stop => OnExhausted::Stop,
            });
        }
        match self.until_idle {
            Some(idle) => pipeline.with_idle_timeout(idle),
            None => pipeline,
        }
    }
}

/// A sink and perhaps dead letters that can work.
#[derive(Debug)]
pub struct Prepared {
    sink: HttpSink,
    dead_letter: Option<DeadLetter>,
}

impl Prepared {
    /// Sets where replies go.
    #[must_use]
    pub fn with_replies_to(mut self, replies: impl Sink + 'static) -> Self {
        self.sink = self.sink.with_replies_to(replies);
        self
    }

    /// For sources whose broker makes dead letters itself: those that `--dead-letter broker` means.
    #[must_use]
    pub fn with_broker(mut self, letters: impl DeadLetterSink + 'static) -> Self {
        if let Some(DeadLetter::Broker(by)) = &mut self.dead_letter {
            *by = Some(ByBroker(Box::new(|pipeline| {
                pipeline.with_dead_letter(letters)
            })));
        }
        self
    }
}

#[derive(Debug)]
enum DeadLetter {
    Http(Box<HttpDeadLetter>),
    File(FileDeadLetter),
    /// `None` until there is a source.
    Broker(Option<ByBroker>),
}

struct ByBroker(Box<dyn FnOnce(Pipeline) -> Pipeline + Send>);

impl fmt::Debug for ByBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByBroker")
    }
}

impl DeadLetter {
    fn open(place: &str) -> Result<Self, Error> {
        if place == "broker" {
            return Ok(Self::Broker(None));
        }
        match place.strip_prefix("file:") {
            Some(path) => FileDeadLetter::open(path).map(Self::File),
            None => HttpDeadLetter::new(HttpSinkConfig::new(place))
                .map(|endpoint| Self::Http(Box::new(endpoint))),
        }
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map(Duration::from_millis)
        .map_err(|_| "it must be a number of milliseconds".to_owned())
}

/// Reads a number of seconds, perhaps with a fraction.
///
/// # Errors
/// If it is none.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "it must be a number of seconds".to_owned())
}
