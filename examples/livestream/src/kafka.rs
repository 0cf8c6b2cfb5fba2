//! Where the topics are: in this process, or in a Kafka of yours.

use std::time::Duration;

use eventlane_example_room::latency::now;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::RDKafkaErrorCode,
};

use crate::Failure;

pub(crate) const PARTITIONS: i32 = 4;
const TIMEOUT: Duration = Duration::from_secs(15);

/// The brokers, and the topics of this run.
pub(crate) struct Kafka {
    pub(crate) brokers: String,
    /// What the viewers do.
    pub(crate) interactions: String,
    /// What the scorer says of it.
    pub(crate) scores: String,
    /// The consumer groups of those who carry the one and the other.
    pub(crate) groups: [String; 2],
    place: Place,
}

enum Place {
    /// Keeps it running.
    Embedded {
        _cluster: MockCluster<'static, DefaultProducerContext>,
    },
    Elsewhere(AdminClient<DefaultClientContext>),
}

impl Kafka {
    /// A broker in this process.
    pub(crate) fn embedded() -> Result<Self, Failure> {
        let cluster =
            MockCluster::new(1).map_err(|error| format!("start the embedded Kafka: {error}"))?;
        let (interactions, scores) = ("interactions", "scores");
        for topic in [interactions, scores] {
            cluster.create_topic(topic, PARTITIONS, 1)?;
        }
        Ok(Self {
            brokers: cluster.bootstrap_servers(),
            interactions: interactions.to_owned(),
            scores: scores.to_owned(),
            groups: ["scoring", "page"].map(str::to_owned),
            place: Place::Embedded { _cluster: cluster },
        })
    }

    /// Brokers that are there. The topics are created, and deleted in the end.
    pub(crate) async fn at(brokers: &str) -> Result<Self, Failure> {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .create()?;
        let run = now();
        let [interactions, scores] =
            ["interactions", "scores"].map(|what| format!("livestream-{run}-{what}"));
        let new = [&interactions, &scores]
            .map(|topic| NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(-1)));
        let created = admin.create_topics(&new, &options()).await;
        let created = created.map_err(|error| format!("create topics at {brokers}: {error}"))?;
        for topic in created {
            if let Err((topic, code)) = topic {
                return Err(format!("create the topic {topic}: {code}").into());
            }
        }
        Ok(Self {
            brokers: brokers.to_owned(),
            interactions,
            scores,
            groups: ["scoring", "page"].map(|whose| format!("livestream-{run}-{whose}")),
            place: Place::Elsewhere(admin),
        })
    }

    /// Whether it keeps only a few megabytes.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self.place, Place::Embedded { .. })
    }

    /// Leaves nothing behind.
    pub(crate) async fn leave(self) -> Result<(), Failure> {
        let Place::Elsewhere(admin) = self.place else {
            return Ok(());
        };
        let deleted = admin
            .delete_topics(&[&self.interactions, &self.scores], &options())
            .await?;
        // Kafka forgets groups by itself, in a week.
        let groups = self.groups.each_ref().map(String::as_str);
        if let Err(error) = admin.delete_groups(&groups, &options()).await {
            tracing::debug!(%error, "the consumer groups are left");
        }
        match deleted.into_iter().find_map(Result::err) {
            None | Some((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => Ok(()),
            Some((topic, code)) => Err(format!("delete the topic {topic}: {code}").into()),
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(TIMEOUT))
        .operation_timeout(Some(TIMEOUT))
}
