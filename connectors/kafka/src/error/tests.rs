use super::*;

use ErrorKind::{
    Config, Fenced, Rejected, Throttled, Unauthorized, Unavailable, Unexpected, Unsupported,
};

/// Every code that a consumer can meet.
#[rustfmt::skip]
const TABLE: &[(Code, ErrorKind)] = &[
    (Code::AllBrokersDown, Unavailable),
    (Code::BrokerTransportFailure, Unavailable),
    (Code::BrokerDestroy, Unavailable),
    (Code::DestroyBroker, Unavailable),
    (Code::Resolve, Unavailable),
    (Code::OperationTimedOut, Unavailable),
    (Code::RequestTimedOut, Unavailable),
    (Code::TimedOutQueue, Unavailable),
    (Code::MessageTimedOut, Unavailable),
    (Code::WaitingForCoordinator, Unavailable),
    (Code::CoordinatorLoadInProgress, Unavailable),
    (Code::CoordinatorNotAvailable, Unavailable),
    (Code::NotCoordinator, Unavailable),
    (Code::LeaderNotAvailable, Unavailable),
    (Code::NotLeaderForPartition, Unavailable),
    (Code::ReplicaNotAvailable, Unavailable),
    (Code::BrokerNotAvailable, Unavailable),
    (Code::FencedLeaderEpoch, Unavailable),
    (Code::UnknownLeaderEpoch, Unavailable),
    (Code::OffsetNotAvailable, Unavailable),
    (Code::ListenerNotFound, Unavailable),
    (Code::PreferredLeaderNotAvailable, Unavailable),
    (Code::EligibleLeadersNotAvailable, Unavailable),
    (Code::NetworkException, Unavailable),
    (Code::KafkaStorageError, Unavailable),
    (Code::NotEnoughReplicas, Unavailable),
    (Code::NotEnoughReplicasAfterAppend, Unavailable),
    (Code::UnknownTopicId, Unavailable),
    (Code::InProgress, Unavailable),
    (Code::PreviousInProgress, Unavailable),
    (Code::WaitCache, Unavailable),
    (Code::Retry, Unavailable),
    (Code::Interrupted, Unavailable),
    (Code::NodeUpdate, Unavailable),
    (Code::UnknownBroker, Unavailable),
    (Code::FetchSessionIdNotFound, Unavailable),
    (Code::InvalidFetchSessionEpoch, Unavailable),
    (Code::Partial, Unavailable),
    (Code::Outdated, Unavailable),
    (Code::QueueFull, Unavailable),
    (Code::UnstableOffsetCommit, Unavailable),
    (Code::RebalanceInProgress, Unavailable),
    (Code::IllegalGeneration, Unavailable),
    (Code::UnknownMemberId, Unavailable),
    (Code::MemberIdRequired, Unavailable),
    (Code::StaleMemberEpoch, Unavailable),
    (Code::PollExceeded, Unavailable),
    (Code::AssignmentLost, Fenced),
    (Code::FencedMemberEpoch, Fenced),
    (Code::FencedInstanceId, Fenced),
    (Code::UnreleasedInstanceId, Fenced),
    (Code::Fenced, Fenced),
    (Code::ProducerFenced, Fenced),
    (Code::ThrottlingQuotaExceeded, Throttled),
    (Code::Authentication, Unauthorized),
    (Code::SaslAuthenticationFailed, Unauthorized),
    (Code::SSL, Unauthorized),
    (Code::UnsupportedSASLMechanism, Unauthorized),
    (Code::IllegalSASLState, Unauthorized),
    (Code::SecurityDisabled, Unauthorized),
    (Code::TopicAuthorizationFailed, Unauthorized),
    (Code::GroupAuthorizationFailed, Unauthorized),
    (Code::ClusterAuthorizationFailed, Unauthorized),
    (Code::TransactionalIdAuthorizationFailed, Unauthorized),
    (Code::DelegationTokenAuthorizationFailed, Unauthorized),
    (Code::DelegationTokenNotFound, Unauthorized),
    (Code::DelegationTokenExpired, Unauthorized),
    (Code::UnknownTopicOrPartition, Config),
    (Code::UnknownTopic, Config),
    (Code::UnknownPartition, Config),
    (Code::InvalidTopic, Config),
    (Code::InvalidGroupId, Config),
    (Code::InvalidSessionTimeout, Config),
    (Code::InconsistentGroupProtocol, Config),
    (Code::UnsupportedAssignor, Config),
    (Code::GroupMaxSizeReached, Config),
    (Code::GroupSubscribedToTopic, Config),
    (Code::Conflict, Config),
    (Code::InvalidArgument, Config),
    (Code::InvalidConfig, Config),
    (Code::NotConfigured, Config),
    (Code::UnknownGroup, Config),
    (Code::AutoOffsetReset, Config),
    (Code::OffsetOutOfRange, Rejected),
    (Code::OffsetMetadataTooLarge, Rejected),
    (Code::InvalidCommitOffsetSize, Rejected),
    (Code::MessageSizeTooLarge, Rejected),
    (Code::InvalidMessageSize, Rejected),
    (Code::MessageBatchTooLarge, Rejected),
    (Code::BadMessage, Rejected),
    (Code::InvalidMessage, Rejected),
    (Code::InvalidRecord, Rejected),
    (Code::Underflow, Rejected),
    (Code::LogTruncation, Rejected),
    (Code::InvalidRequest, Rejected),
    (Code::PolicyViolation, Rejected),
    (Code::BadCompression, Unsupported),
    (Code::UnsupportedCompressionType, Unsupported),
    (Code::UnsupportedVersion, Unsupported),
    (Code::UnsupportedFeature, Unsupported),
    (Code::NotImplemented, Unsupported),
    (Code::UnknownProtocol, Unsupported),
];

#[test]
fn every_code_has_its_kind() {
    for (code, kind) in TABLE {
        assert_eq!(classify(*code).0, *kind, "{code:?}");
    }
}

#[test]
fn the_table_is_complete() {
    // Codes run from -200 to 118 in this librdkafka; what is not in the table is nobody's that
    // consumes.
    for number in -200..=200 {
        let code = code(number);
        let listed = TABLE.iter().any(|(other, _)| *other == code);
        assert_eq!(
            listed,
            classify(code).0 != Unexpected,
            "{code:?} ({number})"
        );
    }
}

/// What a code means of a producer only; all others mean the same.
#[rustfmt::skip]
const PRODUCING: &[(Code, ErrorKind, &str)] = &[
    (Code::MessageSizeTooLarge, Rejected, "max.message.bytes"),
    (Code::InvalidMessageSize, Rejected, "max.message.bytes"),
    (Code::MessageBatchTooLarge, Rejected, "max.message.bytes"),
    (Code::InvalidRecord, Rejected, "partitionkey"),
    (Code::InvalidTimestamp, Rejected, "older"),
    (Code::TopicAuthorizationFailed, Unauthorized, "Write"),
    (Code::ClusterAuthorizationFailed, Unauthorized, "IdempotentWrite"),
    (Code::QueueFull, Unavailable, "queue is full"),
    (Code::BadMessage, Unavailable, "damaged"),
    (Code::InvalidMessage, Unavailable, "damaged"),
    (Code::Underflow, Unavailable, "damaged"),
    (Code::Fatal, Unavailable, "anew"),
    (Code::GaplessGuarantee, Unavailable, "anew"),
    (Code::OutOfOrderSequenceNumber, Unavailable, "anew"),
    (Code::DuplicateSequenceNumber, Unavailable, "anew"),
    (Code::UnknownProducerId, Unavailable, "anew"),
    (Code::InvalidProducerEpoch, Unavailable, "anew"),
    (Code::ProducerFenced, Unavailable, "anew"),
    (Code::PurgeQueue, Unavailable, "anew"),
    (Code::PurgeInflight, Unavailable, "anew"),
];

#[test]
fn a_producer_has_meanings_of_its_own() {
    for number in -200..=200 {
        let code = code(number);
        let (kind, advice) = classify_produce(code);
        match PRODUCING.iter().find(|(other, ..)| *other == code) {
            Some((_, expected, hint)) => {
                assert_eq!(kind, *expected, "{code:?}");
                assert!(advice.contains(hint), "{code:?}: {advice}");
            }
            None => assert_eq!((kind, advice), classify(code), "{code:?}"),
        }
    }
    let text = produce("produce", Code::PurgeQueue, None).to_string();
    assert!(
        text.starts_with("produce: ") && !text.contains('\n'),
        "{text}"
    );
}

#[test]
fn unknown_numbers_are_unknown() {
    assert_eq!(code(31_000), Code::Unknown);
    assert_eq!(code(-169), Code::Authentication);
}

#[test]
fn says_what_happened_and_what_to_do() {
    let error = from_code("connect", Code::UnknownTopicOrPartition, None);
    assert_eq!(
        error.to_string(),
        "connect: unknown topic or partition; the topic does not exist; create it, or correct its name",
    );
    let error = from_code(
        "connect",
        Code::BrokerTransportFailure,
        Some("Connection\n  refused"),
    );
    assert_eq!(
        error.to_string(),
        "connect: Connection refused; is a broker running and reachable there?",
    );
}

#[test]
fn a_bad_property_is_named_without_its_value() {
    let wrong = rdkafka::ClientConfig::new()
        .set("fetch.wait.max.ms", "hunter2")
        .create::<rdkafka::consumer::BaseConsumer>();
    let Err(error) = wrong else {
        panic!("a number was taken for what it is not")
    };
    let error = from_kafka("configure Kafka", &error);
    assert_eq!(error.kind(), Config);
    assert!(error.to_string().contains("fetch.wait.max.ms"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}
