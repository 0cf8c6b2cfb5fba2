//! Requests and answers.

use prost_types::{Duration, Timestamp};

use super::{Endpoints, FilterExpression, Message, MessageQueue, Resource, Status};

/// Where is a topic? The endpoints are those that were dialled: the answer names others of their
/// kind.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueryRouteRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) topic: Option<Resource>,
    #[prost(message, optional, tag = "2")]
    pub(crate) endpoints: Option<Endpoints>,
}

/// The queues of a topic, each with its broker.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueryRouteResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) message_queues: Vec<MessageQueue>,
}

/// All of one topic, and of one queue if they have groups.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SendMessageRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) messages: Vec<Message>,
}

/// What became of a message.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SendResultEntry {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(string, tag = "2")]
    pub(crate) message_id: String,
    #[prost(int64, tag = "4")]
    pub(crate) offset: i64,
}

/// Has an entry for each message, unless all were refused.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SendMessageResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) entries: Vec<SendResultEntry>,
}

/// A long poll for messages of any queue of the broker of the one that is named.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReceiveMessageRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) group: Option<Resource>,
    #[prost(message, optional, tag = "2")]
    pub(crate) message_queue: Option<MessageQueue>,
    #[prost(message, optional, tag = "3")]
    pub(crate) filter_expression: Option<FilterExpression>,
    #[prost(int32, tag = "4")]
    pub(crate) batch_size: i32,
    #[prost(message, optional, tag = "5")]
    pub(crate) invisible_duration: Option<Duration>,
    #[prost(bool, tag = "6")]
    pub(crate) auto_renew: bool,
    #[prost(message, optional, tag = "7")]
    pub(crate) long_polling_timeout: Option<Duration>,
    #[prost(string, optional, tag = "8")]
    pub(crate) attempt_id: Option<String>,
}

/// One of the parts of which an answer consists.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReceiveMessageResponse {
    #[prost(oneof = "Content", tags = "1, 2, 3")]
    pub(crate) content: Option<Content>,
}

/// Part of an answer: the status comes first, then the messages.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Content {
    #[prost(message, tag = "1")]
    Status(Status),
    #[prost(message, boxed, tag = "2")]
    Message(Box<Message>),
    #[prost(message, tag = "3")]
    DeliveryTimestamp(Timestamp),
}

/// A message, by its newest handle.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AckMessageEntry {
    #[prost(string, tag = "1")]
    pub(crate) message_id: String,
    #[prost(string, tag = "2")]
    pub(crate) receipt_handle: String,
}

/// All of one topic.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AckMessageRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) group: Option<Resource>,
    #[prost(message, optional, tag = "2")]
    pub(crate) topic: Option<Resource>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) entries: Vec<AckMessageEntry>,
}

/// What became of an acknowledgement.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AckMessageResultEntry {
    #[prost(string, tag = "1")]
    pub(crate) message_id: String,
    #[prost(string, tag = "2")]
    pub(crate) receipt_handle: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) status: Option<Status>,
}

/// Has an entry for each of the request, unless it was refused as a whole.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AckMessageResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) entries: Vec<AckMessageResultEntry>,
}

/// Makes a message a dead letter.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ForwardToDeadLetterRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) group: Option<Resource>,
    #[prost(message, optional, tag = "2")]
    pub(crate) topic: Option<Resource>,
    #[prost(string, tag = "3")]
    pub(crate) receipt_handle: String,
    #[prost(string, tag = "4")]
    pub(crate) message_id: String,
    #[prost(int32, tag = "5")]
    pub(crate) delivery_attempt: i32,
    #[prost(int32, tag = "6")]
    pub(crate) max_delivery_attempts: i32,
}

/// The answer of calls that have no more to say.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
}

/// Says that the client is still there.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HeartbeatRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) group: Option<Resource>,
    #[prost(int32, tag = "2")]
    pub(crate) client_type: i32,
}

/// Says that it leaves.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NotifyClientTerminationRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) group: Option<Resource>,
}

/// Lets a lease end so long from now.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ChangeInvisibleRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) group: Option<Resource>,
    #[prost(message, optional, tag = "2")]
    pub(crate) topic: Option<Resource>,
    #[prost(string, tag = "3")]
    pub(crate) receipt_handle: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) invisible_duration: Option<Duration>,
    #[prost(string, tag = "5")]
    pub(crate) message_id: String,
    /// Servers from 5.4: with `true` the delivery that follows does not count as another attempt.
    #[prost(bool, optional, tag = "7")]
    pub(crate) suspend: Option<bool>,
}

/// Has the handle that is valid from now on.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ChangeInvisibleResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(string, tag = "2")]
    pub(crate) receipt_handle: String,
}
