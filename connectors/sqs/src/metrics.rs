//! The names of what the connector measures itself, for the [`metrics`](https://docs.rs/metrics)
//! facade. Each carries the label `queue`. What happens with every leased queue is measured by
//! eventlane's poller.

/// Counter: messages that claim to be CloudEvents and are not.
pub const INVALID: &str = "eventlane_sqs_invalid_total";
/// Counter: messages from which nothing can be made, as they have no id or no handle. They come
/// again when their lease ends.
pub const UNUSABLE: &str = "eventlane_sqs_unusable_total";
