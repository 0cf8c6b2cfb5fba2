//! A real Kafka, and an adapter that is given resources.

use std::{fmt::Write, fs, sync::LazyLock};

use eventlane_testkit::{Kafka, Process, kafka::Options};
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::gateway::Gateway;
use crate::support::{Files, LIMIT, command};

/// One broker for all tests of the module.
static KAFKA: LazyLock<Option<Kafka>> = LazyLock::new(|| {
    Kafka::start_or_skip(Options {
        sasl: true,
        tls: true,
        ..Options::default()
    })
});

/// A broker, an endpoint, and resources that carry from one to the other.
pub(super) struct Stage {
    pub(super) kafka: &'static Kafka,
    pub(super) gateway: Gateway,
    pub(super) files: Files,
    resources: String,
}

impl Stage {
    /// `None` where real brokers are not wanted.
    pub(super) fn new() -> Option<Self> {
        Some(Self {
            kafka: KAFKA.as_ref()?,
            gateway: Gateway::start(),
            files: Files::new(),
            resources: String::new(),
        })
    }

    /// A topic of this many partitions, and a source under the same name, which is also its group's
    /// and the path of its sink. `metadata` and `spec` are further lines of theirs. Reads from the
    /// beginning, unless `spec` says otherwise.
    pub(super) fn source(&mut self, name: &str, partitions: u16, metadata: &str, spec: &str) {
        self.kafka.create_topic(name, partitions, &[]);
        let mut source = format!(
            "---\napiVersion: sources.knative.dev/v1\nkind: KafkaSource\nmetadata:\n  \
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
        self.resources.push_str(&source);
    }

    /// A resource as it is written.
    pub(super) fn resource(&mut self, text: &str) {
        write!(self.resources, "---\n{text}").unwrap();
    }

    /// A secret, as a cluster mounts it.
    pub(super) fn secret(&self, name: &str, key: &str, value: &[u8]) {
        let directory = self.files.path("secrets").join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(key), value).unwrap();
    }

    /// An adapter with all resources.
    pub(super) fn start(&self) -> Process {
        self.start_with(&[])
    }

    /// The same with an environment.
    pub(super) fn start_with(&self, variables: &[(&str, &str)]) -> Process {
        let file = self.files.write("resources.yaml", &self.resources);
        let mut command = command(["run", "--log-format", "text", "--listen", "127.0.0.1:0"]);
        command.arg("--secrets").arg(self.files.path("secrets"));
        command.args(["--grace", "3s"]).arg(file);
        command.envs(variables.iter().copied());
        Process::spawn(command)
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
