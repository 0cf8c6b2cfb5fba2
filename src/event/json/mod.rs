//! The JSON event format (`formats/json-format.md`): one event, or a batch.
//!
//! **Data is kept byte for byte** wherever the format allows it: JSON data is copied into the
//! document and taken out of it unparsed, so the spelling of numbers, the order of keys and the
//! whitespace inside survive.
//!
//! ```
//! use eventlane::event::json;
//!
//! let received = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"b":1.10,"a":1}}"#;
//! let event = json::read(&received.as_slice().into())?;
//! assert_eq!(event.data().unwrap().as_bytes(), r#"{"b":1.10,"a":1}"#);
//!
//! let mut out = Vec::new();
//! json::write(&event, &mut out);
//! assert_eq!(out, received);
//! # Ok::<(), eventlane::event::InvalidEvent>(())
//! ```

mod read;
mod write;

pub use read::{read, read_batch};
pub use write::{write, write_batch, write_line};

/// The media type of one event.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";
/// The media type of a batch.
pub const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json";
