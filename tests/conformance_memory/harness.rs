use std::time::Duration;

use async_trait::async_trait;
use eventlane::{
    Capability, Event, Result, Source,
    conformance::{Harness, Message, Order},
    event::Data,
    memory::{MemoryLog, MemoryQueue, Record},
};

fn record(message: &Message) -> Result<Record> {
    let event = Event::builder()
        .id("1")
        .source("/conformance")
        .ty("test")
        .data(Data::bytes(message.body.clone()))
        .build()?;
    Ok(Record::new(event).with_key(message.key.clone()))
}

pub(crate) struct Logs;

#[async_trait]
impl Harness for Logs {
    type Topic = MemoryLog;

    fn capability(&self) -> Capability {
        Capability::log()
    }

    fn hands_over(&self) -> bool {
        true
    }

    async fn create(&self) -> Result<MemoryLog> {
        Ok(MemoryLog::new(2))
    }

    async fn produce(&self, log: &MemoryLog, messages: &[Message]) -> Result<()> {
        for message in messages {
            log.append_all(message.partition, [record(message)?]);
        }
        Ok(())
    }

    async fn open(&self, log: &MemoryLog) -> Result<Box<dyn Source>> {
        Ok(Box::new(log.source("group")))
    }

    async fn rebalance(&self, log: &MemoryLog) -> Result<()> {
        log.rebalance("group", Duration::from_secs(5));
        Ok(())
    }
}

pub(crate) struct Queues(pub(crate) fn() -> MemoryQueue);

#[async_trait]
impl Harness for Queues {
    type Topic = MemoryQueue;

    fn capability(&self) -> Capability {
        self.0().source().capability()
    }

    fn order(&self) -> Order {
        Order::Key
    }

    async fn create(&self) -> Result<MemoryQueue> {
        Ok(self.0())
    }

    async fn produce(&self, queue: &MemoryQueue, messages: &[Message]) -> Result<()> {
        queue.send_all(messages.iter().map(record).collect::<Result<Vec<_>>>()?);
        Ok(())
    }

    async fn open(&self, queue: &MemoryQueue) -> Result<Box<dyn Source>> {
        Ok(Box::new(queue.source()))
    }
}
