//! The producer.
//!
//! A message with a group goes to one and the same broker every time; there, the server chooses the
//! queue by the group itself, whatever the request says. Others go to all queues in turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use eventlane::{ErrorKind, Result};

use super::{OutgoingMessage, core::Core, pb, transport::Method};
use crate::{
    config::RocketMqConfig,
    error::{self, Failure},
};

const PRODUCER: i32 = 1;
const SEND: Method = Method::SEND;

/// Sends messages: for tests, dead letters and answers.
#[derive(Debug)]
pub struct Producer {
    core: Arc<Core>,
    /// In the ids of its messages.
    host: u64,
    sent: AtomicU32,
}

/// A message that a server has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The message's id.
    pub message_id: String,
    /// Its offset in its queue.
    pub offset: i64,
}

impl Producer {
    /// Connects to send to these topics. Of the configuration, group, topics and what belongs to
    /// receiving is not used.
    ///
    /// # Errors
    /// As [`Consumer::connect`](super::Consumer::connect).
    pub async fn connect(config: &RocketMqConfig, topics: &[&str]) -> Result<Self> {
        let resource = |name: &&str| pb::Resource {
            resource_namespace: config.namespace.clone(),
            name: (*name).to_owned(),
        };
        let publishing = pb::PubSub::Publishing(pb::Publishing {
            topics: topics.iter().map(resource).collect(),
            max_body_size: 0,
            validate_message_type: true,
        });
        let core = Core::start(config, PRODUCER, None, publishing).await?;
        for topic in topics {
            core.route(topic).await.map_err(|it| it.about(topic))?;
        }
        core.started();
        Ok(Self {
            core,
            host: fastrand::u64(..),
            sent: AtomicU32::new(0),
        })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Of kind [`Rejected`](ErrorKind::Rejected) if the server does not take such a message,
    /// [`Config`](ErrorKind::Config) if the topic is for messages of another type. After one of
    /// kind [`Unavailable`](ErrorKind::Unavailable) it may have been sent.
    pub async fn send(&self, topic: &str, message: &OutgoingMessage) -> Result<Sent> {
        let mut sent = self.send_all(topic, std::slice::from_ref(message)).await?;
        let none = || Failure::new(ErrorKind::Unexpected, SEND.operation, "the answer is empty");
        Ok(sent.pop().ok_or_else(none)?)
    }

    /// Sends messages together, to one queue; or, if one of them has a group, one after the other.
    ///
    /// # Errors
    /// As [`send`](Self::send), for the first that failed; others may have been sent, but none that
    /// comes after it if they are sent one after the other.
    pub async fn send_all(&self, topic: &str, messages: &[OutgoingMessage]) -> Result<Vec<Sent>> {
        // Of a request with more than one message, the server ignores the groups, and so would
        // spread a group over the queues.
        let alone = messages.iter().any(|message| message.group().is_some());
        let size = if alone { 1 } else { messages.len().max(1) };
        let mut sent = Vec::with_capacity(messages.len());
        for messages in messages.chunks(size) {
            let part = self.try_send(topic, messages).await;
            sent.extend(part.map_err(|failure| self.core.context.judge(failure).about(topic))?);
        }
        Ok(sent)
    }

    async fn try_send(
        &self,
        topic: &str,
        messages: &[OutgoingMessage],
    ) -> Result<Vec<Sent>, Failure> {
        let route = self.core.route(topic).await?;
        let brokers = route.brokers.iter();
        let queues = brokers.flat_map(|broker| broker.writable.iter().map(move |it| (broker, it)));
        let queues: Vec<_> = queues.collect();
        let group = messages.first().and_then(OutgoingMessage::group);
        let turn = group.map_or_else(|| self.core.next(), place);
        let Some((broker, queue)) = queues.get(turn.checked_rem(queues.len()).unwrap_or(0)) else {
            let reason = "the topic has no queue that can be written to";
            return Err(Failure::new(ErrorKind::Unavailable, SEND.operation, reason));
        };
        let none = || Failure::new(ErrorKind::Unavailable, SEND.operation, "no server is known");
        let address = self.core.pick(&broker.addresses).ok_or_else(none)?;
        let session = self.core.session(address);
        let number = session.ready().await?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let message =
            |it: &OutgoingMessage| it.write(self.core.resource(topic), queue.id, self.id(now), now);
        let messages: Vec<_> = messages.iter().map(message).collect();
        let id = |it: &pb::Message| {
            it.system_properties
                .as_ref()
                .map(|it| it.message_id.clone())
        };
        let ids: Vec<_> = messages.iter().filter_map(id).collect();
        let question = pb::SendMessageRequest { messages };
        let transport = &self.core.context.transport;
        let answer: pb::SendMessageResponse = transport.call(SEND, address, question).await?;
        let mut statuses = answer.entries.iter().map(|entry| entry.status.as_ref());
        let failed = match answer.entries.is_empty() {
            true => error::check(SEND.operation, answer.status.as_ref()),
            false => statuses.try_for_each(|it| error::check(SEND.operation, it)),
        };
        if let Err(failure) = failed {
            if failure.needs_settings() {
                session.reopen(number);
            }
            return Err(failure.at(address));
        }
        match &answer.entries[..] {
            // One for all of a batch: the offset of its first, and an id that is none of theirs.
            [batch] if ids.len() > 1 => Ok(ids
                .into_iter()
                .zip(batch.offset..)
                .map(|(message_id, offset)| Sent { message_id, offset })
                .collect()),
            _ => {
                let sent = |entry: pb::SendResultEntry| Sent {
                    message_id: entry.message_id,
                    offset: entry.offset,
                };
                Ok(answer.entries.into_iter().map(sent).collect())
            }
        }
    }

    /// An id of the form that servers know: version, host, process, seconds, counter.
    fn id(&self, now: Duration) -> String {
        const EPOCH: u64 = 1_609_459_200; // 2021
        format!(
            "01{:012X}{:04X}{:08X}{:08X}",
            self.host & 0xffff_ffff_ffff,
            std::process::id() & 0xffff,
            now.as_secs().saturating_sub(EPOCH) & 0xffff_ffff,
            self.sent.fetch_add(1, Ordering::Relaxed),
        )
    }

    /// Says goodbye to the servers.
    pub async fn close(&self) {
        self.core.close().await;
    }
}

/// A number that is the same for messages of one group, whichever process sends them (FNV-1a).
fn place(group: &str) -> usize {
    let step = |hash: u32, b: u8| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193);
    let hash = group.bytes().fold(0x811c_9dc5, step);
    usize::try_from(hash).unwrap_or(0)
}
