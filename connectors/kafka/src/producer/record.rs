//! How an event becomes a record (Kafka binding 1.0.2).
//!
//! The key is the attribute `partitionkey`, as the binding proposes it; an event without has none,
//! and goes to any partition. `partitionkey` stays in the event.

use bytes::Bytes;
use eventlane::{
    Event,
    event::{Value, headers, json},
};
use rdkafka::message::{Header, OwnedHeaders};

use crate::config::ContentMode;

/// A record that is not on its way yet.
pub(crate) struct Outgoing {
    pub(crate) key: Option<String>,
    pub(crate) headers: OwnedHeaders,
    /// `None` is what an event without data is in binary mode, and deletes on a compacted topic.
    pub(crate) payload: Option<Bytes>,
}

impl Outgoing {
    pub(crate) fn new(event: &Event, mode: ContentMode) -> Self {
        let key = event.extension("partitionkey").map(Value::to_string);
        match mode {
            ContentMode::Binary => {
                let (written, payload) = headers::write(event);
                let mut headers = OwnedHeaders::new_with_capacity(written.len());
                for (name, value) in &written {
                    let (key, value) = (name, Some(value));
                    headers = headers.insert(Header { key, value });
                }
                Self {
                    key,
                    headers,
                    payload,
                }
            }
            ContentMode::Structured => {
                let mut payload = Vec::new();
                json::write(event, &mut payload);
                let headers = OwnedHeaders::new_with_capacity(1).insert(Header {
                    key: "content-type",
                    value: Some(json::MEDIA_TYPE),
                });
                Self {
                    key,
                    headers,
                    payload: Some(payload.into()),
                }
            }
        }
    }
}
