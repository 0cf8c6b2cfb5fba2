//! The program under test, and queues for it.

use std::{process::Command, time::Duration};

use aws_sdk_sqs::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    types::{QueueAttributeName, SendMessageBatchRequestEntry},
};
use eventlane_testkit::{Process, sqs::ElasticMq};

/// Long enough for anything that happens at all on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// A FIFO queue.
pub(crate) struct Queue {
    endpoint: String,
    pub(crate) url: String,
    client: Client,
}

impl Queue {
    /// Makes one with leases of so many seconds.
    pub(crate) async fn create(server: &ElasticMq, name: &str, lease: u32) -> Self {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .endpoint_url(server.endpoint());
        let client = Client::from_conf(config.build());
        let create = client.create_queue().queue_name(format!("{name}.fifo"));
        let created = create
            .attributes(QueueAttributeName::FifoQueue, "true")
            .attributes(QueueAttributeName::VisibilityTimeout, lease.to_string())
            .send()
            .await
            .unwrap();
        Self {
            endpoint: server.endpoint().to_owned(),
            url: created.queue_url().unwrap().to_owned(),
            client,
        }
    }

    /// Sends `each` messages to each of `groups` groups, in turn.
    pub(crate) async fn fill(&self, groups: u32, each: u32) {
        let all: Vec<_> = (0..each)
            .flat_map(|seq| (0..groups).map(move |group| (format!("k{group}"), seq)))
            .collect();
        for ten in all.chunks(10) {
            let entries = ten.iter().enumerate().map(|(at, (key, seq))| {
                SendMessageBatchRequestEntry::builder()
                    .id(at.to_string())
                    .message_group_id(key)
                    .message_deduplication_id(format!("{key}-{seq}"))
                    .message_body(format!(r#"{{"key":"{key}","seq":{seq}}}"#))
                    .build()
                    .unwrap()
            });
            let send = self.client.send_message_batch().queue_url(&self.url);
            let sent = send
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .unwrap();
            assert_eq!(sent.successful().len(), ten.len());
        }
    }

    /// About how many messages wait, and how many are on lease.
    pub(crate) async fn counts(&self) -> (u32, u32) {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let get = self.client.get_queue_attributes().queue_url(&self.url);
        let got = get
            .set_attribute_names(Some(names.to_vec()))
            .send()
            .await
            .unwrap();
        let got = got.attributes().unwrap();
        let [waiting, leased] = names.map(|name| got[&name].parse().unwrap());
        (waiting, leased)
    }

    /// Carries it to `sink`, with further flags.
    pub(crate) fn adapter(&self, sink: &str, flags: &[&str]) -> Process {
        let usual = [
            "--kind",
            "sqs",
            "--queue-url",
            &self.url,
            "--endpoint",
            &self.endpoint,
            "--sink",
            sink,
            "--wait",
            "1",
        ];
        start(usual.into_iter().chain(flags.iter().copied()))
    }
}

/// Runs the program, with credentials that no server here minds.
pub(crate) fn start<'a>(flags: impl IntoIterator<Item = &'a str>) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_queue-to-http"));
    command
        .args(flags)
        .env("AWS_ACCESS_KEY_ID", "id")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("ALIBABA_CLOUD_ACCESS_KEY_ID", "id")
        .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret");
    Process::spawn(command)
}
