//! The names of what a pipeline measures, for the [`metrics`](https://docs.rs/metrics) facade.
//!
//! Every metric carries the label `pipeline` ([`Pipeline::with_name`](crate::Pipeline::with_name)).
//! Without a recorder installed they cost next to nothing. Queues have the label `queue` instead,
//! replies the label `destination`: the endpoint that was asked, without the query. Connectors add
//! their own, named after them.

/// Counter: events received from the source.
pub const RECEIVED: &str = "eventlane_received_total";
/// Counter: events received that the broker had handed out before.
pub const REDELIVERED: &str = "eventlane_redelivered_total";
/// Counter: events that the sink took.
pub const DELIVERED: &str = "eventlane_delivered_total";
/// Counter, label `reason`: failed attempts, by event; the last one, after which it is given up,
/// too.
pub const RETRIED: &str = "eventlane_retried_total";
/// Counter, label `reason`: attempts that the destination refused whatever the event was (401, 403,
/// 407); they cost the event none of its attempts.
pub const REFUSED: &str = "eventlane_refused_total";
/// Counter, label `reason`: events that were durably dead-lettered.
pub const DEAD_LETTERED: &str = "eventlane_dead_lettered_total";
/// Counter, label `reason`: events that were dropped, as configured.
pub const DROPPED: &str = "eventlane_dropped_total";
/// Counter: events given back to the broker.
pub const RELEASED: &str = "eventlane_released_total";
/// Counter, label `kind`: calls of the dead-letter sink that kept less than all, by the kind of one
/// of the errors. The watermark holds meanwhile.
pub const DEAD_LETTER_FAILED: &str = "eventlane_dead_letter_failed_total";
/// Counter, label `kind`: settlements that failed, by error kind.
pub const SETTLE_FAILED: &str = "eventlane_settle_failed_total";
/// Counter, label `kind`: errors of the source.
pub const SOURCE_ERRORS: &str = "eventlane_source_errors_total";
/// Counter: requests made (attempts, dead letters not included).
pub const REQUESTS: &str = "eventlane_requests_total";
/// Gauge: requests in flight.
pub const IN_FLIGHT: &str = "eventlane_in_flight";
/// Gauge: events in hand.
pub const BUFFERED_EVENTS: &str = "eventlane_buffered_events";
/// Gauge: their bytes.
pub const BUFFERED_BYTES: &str = "eventlane_buffered_bytes";
/// Gauge: lanes that wait for a retry.
pub const HELD_LANES: &str = "eventlane_held_lanes";
/// Gauge: 1 while the destination refuses everything (401, 403, 407).
pub const DESTINATION_HELD: &str = "eventlane_destination_held";
/// Gauge, seconds: how long the oldest event in hand has been there.
pub const OLDEST_UNSETTLED: &str = "eventlane_oldest_unsettled_seconds";
/// Histogram, seconds: one attempt, from sending to its verdict.
pub const SEND_SECONDS: &str = "eventlane_send_seconds";
/// Histogram: events in a batch.
pub const BATCH_EVENTS: &str = "eventlane_batch_events";
/// Histogram, seconds: one settle call.
pub const SETTLE_SECONDS: &str = "eventlane_settle_seconds";

/// Counter, label `destination`: replies of an endpoint that the sink of replies has taken.
pub const REPLIES: &str = "eventlane_replies_total";
/// Counter, labels `destination` and `reason`: attempts to hand replies over that failed.
pub const REPLY_FAILED: &str = "eventlane_reply_failed_total";
/// Counter, labels `destination` and `reason`: answers with a body that can't be read as a reply,
/// whatever became of their events.
pub const REPLY_UNDECODABLE: &str = "eventlane_reply_undecodable_total";

/// Counter, label `queue`: receives that a queue answered.
pub const QUEUE_RECEIVES: &str = "eventlane_queue_receives_total";
/// Counter, label `queue`: those that brought nothing.
pub const QUEUE_EMPTY: &str = "eventlane_queue_empty_receives_total";
/// Counter, label `queue`: those that brought nothing long before their wait was over.
pub const QUEUE_HASTY: &str = "eventlane_queue_hasty_receives_total";
/// Counter, labels `queue` and `kind`: receives that failed, by error kind.
pub const QUEUE_ERRORS: &str = "eventlane_queue_errors_total";
/// Counter, label `queue`: leases that were extended.
pub const QUEUE_EXTENDED: &str = "eventlane_queue_extended_total";
/// Counter, label `queue`: leases that ended before their message was done.
pub const QUEUE_EXPIRED: &str = "eventlane_queue_expired_total";
/// Counter, label `queue`: deletes that failed, by message.
pub const QUEUE_DELETE_FAILED: &str = "eventlane_queue_delete_failed_total";
/// Gauge, label `queue`: 0 while receives fail.
pub const QUEUE_HEALTHY: &str = "eventlane_queue_healthy";
/// Gauge, label `queue`: about how many messages wait, if the broker says.
pub const QUEUE_DEPTH: &str = "eventlane_queue_depth";
/// Gauge, label `queue`: messages on lease here.
pub const QUEUE_HELD: &str = "eventlane_queue_held";
/// Gauge, label `queue`, seconds: the age of the oldest event of the last receive by its `time`:
/// since it was sent, or, of a CloudEvent, since what its producer says. 0 when nothing came.
pub const QUEUE_MESSAGE_AGE: &str = "eventlane_queue_message_age_seconds";
