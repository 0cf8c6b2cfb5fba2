//! A real Kafka, and an adapter that is given resources.

use std::{
    fmt::Write,
    ops::{Deref, DerefMut},
    sync::LazyLock,
};

use eventlane_testkit::{Kafka, kafka::Options};
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::host::Host;
use crate::support::LIMIT;

/// One broker for all tests of the module.
static KAFKA: LazyLock<Option<Kafka>> = LazyLock::new(|| {
    Kafka::start_or_skip(Options {
        sasl: true,
        tls: true,
        ..Options::default()
    })
});

/// A broker, and an adapter that is to carry from it.
pub(super) struct Stage {
    pub(super) kafka: &'static Kafka,
    host: Host,
}

impl Deref for Stage {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut Host {
        &mut self.host
    }
}

impl Stage {
    /// `None` where real brokers are not wanted.
    pub(super) fn new() -> Option<Self> {
        Some(Self {
            kafka: KAFKA.as_ref()?,
            host: Host::new(),
        })
    }

    /// A topic of this many partitions, and a source under the same name, which is also its group's
    /// and the path of its sink. `metadata` and `spec` are further lines of theirs. Reads from the
    /// beginning, unless `spec` says otherwise.
    pub(super) fn source(&mut self, name: &str, partitions: u16, metadata: &str, spec: &str) {
        self.kafka.create_topic(name, partitions, &[]);
        let mut source = format!(
            "apiVersion: sources.knative.dev/v1\nkind: KafkaSource\nmetadata:\n  \
             name: {name}\n"
        );
        let mut block = |indented: &str| {
            for line in indented.lines().filter(|line| !line.trim().is_empty()) {
                writeln!(source, "  {line}").unwrap();
            }
        };
        block(metadata);
        source.push_str("spec:\n");
        let mut spec = spec.replace("GATEWAY", &self.gateway.url(""));
        for (field, value) in [
            (
                "bootstrapServers",
                format!("[\"{}\"]", self.kafka.bootstrap()),
            ),
            ("topics", format!("[{name}]")),
            ("consumerGroup", name.to_owned()),
            ("initialOffset", "earliest".to_owned()),
            (
                "sink",
                format!("{{uri: \"{}\"}}", self.gateway.url(&format!("/{name}"))),
            ),
        ] {
            if !spec.lines().any(|line| line.starts_with(field)) {
                writeln!(spec, "\n{field}: {value}").unwrap();
            }
        }
        let mut block = |indented: &str| {
            for line in indented.lines().filter(|line| !line.trim().is_empty()) {
                writeln!(source, "  {line}").unwrap();
            }
        };
        block(&spec);
        self.resource(&source);
    }

    pub(super) fn produce(&self, topic: &str, partition: i32, records: &[(&[u8], &str)]) {
        let producer: BaseProducer = self.kafka.client().create().unwrap();
        for (key, value) in records {
            let record = BaseRecord::to(topic).partition(partition);
            let record = record.key(*key).payload(*value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(LIMIT).unwrap();
    }

    /// How many consumers a group has.
    pub(super) fn members(&self, group: &str) -> usize {
        let client: BaseConsumer = self.kafka.client().create().unwrap();
        let groups = client.fetch_group_list(Some(group), LIMIT).unwrap();
        groups
            .groups()
            .first()
            .map_or(0, |group| group.members().len())
    }
}
