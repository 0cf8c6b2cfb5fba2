//! Attributes that every event of a pipeline gets.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use eventlane::{
    Capability, Event, Result, Source,
    source::{Demand, Partition, Settle, Signal},
};
use tokio::time::Instant;
use tracing::warn;

/// Sets extension attributes of a source's events, whatever they were. Where events come from and
/// not where they go, so that dead letters have them, too.
pub(crate) struct Extended<S> {
    source: S,
    extensions: BTreeMap<String, String>,
}

impl<S> Extended<S> {
    pub(crate) fn new(source: S, extensions: BTreeMap<String, String>) -> Self {
        Self { source, extensions }
    }
}

/// Whether an event can have this attribute.
///
/// # Errors
/// Why not.
pub(crate) fn check(name: &str, value: &str) -> std::result::Result<(), String> {
    let event = Event::builder().id("0").source("/").ty("t");
    match event.extension(name, value).build() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[async_trait]
impl<S: Source> Source for Extended<S> {
    fn capability(&self) -> Capability {
        self.source.capability()
    }

    fn settler(&self) -> Arc<dyn Settle> {
        self.source.settler()
    }

    async fn poll(&mut self, demand: Demand) -> Result<Signal> {
        let mut signal = self.source.poll(demand).await?;
        if let Signal::Deliveries(deliveries) = &mut signal
            && !self.extensions.is_empty()
        {
            for delivery in deliveries {
                let set = |event: Event, (name, value): (&String, &String)| {
                    event.with_extension(name.as_str(), value.as_str())
                };
                match self.extensions.iter().try_fold(delivery.event.clone(), set) {
                    Ok(extended) => delivery.event = extended,
                    // More attributes than an event may have is all that can go wrong.
                    Err(error) => warn!(%error, id = delivery.event.id(), "attributes not set"),
                }
            }
        }
        Ok(signal)
    }

    fn pause(&mut self, partitions: &[Partition]) -> Result<()> {
        self.source.pause(partitions)
    }

    fn resume(&mut self, partitions: &[Partition]) -> Result<()> {
        self.source.resume(partitions)
    }

    fn stop(&mut self, by: Instant) {
        self.source.stop(by);
    }

    fn closes_by(&self) -> Option<Instant> {
        self.source.closes_by()
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Box::new(self.source).close().await
    }
}
