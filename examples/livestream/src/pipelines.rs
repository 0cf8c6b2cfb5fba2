//! The two pipelines: this is all that a program of your own needs, but for the lines about retries
//! and budgets perhaps.

use std::time::Duration;

use eventlane::{
    Budgets, Ordering, Pipeline, Result, Retry,
    sink::http::{HttpSink, HttpSinkConfig},
};
use eventlane_kafka::{EventConfig, KafkaConfig, KafkaMonitor, KafkaSink, KafkaSource};

use crate::kafka::Kafka;

/// A pipeline, and what can be seen of its partitions.
type Watched = (Pipeline, KafkaMonitor);

/// Interactions to the scoring service; the results that it answers with, to a topic of their own.
/// An interaction is done when its result is there.
pub(crate) async fn scoring(kafka: &Kafka, service: &str) -> Result<Watched> {
    let config = config(kafka, &kafka.groups[0], &kafka.interactions);
    let results = KafkaSink::connect(config.sink(&kafka.scores)).await?;
    let source = KafkaSource::connect(config).await?;
    let sink = HttpSink::new(HttpSinkConfig::new(service))?.with_replies_to(results);
    let monitor = source.monitor();
    Ok((pipeline(source, sink).with_name("scoring"), monitor))
}

/// Results to the page.
pub(crate) async fn results(kafka: &Kafka, page: &str) -> Result<Watched> {
    let config = config(kafka, &kafka.groups[1], &kafka.scores);
    let source = KafkaSource::connect(config).await?;
    let sink = HttpSink::new(HttpSinkConfig::new(page))?;
    let monitor = source.monitor();
    Ok((pipeline(source, sink).with_name("results"), monitor))
}

fn config(kafka: &Kafka, group: &str, topic: &str) -> KafkaConfig {
    let event = EventConfig::new().with_type("com.example.livestream.interaction");
    let config = KafkaConfig::new(&kafka.brokers, group, [topic]).with_event(event);
    if kafka.is_embedded() {
        // When there is nothing, the embedded Kafka makes a consumer wait all that time; a real one
        // answers when there is.
        return config.with_property("fetch.wait.max.ms", "10");
    }
    config
}

fn pipeline(source: KafkaSource, sink: HttpSink) -> Pipeline {
    // Events that fail are tried without an end, and soon: somebody is watching.
    let retry = Retry::default()
        .with_delays(Duration::from_millis(50), Duration::from_secs(1))
        .without_limit();
    // The events of a viewer who fails for minutes have room.
    let budgets = Budgets::default().with_events(100_000);
    Pipeline::new(source, sink)
        .with_ordering(Ordering::Key)
        .with_budgets(budgets)
        .with_retry(retry)
}
