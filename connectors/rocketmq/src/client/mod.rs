//! A client of RocketMQ 5's gRPC protocol: what a source needs, and a producer.
//!
//! [`Consumer`] leases messages: it [receives](Consumer::receive) them with a long poll,
//! [acknowledges](Consumer::ack) them, [changes their leases](Consumer::change_invisible), or makes
//! [dead letters](Consumer::dead_letter) of them. [`Producer`] sends. Both find the brokers of a
//! topic, keep a session with each of the servers that they talk to, and begin a new one when it is
//! lost; calls that fail are not repeated, since only the caller knows whether that does harm.
//!
//! What servers do not tell, and every user of a lease has to know (measured with 5.5):
//!
//! * A receipt handle that is no longer valid, because the lease was changed or the message was
//!   acknowledged, is taken without an error and without effect, or worse: a change then revives
//!   the message. Only when its own time is over is it refused. So never let two calls for one
//!   message overlap, and always use the newest handle.
//! * A dead letter is made without looking at the handle: of a message whose lease is over, it
//!   makes a copy.
//! * The handle that [`change_invisible`](Consumer::change_invisible) gets from a proxy in local
//!   mode (`mqbroker --enable-proxy`) is wrong: the acknowledgement finds nothing, and the dead
//!   letter is another message. It is put right here, unless [`RocketMqConfig::mend_handles`] is
//!   off.
//! * Of a FIFO group, a queue gives nothing while one of its messages is on lease, and
//!   acknowledgements out of order count only when the gap is closed. Unless the broker has crashed
//!   before it had written, every 10 s, that the queue has messages on lease: then an acknowledgement
//!   counts for all messages before it.
//! * Whether a group is a FIFO one, a proxy asks its broker. While it can't, it believes the client,
//!   which tells every server what it has said: [`ServerSettings::fifo`].
//!
//! [`RocketMqConfig::mend_handles`]: crate::RocketMqConfig::mend_handles
//!
//! ```no_run
//! # async fn example() -> eventlane::Result<()> {
//! use std::time::Duration;
//! use eventlane_rocketmq::{RocketMqConfig, client::Consumer};
//!
//! let config = RocketMqConfig::new("localhost:8081", "billing").with_topic("orders");
//! let consumer = Consumer::connect(&config).await?;
//! let messages = consumer.receive(16, Duration::from_secs(20)).await?;
//! let handles: Vec<_> = messages.iter().map(|message| message.handle.clone()).collect();
//! for outcome in consumer.ack(&handles).await? {
//!     outcome?;
//! }
//! consumer.close().await;
//! # Ok(())
//! # }
//! ```

mod address;
mod body;
mod consumer;
mod core;
#[cfg(test)]
mod decoding;
mod handle;
mod identity;
mod message;
mod metadata;
pub(crate) mod pb;
mod polls;
mod producer;
mod route;
mod session;
mod settings;
mod transport;

pub(crate) use address::Address;
pub use consumer::Consumer;
pub use handle::ReceiptHandle;
#[cfg(test)]
pub(crate) use message::test_message;
pub use message::{OutgoingMessage, ReceivedMessage};
pub use producer::{Producer, Sent};
pub use settings::ServerSettings;

/// Messages that one receive may ask for; servers give no more.
pub const LARGEST_BATCH: usize = 32;

/// The message, with a name if it has none: those without one are passed over.
#[cfg(fuzzing)]
pub(crate) fn fuzz_read(mut message: pb::Message) -> Option<ReceivedMessage> {
    let system = message.system_properties.get_or_insert_default();
    system
        .receipt_handle
        .get_or_insert_with(|| "receipt".to_owned());
    if system.message_id.is_empty() {
        system.message_id.push_str("id");
    }
    ReceivedMessage::read(message, &"broker".into(), &Address::parse("a:1")?)
}

fn duration(duration: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos().try_into().unwrap_or_default(),
    }
}
