//! The servers, and what they have in common.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::{MessageAttributeValue, QueueAttributeName},
};
use eventlane::queue::{Message, QueueBackend};
use eventlane_sqs::{SqsConfig, SqsQueue, StaticCredentials};
use eventlane_testkit::sqs::{ElasticMq, Ministack};

use crate::fake::{Fake, FakeOptions};

pub(crate) type Received = Message<Arc<str>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    Fake,
    ElasticMq,
    Ministack,
}

/// A server. What the real ones do otherwise than SQS is said by methods, next to which it is
/// described.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) is: Is,
    pub(crate) endpoint: String,
    _fake: Option<Fake>,
}

impl Server {
    pub(crate) fn fake() -> Option<Self> {
        let fake = Fake::start(FakeOptions::default());
        Some(Self {
            is: Is::Fake,
            endpoint: fake.endpoint(),
            _fake: Some(fake),
        })
    }

    pub(crate) fn elasticmq() -> Option<Self> {
        let server = ElasticMq::shared_or_skip()?;
        Some(Self::real(Is::ElasticMq, server.endpoint()))
    }

    pub(crate) fn ministack() -> Option<Self> {
        let server = Ministack::shared_or_skip()?;
        Some(Self::real(Is::Ministack, server.endpoint()))
    }

    pub(crate) fn real(is: Is, endpoint: &str) -> Self {
        Self {
            is,
            endpoint: endpoint.to_owned(),
            _fake: None,
        }
    }

    /// Whether a FIFO queue refuses a handle whose lease is over. Both real servers delete the
    /// message instead.
    pub(crate) fn refuses_expired_handles(&self) -> bool {
        self.is == Is::Fake
    }

    /// Whether a group goes on with its head when that was given back while its tail is still on
    /// lease. ministack locks the whole group.
    pub(crate) fn goes_on_with_the_head(&self) -> bool {
        self.is != Is::Ministack
    }

    /// Whether the access key matters. Both real servers accept any.
    pub(crate) fn checks_keys(&self) -> bool {
        self.is == Is::Fake
    }

    /// Whether a standard queue's messages come in the order of sending. ElasticMQ's don't, as
    /// SQS's need not.
    pub(crate) fn keeps_order(&self) -> bool {
        self.is != Is::ElasticMq
    }

    pub(crate) fn client(&self) -> Client {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-east-1"))
            .endpoint_url(&self.endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"));
        Client::from_conf(config.build())
    }

    /// A new queue with leases of so many seconds. FIFO queues want `fifo`.
    pub(crate) async fn queue(&self, fifo: bool, lease: u64) -> Queue {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let end = if fifo { ".fifo" } else { "" };
        let name = format!("q{count}{end}");
        let client = self.client();
        let mut create = client
            .create_queue()
            .queue_name(&name)
            .attributes(QueueAttributeName::VisibilityTimeout, lease.to_string());
        if fifo {
            create = create
                .attributes(QueueAttributeName::FifoQueue, "true")
                .attributes(QueueAttributeName::ContentBasedDeduplication, "false");
        }
        create.send().await.unwrap();
        let url = format!("{}/000000000000/{name}", self.endpoint);
        let config = SqsConfig::new(&url)
            .with_endpoint(&self.endpoint)
            .with_credentials(StaticCredentials::new("test", "test"))
            .with_wait(Duration::from_secs(1));
        Queue {
            client,
            url,
            name,
            config,
        }
    }
}

/// A queue of a test.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) config: SqsConfig,
}

impl Queue {
    pub(crate) async fn connect(&self) -> SqsQueue {
        SqsQueue::connect(self.config.clone()).await.unwrap()
    }

    pub(crate) async fn send(&self, body: &str) {
        let send = self.client.send_message().queue_url(&self.url);
        send.message_body(body).send().await.unwrap();
    }

    pub(crate) async fn send_with(&self, body: &str, attributes: &[(&str, &str)]) {
        let mut send = self.client.send_message().queue_url(&self.url);
        for (name, value) in attributes {
            let attribute = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(*value);
            send = send.message_attributes(*name, attribute.build().unwrap());
        }
        send.message_body(body).send().await.unwrap();
    }

    /// To a group; on FIFO queues, the body must not have been sent before.
    pub(crate) async fn send_to(&self, group: &str, body: &str) {
        let mut send = self.client.send_message().queue_url(&self.url);
        if self.name.ends_with(".fifo") {
            send = send.message_deduplication_id(format!("{group}-{body}").replace(' ', "_"));
        }
        send.message_body(body)
            .message_group_id(group)
            .send()
            .await
            .unwrap();
    }
}

/// Receives until there are so many messages, for up to ten waits.
pub(crate) async fn take(queue: &SqsQueue, count: usize) -> Vec<Received> {
    let mut messages = Vec::new();
    for _ in 0..10 {
        let max = count - messages.len();
        messages.extend(queue.receive(max, Duration::from_secs(1)).await.unwrap());
        if messages.len() == count {
            return messages;
        }
    }
    panic!("{count} messages wanted, {} came", messages.len());
}

/// What comes at once, or within a second.
pub(crate) async fn now(queue: &SqsQueue) -> Vec<Received> {
    queue.receive(10, Duration::from_secs(1)).await.unwrap()
}

pub(crate) fn body(message: &Received) -> String {
    String::from_utf8(message.event.data().unwrap().as_bytes().to_vec()).unwrap()
}

pub(crate) fn bodies(messages: &[Received]) -> Vec<String> {
    messages.iter().map(body).collect()
}

pub(crate) fn handles(messages: &[Received]) -> Vec<Arc<str>> {
    let handles = messages.iter();
    handles.map(|message| Arc::clone(&message.handle)).collect()
}

/// Runs a test against every server.
macro_rules! on_every_server {
    ($($name:ident)*) => {
        mod fake { $(
            #[tokio::test]
            async fn $name() {
                let server = crate::support::Server::fake().unwrap();
                super::$name(&server).await;
            }
        )* }
        mod elasticmq { $(
            #[tokio::test]
            async fn $name() {
                let Some(server) = crate::support::Server::elasticmq() else { return };
                super::$name(&server).await;
            }
        )* }
        mod ministack { $(
            #[tokio::test]
            async fn $name() {
                let Some(server) = crate::support::Server::ministack() else { return };
                super::$name(&server).await;
            }
        )* }
    };
}
pub(crate) use on_every_server;
