//! What a test asks of the cluster as a client.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
};
use tokio::{runtime, time::Instant};

use super::{Kafka, Keys, Producer};
use crate::eventually;

const TIMEOUT: Duration = Duration::from_secs(20);

impl Kafka {
    /// A topic of a new name.
    pub fn topic(&self, partitions: u16) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("topic-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.create_topic(&name, partitions, &[]);
        name
    }

    /// A topic of a given name, with properties such as `("cleanup.policy", "compact")`, on all
    /// nodes.
    pub fn create_topic(&self, name: &str, partitions: u16, properties: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("admin client");
        let replication = TopicReplication::Fixed(self.nodes.into());
        let topic = properties.iter().fold(
            NewTopic::new(name, partitions.into(), replication),
            |topic, (key, value)| topic.set(key, value),
        );
        let options = AdminOptions::new()
            .request_timeout(Some(TIMEOUT))
            .operation_timeout(Some(TIMEOUT));
        // On a thread of its own: the caller may be a task, which may not start another runtime.
        let results = thread::scope(|scope| {
            let created = scope.spawn(|| {
                let runtime = runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("runtime");
                runtime.block_on(admin.create_topics([&topic], &options))
            });
            created.join().expect("no panic")
        });
        for result in results.unwrap_or_else(|error| panic!("create topic {name}: {error}")) {
            result.unwrap_or_else(|(name, error)| panic!("create topic {name}: {error}"));
        }
        let consumer = self.consumer("none");
        eventually(TIMEOUT, "the leaders of a new topic", || {
            let metadata = consumer.fetch_metadata(Some(name), TIMEOUT).ok()?;
            let created = metadata.topics()[0].partitions();
            (created.len() == usize::from(partitions) && created.iter().all(|p| p.leader() >= 0))
                .then_some(())
        });
    }

    /// A producer of numbered records.
    pub fn producer(&self, topic: &str, keys: Keys) -> Producer {
        Producer::new(self.client(), topic, keys)
    }

    /// Produces `records` numbered records of about `size` bytes with `keys` keys in turn. A
    /// hundred thousand take a second or two.
    pub fn produce(&self, topic: &str, records: u64, keys: u64, size: usize) {
        let mut producer = self.producer(topic, Keys::InTurn(keys));
        producer.send(records, size);
        producer.flush();
    }

    /// The names of the topics that there are, but for Kafka's own.
    pub fn topics(&self) -> Vec<String> {
        let metadata = self.consumer("none").fetch_metadata(None, TIMEOUT);
        let metadata = metadata.unwrap_or_else(|error| panic!("topics: {error}"));
        let names = metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned());
        names.filter(|name| !name.starts_with("__")).collect()
    }

    /// The offset after the last record of each partition.
    pub fn end_offsets(&self, topic: &str) -> Vec<i64> {
        let consumer = self.consumer("none");
        let partitions = 0..partitions(&consumer, topic);
        partitions
            .map(
                |partition| match consumer.fetch_watermarks(topic, partition, TIMEOUT) {
                    Ok((_, end)) => end,
                    Err(error) => panic!("end offset of {topic}/{partition}: {error}"),
                },
            )
            .collect()
    }

    /// What a group has committed of each partition; `None` where it has not. Works while the group
    /// is at work.
    pub fn committed(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        let offset =
            |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element
                .offset()
            {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
        self.committed_list(group, topic)
            .elements()
            .into_iter()
            .map(offset)
            .collect()
    }

    /// The metadata of what a group has committed of each partition.
    pub fn committed_metadata(&self, group: &str, topic: &str) -> Vec<String> {
        let committed = self.committed_list(group, topic);
        committed
            .elements()
            .iter()
            .map(|element| element.metadata().to_owned())
            .collect()
    }

    fn committed_list(&self, group: &str, topic: &str) -> TopicPartitionList {
        let consumer = self.consumer(group);
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions(&consumer, topic) - 1);
        let start = Instant::now();
        loop {
            match consumer.committed_offsets(list.clone(), TIMEOUT) {
                Ok(committed) => return committed,
                // A broker that has just come back is no coordinator yet.
                Err(error) if start.elapsed() > TIMEOUT => {
                    panic!("committed offsets of {group}: {error}")
                }
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// How many records a group has not committed, over all partitions.
    pub fn lag(&self, group: &str, topic: &str) -> i64 {
        let committed = self.committed(group, topic);
        let ends = self.end_offsets(topic);
        ends.iter()
            .zip(committed)
            .map(|(end, committed)| end - committed.unwrap_or(0))
            .sum()
    }

    /// The configuration of a client that knows where the brokers are, and nothing else.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        self.client()
            .set("group.id", group)
            .create()
            .expect("consumer")
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> i32 {
    match consumer.fetch_metadata(Some(topic), TIMEOUT) {
        Ok(metadata) => metadata.topics()[0].partitions().len() as i32,
        Err(error) => panic!("partitions of {topic}: {error}"),
    }
}
