use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use aws_smithy_async::time::TimeSource;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::*;

const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";
const ARN: &str = "arn:aws:sqs:eu-west-1:123456789012:orders";

fn attributes(pairs: &[(QueueAttributeName, &str)]) -> HashMap<QueueAttributeName, String> {
    let pairs = pairs.iter().cloned();
    pairs
        .map(|(name, value)| (name, value.to_owned()))
        .collect()
}

#[test]
fn a_queue_is_what_its_attributes_say() {
    let attributes = attributes(&[
        (QueueAttributeName::VisibilityTimeout, "45"),
        (QueueAttributeName::FifoQueue, "true"),
        (QueueAttributeName::QueueArn, ARN),
    ]);
    let facts = judge(&SqsConfig::new(URL), Some(&attributes)).unwrap();
    let lease = Duration::from_secs(45);
    assert_eq!((facts.fifo, facts.lease), (true, lease));
    assert_eq!((facts.visibility, &*facts.source), (None, ARN));
}

#[test]
fn the_configuration_has_the_last_word() {
    let attributes = attributes(&[
        (QueueAttributeName::VisibilityTimeout, "0"),
        (QueueAttributeName::QueueArn, ARN),
    ]);
    let minute = Duration::from_secs(60);
    let event = crate::EventConfig::new().with_source("/orders");
    let config = SqsConfig::new(URL)
        .with_visibility(minute)
        .with_event(event);
    let facts = judge(&config, Some(&attributes)).unwrap();
    assert_eq!((facts.lease, facts.visibility), (minute, Some(minute)));
    assert_eq!((facts.fifo, &*facts.source), (false, "/orders"));
}

#[test]
fn what_may_not_be_read_is_assumed_and_made_so() {
    let assumed = Duration::from_secs(30);
    let config = SqsConfig::new(format!("{URL}.fifo"));
    let facts = judge(&config, None).unwrap();
    assert_eq!((facts.lease, facts.visibility), (assumed, Some(assumed)));
    assert!(facts.fifo);
    assert_eq!(facts.source, config.queue_url);
}

#[test]
fn a_queue_that_can_not_work_is_refused() {
    let zero = attributes(&[(QueueAttributeName::VisibilityTimeout, "0")]);
    let error = judge(&SqsConfig::new(URL), Some(&zero)).unwrap_err();
    assert!(error.to_string().contains("set visibility"), "{error}");
    let arn = attributes(&[(QueueAttributeName::QueueArn, "not a URI")]);
    let error = judge(&SqsConfig::new(URL), Some(&arn)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn only_a_missing_permission_is_one() {
    assert!(may_not(Some("AccessDenied")));
    assert!(may_not(Some(
        "com.amazon.coral.service#AccessDeniedException"
    )));
    assert!(!may_not(Some("InvalidClientTokenId")));
    assert!(!may_not(None));
}

/// A wall clock, in seconds.
#[derive(Clone, Debug, Default)]
struct Clock(Arc<AtomicU64>);

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// Answers a request in two parts; between them, the clock jumps.
async fn answer(mut stream: TcpStream, clock: Clock) -> std::io::Result<()> {
    let body = r#"{"QueueUrls":[]}"#;
    let (first, rest) = body.split_at(5);
    assert!(stream.read(&mut vec![0; 16_384]).await? > 0);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all((head + first).as_bytes()).await?;
    stream.flush().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    clock.0.fetch_add(3 * 365 * 86_400, Ordering::SeqCst);
    stream.write_all(rest.as_bytes()).await
}

/// The SDK would measure what comes by the wall clock, in steps of 100 ms: those of three years keep a
/// thread for half a minute, and the program if each of its threads meets with that.
#[tokio::test]
async fn a_wall_clock_that_jumps_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let clock = Clock::default();
    clock.0.store(1_700_000_000, Ordering::SeqCst);
    let config = SqsConfig::new(format!("http://{address}/1/q"))
        .with_endpoint(format!("http://{address}"))
        .with_credentials(crate::StaticCredentials::new("id", "secret"));
    let clients = clients(&config).await.unwrap();
    for client in [clients.receiver, clients.other] {
        let jumping = client.config().to_builder().time_source(clock.clone());
        let client = Client::from_conf(jumping.build());
        let served = async {
            let (stream, _) = listener.accept().await.unwrap();
            answer(stream, clock.clone()).await.unwrap();
        };
        let began = Instant::now();
        let (listed, ()) = tokio::join!(client.list_queues().send(), served);
        assert!(listed.is_ok(), "{listed:?}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}
