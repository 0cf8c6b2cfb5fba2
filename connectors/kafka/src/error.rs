//! What librdkafka's and the broker's errors mean to the engine, and what to do about them.
//!
//!
//! One table for all paths ([`classify`]): connecting, polling, committing. Positive codes are the
//! broker's (Kafka protocol, *Error Codes*), negative ones librdkafka's own. Only kinds that are
//! [transient](ErrorKind::is_transient) are tried again by the engine; while consuming, librdkafka
//! tries again by itself, so [`trouble`] has a narrower list of what ends the source.

use eventlane::{Error, ErrorKind};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    types::RDKafkaRespErr,
};

use crate::metrics as names;

/// Maps a code: the kind, and advice for people (empty if there is none).
///
/// What is not listed is [`ErrorKind::Unexpected`]: mostly codes that only producers and
/// administrators can meet.
pub(crate) fn classify(code: Code) -> (ErrorKind, &'static str) {
    use ErrorKind::{Config, Fenced, Rejected, Throttled, Unauthorized, Unavailable, Unsupported};
    match code {
        // Nobody there, or not yet.
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::BrokerDestroy
        | Code::DestroyBroker => (Unavailable, "is a broker running and reachable there?"),
        Code::Resolve => (Unavailable, "the broker's host name can't be resolved"),
        Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::TimedOutQueue
        | Code::MessageTimedOut => (Unavailable, "no answer in time"),
        Code::WaitingForCoordinator
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator => (Unavailable, "the group's coordinator is not ready"),
        Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::ReplicaNotAvailable
        | Code::BrokerNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::ListenerNotFound
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable => {
            (Unavailable, "the partition has no leader at present")
        }
        Code::NetworkException
        | Code::KafkaStorageError
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::UnknownTopicId
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::WaitCache
        | Code::Retry
        | Code::Interrupted
        | Code::NodeUpdate
        | Code::UnknownBroker
        | Code::FetchSessionIdNotFound
        | Code::InvalidFetchSessionEpoch
        | Code::Partial
        | Code::Outdated
        | Code::QueueFull
        | Code::UnstableOffsetCommit => (Unavailable, ""),
        // A rebalance: the next try meets the new generation, or finds the partition gone.
        Code::RebalanceInProgress
        | Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::MemberIdRequired
        | Code::StaleMemberEpoch
        | Code::PollExceeded => (Unavailable, "the group is rebalancing"),
        Code::AssignmentLost | Code::FencedMemberEpoch => {
            (Fenced, "the partitions belong to another member by now")
        }
        Code::FencedInstanceId => (
            Fenced,
            "another consumer has the same instance id; give each consumer its own",
        ),
        Code::UnreleasedInstanceId => (
            Fenced,
            "another consumer holds the same instance id; give each consumer its own",
        ),
        Code::Fenced | Code::ProducerFenced => (Fenced, ""),
        Code::ThrottlingQuotaExceeded => (Throttled, "a quota of the broker is used up"),
        // Who we are and what we may.
        Code::Authentication | Code::SaslAuthenticationFailed => (
            Unauthorized,
            "check the user, the password and the mechanism",
        ),
        Code::SSL => (
            Unauthorized,
            "check that the certificates are the right ones and have not expired, and that the port speaks TLS",
        ),
        Code::UnsupportedSASLMechanism | Code::IllegalSASLState => (
            Unauthorized,
            "the broker does not offer this SASL mechanism",
        ),
        Code::SecurityDisabled => (Unauthorized, "the broker has no authorizer"),
        Code::TopicAuthorizationFailed => (
            Unauthorized,
            "the user needs the permissions Describe and Read on the topic",
        ),
        Code::GroupAuthorizationFailed => (
            Unauthorized,
            "the user needs the permission Read on the group",
        ),
        Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed
        | Code::DelegationTokenNotFound
        | Code::DelegationTokenExpired => (Unauthorized, "the user lacks a permission"),
        // What the configuration says.
        Code::UnknownTopicOrPartition | Code::UnknownTopic => (
            Config,
            "the topic does not exist; create it, or correct its name",
        ),
        Code::UnknownPartition => (Config, "the partition does not exist"),
        Code::InvalidTopic => (Config, "this is no valid name of a topic"),
        Code::InvalidGroupId => (Config, "this is no valid name of a group"),
        Code::InvalidSessionTimeout => (
            Config,
            "the broker does not allow this session timeout (group.min/max.session.timeout.ms)",
        ),
        Code::InconsistentGroupProtocol => (
            Config,
            "the group's other members use another protocol or assignment strategy",
        ),
        Code::UnsupportedAssignor => (Config, "the broker does not have this assignor"),
        Code::GroupMaxSizeReached => (Config, "the group has as many members as the broker allows"),
        Code::GroupSubscribedToTopic | Code::Conflict => (Config, ""),
        Code::InvalidArgument | Code::InvalidConfig | Code::NotConfigured => (Config, ""),
        Code::UnknownGroup => (Config, "no group is configured"),
        Code::AutoOffsetReset => (Config, "the position to start from is not there any more"),
        // This very request, or this very record.
        Code::OffsetOutOfRange => (Rejected, "the position is not there any more"),
        Code::OffsetMetadataTooLarge | Code::InvalidCommitOffsetSize => (
            Rejected,
            "the metadata of the commit is larger than offset.metadata.max.bytes",
        ),
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => (
            Rejected,
            "raise fetch.message.max.bytes and receive.message.max.bytes",
        ),
        Code::BadMessage | Code::InvalidMessage | Code::InvalidRecord | Code::Underflow => (
            Rejected,
            "a record is damaged; nothing behind it in its partition can be read",
        ),
        Code::LogTruncation => (Rejected, "the broker has lost records"),
        Code::InvalidRequest | Code::PolicyViolation => (Rejected, ""),
        // What this build or this broker can't do.
        Code::BadCompression | Code::UnsupportedCompressionType => (
            Unsupported,
            "a record is compressed in a way that this build can't read (feature zstd?)",
        ),
        Code::UnsupportedVersion => (
            Unsupported,
            "the broker is too old for this; for the consumer protocol it must be 4.0",
        ),
        Code::UnsupportedFeature | Code::NotImplemented | Code::UnknownProtocol => {
            (Unsupported, "")
        }
        _ => (ErrorKind::Unexpected, ""),
    }
}

/// What a code means of a producer, where that is not what it means of a consumer.
pub(crate) fn classify_produce(code: Code) -> (ErrorKind, &'static str) {
    use ErrorKind::{Rejected, Unauthorized, Unavailable};
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => (
            Rejected,
            "raise message.max.bytes here, and max.message.bytes of the topic",
        ),
        Code::InvalidRecord => (
            Rejected,
            "the topic does not take such a record; a compacted one wants a key (partitionkey)",
        ),
        Code::InvalidTimestamp => (Rejected, "the record is older than the topic takes"),
        Code::TopicAuthorizationFailed => (
            Unauthorized,
            "the user needs the permissions Describe and Write on the topic",
        ),
        Code::ClusterAuthorizationFailed => (
            Unauthorized,
            "the user needs the permission IdempotentWrite on the cluster",
        ),
        Code::QueueFull => (Unavailable, "the producer's queue is full"),
        // Found when a message is encoded or decoded on the way, not in what it says.
        Code::BadMessage | Code::InvalidMessage | Code::Underflow => {
            (Unavailable, "the record was damaged on its way")
        }
        // The producer is made anew.
        Code::Fatal
        | Code::GaplessGuarantee
        | Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::UnknownProducerId
        | Code::InvalidProducerEpoch
        | Code::ProducerFenced
        | Code::PurgeQueue
        | Code::PurgeInflight => (Unavailable, "the producer begins anew"),
        _ => classify(code),
    }
}

/// An error about producing, from a code.
pub(crate) fn produce(operation: &'static str, code: Code, reason: Option<&str>) -> Error {
    error(operation, code, classify_produce(code), reason)
}

/// The code behind a number; `Unknown` if these bindings don't know it.
pub(crate) fn code(number: i32) -> Code {
    RDKafkaRespErr::try_from(number).map_or(Code::Unknown, Code::from)
}

/// The code in an error of rdkafka, if it has one.
pub(crate) fn code_of(error: &KafkaError) -> Option<Code> {
    error.rdkafka_error_code()
}

/// An error from a code. `reason` is what librdkafka says beyond the code, such as the cause of a
/// failed handshake.
pub(crate) fn from_code(operation: &'static str, code: Code, reason: Option<&str>) -> Error {
    error(operation, code, classify(code), reason)
}

fn error(
    operation: &'static str,
    code: Code,
    (kind, advice): (ErrorKind, &'static str),
    reason: Option<&str>,
) -> Error {
    let mut message = match reason.map(str::trim).filter(|reason| !reason.is_empty()) {
        Some(reason) => one_line(reason),
        None => describe(code),
    };
    if !advice.is_empty() {
        message.push_str("; ");
        message.push_str(advice);
    }
    Error::new(kind, operation, message)
}

/// An error from rdkafka.
pub(crate) fn from_kafka(operation: &'static str, error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, description, key, _) => {
            // The value may be a secret.
            Error::new(ErrorKind::Config, operation, one_line(description))
                .with_context("property", key)
        }
        KafkaError::ClientCreation(reason) => {
            Error::new(ErrorKind::Config, operation, one_line(reason))
        }
        KafkaError::Subscription(reason)
        | KafkaError::Seek(reason)
        | KafkaError::PauseResume(reason) => {
            Error::new(ErrorKind::Unexpected, operation, one_line(reason))
        }
        other => match code_of(other) {
            Some(code) => from_code(operation, code, None),
            None => Error::new(
                ErrorKind::Unexpected,
                operation,
                one_line(&other.to_string()),
            ),
        },
    }
}

/// Takes note of an error of the connection or of a partition. Gives it back if trying again can't
/// help, so that it ends the source; anything else is left to librdkafka, which does try again.
pub(crate) fn trouble(group: &str, code: Code, error: Error) -> Option<Error> {
    let kind = error.kind().as_str();
    metrics::counter!(names::ERRORS, "group" => group.to_owned(), "kind" => kind).increment(1);
    match code {
        // A permission is missing. Credentials and certificates, in contrast, are refused by
        // brokers that are just starting, too, and may be rotated under way.
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::InvalidGroupId
        | Code::InvalidTopic
        | Code::InvalidSessionTimeout
        | Code::InconsistentGroupProtocol
        | Code::UnsupportedAssignor
        | Code::UnsupportedVersion
        | Code::UnsupportedCompressionType
        | Code::BadCompression
        | Code::GroupMaxSizeReached
        | Code::FencedInstanceId
        | Code::UnreleasedInstanceId
        | Code::AutoOffsetReset => return Some(error),
        Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut => {
            tracing::debug!(%error, "trouble with a broker");
        }
        _ => tracing::warn!(%error, "trouble with Kafka; librdkafka tries again"),
    }
    None
}

/// The text of a code without librdkafka's prefixes.
fn describe(code: Code) -> String {
    // `Variant (Local: what it means)`
    let text = code.to_string();
    let text = text
        .split_once('(')
        .map_or(text.as_str(), |(_, text)| text.trim_end_matches(')'));
    let text = text
        .strip_prefix("Local: ")
        .or(text.strip_prefix("Broker: "))
        .unwrap_or(text);
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// librdkafka's reasons come with line breaks (OpenSSL's above all); an error is one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
