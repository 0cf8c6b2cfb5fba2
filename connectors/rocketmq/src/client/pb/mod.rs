//! The messages of `apache.rocketmq.v2`, as far as a source needs them, written by hand: building
//! needs no `protoc`.
//!
//! Names and numbers are those of the `.proto` files. Enums are plain numbers, so that nothing a
//! newer server sends can fail to decode.

use std::collections::HashMap;

use bytes::Bytes;
use prost_types::{Duration, Timestamp};

pub(crate) mod calls;

pub(crate) use calls::{
    AckMessageEntry, AckMessageRequest, AckMessageResponse, ChangeInvisibleRequest,
    ChangeInvisibleResponse, Content, ForwardToDeadLetterRequest, HeartbeatRequest,
    NotifyClientTerminationRequest, QueryRouteRequest, QueryRouteResponse, ReceiveMessageRequest,
    ReceiveMessageResponse, SendMessageRequest, SendMessageResponse, SendResultEntry,
    StatusResponse,
};

/// What became of a call, or of an entry of one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Status {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

/// A topic or a group.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub(crate) struct Resource {
    #[prost(string, tag = "1")]
    pub(crate) resource_namespace: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
}

/// Type 1 is a list of tags, 2 is SQL92.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FilterExpression {
    #[prost(int32, tag = "1")]
    pub(crate) r#type: i32,
    #[prost(string, tag = "2")]
    pub(crate) expression: String,
}

/// A host and its port.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Address {
    #[prost(string, tag = "1")]
    pub(crate) host: String,
    #[prost(int32, tag = "2")]
    pub(crate) port: i32,
}

/// Scheme 1 is IPv4, 2 is IPv6, 3 is names.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Endpoints {
    #[prost(int32, tag = "1")]
    pub(crate) scheme: i32,
    #[prost(message, repeated, tag = "2")]
    pub(crate) addresses: Vec<Address>,
}

/// Id 0 is the master.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Broker {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "2")]
    pub(crate) id: i32,
    #[prost(message, optional, tag = "3")]
    pub(crate) endpoints: Option<Endpoints>,
}

/// Permission 2 is to read, 3 to write, 4 both.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MessageQueue {
    #[prost(message, optional, tag = "1")]
    pub(crate) topic: Option<Resource>,
    #[prost(int32, tag = "2")]
    pub(crate) id: i32,
    #[prost(int32, tag = "3")]
    pub(crate) permission: i32,
    #[prost(message, optional, tag = "4")]
    pub(crate) broker: Option<Broker>,
    #[prost(int32, repeated, tag = "5")]
    pub(crate) accept_message_types: Vec<i32>,
}

/// What a message says besides its body and the properties of its producer.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SystemProperties {
    #[prost(string, optional, tag = "1")]
    pub(crate) tag: Option<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) keys: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) message_id: String,
    /// 1 is none, 2 is gzip, or what else it may be compressed with.
    #[prost(int32, tag = "5")]
    pub(crate) body_encoding: i32,
    /// 1 is normal, 2 FIFO, 3 delayed, 4 transactional.
    #[prost(int32, tag = "6")]
    pub(crate) message_type: i32,
    #[prost(message, optional, tag = "7")]
    pub(crate) born_timestamp: Option<Timestamp>,
    #[prost(string, tag = "8")]
    pub(crate) born_host: String,
    #[prost(message, optional, tag = "11")]
    pub(crate) delivery_timestamp: Option<Timestamp>,
    #[prost(string, optional, tag = "12")]
    pub(crate) receipt_handle: Option<String>,
    /// Absent if it is 0.
    #[prost(int32, optional, tag = "13")]
    pub(crate) queue_id: Option<i32>,
    #[prost(int64, optional, tag = "14")]
    pub(crate) queue_offset: Option<i64>,
    #[prost(int32, optional, tag = "16")]
    pub(crate) delivery_attempt: Option<i32>,
    #[prost(string, optional, tag = "17")]
    pub(crate) message_group: Option<String>,
    #[prost(string, optional, tag = "18")]
    pub(crate) trace_context: Option<String>,
}

/// A message, on its way in either direction.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    #[prost(message, optional, tag = "1")]
    pub(crate) topic: Option<Resource>,
    #[prost(map = "string, string", tag = "2")]
    pub(crate) user_properties: HashMap<String, String>,
    #[prost(message, optional, tag = "3")]
    pub(crate) system_properties: Option<SystemProperties>,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) body: Bytes,
}

/// Each time is so many times as long as the one before.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExponentialBackoff {
    #[prost(message, optional, tag = "1")]
    pub(crate) initial: Option<Duration>,
    #[prost(message, optional, tag = "2")]
    pub(crate) max: Option<Duration>,
    #[prost(float, tag = "3")]
    pub(crate) multiplier: f32,
}

/// A list of times; the last one is for all attempts that follow.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CustomizedBackoff {
    #[prost(message, repeated, tag = "1")]
    pub(crate) next: Vec<Duration>,
}

/// How often, and after what time, a message is handed out again.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RetryPolicy {
    #[prost(int32, tag = "1")]
    pub(crate) max_attempts: i32,
    #[prost(oneof = "Strategy", tags = "2, 3")]
    pub(crate) strategy: Option<Strategy>,
}

/// The times between attempts.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Strategy {
    #[prost(message, tag = "2")]
    Exponential(ExponentialBackoff),
    #[prost(message, tag = "3")]
    Customized(CustomizedBackoff),
}

/// A topic, and what of it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SubscriptionEntry {
    #[prost(message, optional, tag = "1")]
    pub(crate) topic: Option<Resource>,
    #[prost(message, optional, tag = "2")]
    pub(crate) expression: Option<FilterExpression>,
}

/// What a consumer wants; in the server's answer, how it gets it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Subscription {
    #[prost(message, optional, tag = "1")]
    pub(crate) group: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) subscriptions: Vec<SubscriptionEntry>,
    #[prost(bool, optional, tag = "3")]
    pub(crate) fifo: Option<bool>,
    #[prost(int32, optional, tag = "4")]
    pub(crate) receive_batch_size: Option<i32>,
    #[prost(message, optional, tag = "5")]
    pub(crate) long_polling_timeout: Option<Duration>,
}

/// What a producer wants.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Publishing {
    #[prost(message, repeated, tag = "1")]
    pub(crate) topics: Vec<Resource>,
    #[prost(int32, tag = "2")]
    pub(crate) max_body_size: i32,
    #[prost(bool, tag = "3")]
    pub(crate) validate_message_type: bool,
}

/// What a server shows to its operators.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UserAgent {
    #[prost(int32, tag = "1")]
    pub(crate) language: i32,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(string, tag = "3")]
    pub(crate) platform: String,
    #[prost(string, tag = "4")]
    pub(crate) hostname: String,
}

/// What client and server tell each other first.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Settings {
    #[prost(int32, optional, tag = "1")]
    pub(crate) client_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(crate) access_point: Option<Endpoints>,
    #[prost(message, optional, tag = "3")]
    pub(crate) backoff_policy: Option<RetryPolicy>,
    #[prost(message, optional, tag = "4")]
    pub(crate) request_timeout: Option<Duration>,
    #[prost(oneof = "PubSub", tags = "5, 6")]
    pub(crate) pub_sub: Option<PubSub>,
    #[prost(message, optional, tag = "7")]
    pub(crate) user_agent: Option<UserAgent>,
}

/// What a client is there for.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum PubSub {
    #[prost(message, tag = "5")]
    Publishing(Publishing),
    #[prost(message, tag = "6")]
    Subscription(Subscription),
}

/// The server asks for a new session; it is going to end this one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReconnectEndpoints {
    #[prost(string, tag = "1")]
    pub(crate) nonce: String,
}

/// What goes over the stream that makes a session.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TelemetryCommand {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    pub(crate) settings: Option<Settings>,
    #[prost(message, optional, tag = "8")]
    pub(crate) reconnect: Option<ReconnectEndpoints>,
}
