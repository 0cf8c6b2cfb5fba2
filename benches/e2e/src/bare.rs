//! What eventlane is held against: rdkafka and hyper with nothing in between.
//!
//! So many requests in flight as there are connections, each on one; whoever is free takes the next
//! record. No order, no retries, no bookkeeping: librdkafka commits what it has handed out,
//! delivered or not. It sends the headers that eventlane sends, made as cheaply as hyper lets one.

use std::{
    cell::RefCell,
    fmt::Write,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer, StreamConsumer},
    message::BorrowedMessage,
};
use tokio::{net::TcpStream, sync::Mutex, task::LocalSet};

/// Where to read, and where to send.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    group: String,
    /// host:port
    #[arg(long)]
    sink: String,
    #[arg(long, default_value_t = 64)]
    max_in_flight: usize,
}

/// What to read, and how much of it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Consume {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    group: String,
    /// Records
    #[arg(long)]
    count: u64,
}

/// A consumer as fast as was measured: `fetch.queue.backoff.ms` is what otherwise limits
/// librdkafka.
fn consumer(brokers: &str, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.max.messages.kbytes", "16384");
    config
}

/// Runs until it is killed.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let sender = Rc::new(Sender::new(options).map_err(io::Error::other)?);
        let all = (0..options.max_in_flight).map(|_| {
            let sender = Rc::clone(&sender);
            tokio::task::spawn_local(async move { sender.send_all().await })
        });
        for one in all.collect::<Vec<_>>() {
            one.await?.map_err(io::Error::other)?;
        }
        Ok(())
    })
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Sender {
    consumer: StreamConsumer,
    turn: Mutex<()>,
    address: String,
    uri: Uri,
    host: HeaderValue,
    source: HeaderValue,
    topic: HeaderValue,
    time: RefCell<Time>,
}

/// The text of a time, kept while it stays the same.
struct Time {
    millis: i64,
    text: HeaderValue,
}

impl Sender {
    fn new(options: &Options) -> Result<Self, Failure> {
        let consumer: StreamConsumer = consumer(&options.brokers, &options.group).create()?;
        consumer.subscribe(&[&options.topic])?;
        let source = format!(
            "/apis/v1/namespaces/default/kafkasources/{}#{}",
            options.group, options.topic
        );
        Ok(Self {
            consumer,
            turn: Mutex::default(),
            address: options.sink.clone(),
            uri: "/".parse()?,
            host: options.sink.parse()?,
            source: source.parse()?,
            topic: options.topic.parse()?,
            time: RefCell::new(Time {
                millis: -1,
                text: HeaderValue::from_static(""),
            }),
        })
    }

    /// One connection: one request at a time, for ever.
    async fn send_all(&self) -> Result<(), Failure> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        loop {
            let record = {
                // Else a record would wake everybody who waits for one.
                let _turn = self.turn.lock().await;
                self.consumer.recv().await?
            };
            let request = self.request(&record)?;
            drop(record);
            requests.ready().await?;
            let response = requests.send_request(request).await?;
            if !response.status().is_success() {
                return Err(format!("answered {}", response.status()).into());
            }
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
            }
        }
    }

    fn request(&self, record: &BorrowedMessage<'_>) -> Result<Request<Full<Bytes>>, Failure> {
        const ID: HeaderName = HeaderName::from_static("ce-id");
        const SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");
        const SOURCE: HeaderName = HeaderName::from_static("ce-source");
        const TYPE: HeaderName = HeaderName::from_static("ce-type");
        const SUBJECT: HeaderName = HeaderName::from_static("ce-subject");
        const TIME: HeaderName = HeaderName::from_static("ce-time");
        const KEY: HeaderName = HeaderName::from_static("ce-key");
        const PARTITION_KEY: HeaderName = HeaderName::from_static("ce-partitionkey");
        const PARTITION: HeaderName = HeaderName::from_static("ce-knativekafkapartition");
        const OFFSET: HeaderName = HeaderName::from_static("ce-knativekafkaoffset");
        const TOPIC: HeaderName = HeaderName::from_static("ce-kafkatopic");

        let body = Bytes::copy_from_slice(record.payload().unwrap_or_default());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        let (partition, offset) = (record.partition(), record.offset());
        let headers = request.headers_mut();
        headers.reserve(14);
        headers.insert(header::USER_AGENT, HeaderValue::from_static("bare-loop"));
        headers.insert(header::HOST, self.host.clone());
        headers.insert(SPECVERSION, HeaderValue::from_static("1.0"));
        headers.insert(
            ID,
            format!("partition:{partition}/offset:{offset}").try_into()?,
        );
        headers.insert(SOURCE, self.source.clone());
        headers.insert(TYPE, HeaderValue::from_static("dev.knative.kafka.event"));
        headers.insert(
            SUBJECT,
            format!("partition:{partition}#{offset}").try_into()?,
        );
        if let Some(millis) = record.timestamp().to_millis() {
            headers.insert(TIME, self.time(millis)?);
        }
        if let Some(key) = record.key() {
            let key = HeaderValue::from_bytes(key)?;
            headers.insert(KEY, key.clone());
            headers.insert(PARTITION_KEY, key);
        }
        headers.insert(PARTITION, partition.into());
        headers.insert(OFFSET, offset.into());
        headers.insert(TOPIC, self.topic.clone());
        Ok(request)
    }

    fn time(&self, millis: i64) -> Result<HeaderValue, Failure> {
        let mut time = self.time.borrow_mut();
        if time.millis != millis {
            time.millis = millis;
            time.text = rfc3339(millis).try_into()?;
        }
        Ok(time.text.clone())
    }
}

fn rfc3339(millis: i64) -> String {
    let (seconds, millis) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The civil calendar in years that begin in March, so that the leap day is the last of its
    // year.
    let since = days + 719_468;
    let (era, day) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = String::with_capacity(24);
    let written = write!(
        text,
        "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
    );
    debug_assert!(written.is_ok());
    text
}

/// Reads without sending anything, says on standard error how many seconds that took from the first
/// record to the last, and waits to be killed: the CPU time and memory of a process can be asked
/// for as long as it lives.
pub(crate) fn consume(options: &Consume) -> io::Result<()> {
    let consumer: BaseConsumer = consumer(&options.brokers, &options.group)
        .create()
        .map_err(io::Error::other)?;
    consumer
        .subscribe(&[&options.topic])
        .map_err(io::Error::other)?;
    let (mut count, mut first, mut bytes) = (0, None, 0);
    while count < options.count {
        let Some(record) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        bytes += record.map_err(io::Error::other)?.payload_len();
        count += 1;
        first.get_or_insert_with(Instant::now);
    }
    std::hint::black_box(bytes);
    let seconds = first.map_or(0.0, |first| first.elapsed().as_secs_f64());
    eprintln!("{seconds}");
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
        }
    }
}
