//! The names of what the consumer measures, for the [`metrics`](https://docs.rs/metrics) facade.
//!
//! Every metric carries the label `group`; those of partitions `topic` and `partition`, too.

/// Gauge, by partition: how many offsets lie between the committed one and the end of what can be
/// read.
pub const LAG: &str = "eventlane_kafka_lag";
/// Gauge: partitions assigned.
pub const ASSIGNED: &str = "eventlane_kafka_assigned_partitions";
/// Counter, label `kind` (`assigned`, `revoked`, `lost`): changes of the assignment.
pub const REBALANCES: &str = "eventlane_kafka_rebalances_total";
/// Counter: partitions that were given up at their deadline, with work still under way.
pub const DRAINS_CUT: &str = "eventlane_kafka_drains_cut_total";
/// Counter: commits that the broker confirmed, by request.
pub const COMMITS: &str = "eventlane_kafka_commits_total";
/// Counter, label `kind`: positions that could not be committed, by error kind.
pub const COMMIT_FAILED: &str = "eventlane_kafka_commit_failed_total";
/// Counter: offsets that will never be delivered: transaction markers, aborted and compacted
/// records.
pub const SKIPPED: &str = "eventlane_kafka_skipped_offsets_total";
/// Counter: offsets that the broker deleted before they were read. Each may have been a record.
pub const EXPIRED: &str = "eventlane_kafka_expired_offsets_total";
/// Counter: records not delivered again because an earlier run had finished them.
pub const REMEMBERED: &str = "eventlane_kafka_remembered_total";
/// Counter: records that claim to be CloudEvents and are not.
pub const INVALID: &str = "eventlane_kafka_invalid_total";
/// Counter, label `kind`: errors of the connection and of partitions, by error kind.
pub const ERRORS: &str = "eventlane_kafka_errors_total";
