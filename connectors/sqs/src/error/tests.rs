use std::collections::HashSet;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::{operation::receive_message::ReceiveMessageError, types::BatchResultErrorEntry};

use super::*;

const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";

fn entry(fault: bool, code: &str, message: &str) -> Error {
    let entry = BatchResultErrorEntry::builder()
        .id("0")
        .sender_fault(fault)
        .code(code)
        .message(message);
    from_entry("delete messages", URL, &entry.build().unwrap())
}

/// The codes that AWS and its emulators are known to send, as they send them.
#[test]
fn every_code_has_its_kind() {
    for (codes, kind) in [
        (
            "InternalError InternalFailure InternalServerError ServiceUnavailable RequestTimeout",
            Unavailable,
        ),
        (
            "RequestThrottled ThrottlingException Throttling TooManyRequestsException SlowDown \
             OverLimit KmsThrottled KMS.ThrottlingException com.amazonaws.sqs#OverLimit \
             com.amazonaws.sqs#RequestThrottled",
            Throttled,
        ),
        (
            "AccessDenied AccessDeniedException InvalidClientTokenId UnrecognizedClientException \
             SignatureDoesNotMatch InvalidSignatureException IncompleteSignature \
             MissingAuthenticationToken ExpiredToken ExpiredTokenException OptInRequired \
             RequestExpired KmsAccessDenied KMS.AccessDeniedException KmsOptInRequired \
             com.amazon.coral.service#AccessDeniedException \
             com.amazon.coral.service#UnrecognizedClientException \
             com.amazon.coral.service#ExpiredTokenException",
            Unauthorized,
        ),
        (
            "QueueDoesNotExist com.amazonaws.sqs#QueueDoesNotExist \
             AWS.SimpleQueueService.NonExistentQueue \
             AWS.SimpleQueueService.QueueDeletedRecently InvalidAddress InvalidSecurity \
             KmsDisabled KmsInvalidState KmsInvalidKeyUsage KmsNotFound KMS.NotFoundException",
            Config,
        ),
        (
            "ReceiptHandleIsInvalid com.amazonaws.sqs#ReceiptHandleIsInvalid \
             AWS.SimpleQueueService.MessageNotInflight MessageNotInflight InvalidIdFormat",
            Fenced,
        ),
        (
            "InvalidParameterValue InvalidAttributeValue MissingParameter \
             AWS.SimpleQueueService.BatchEntryIdsNotDistinct \
             AWS.SimpleQueueService.EmptyBatchRequest \
             AWS.SimpleQueueService.TooManyEntriesInBatchRequest \
             AWS.SimpleQueueService.InvalidBatchEntryId \
             AWS.SimpleQueueService.BatchRequestTooLong",
            Rejected,
        ),
        (
            "AWS.SimpleQueueService.UnsupportedOperation InvalidAction UnknownOperationException",
            Unsupported,
        ),
    ] {
        for code in codes.split_whitespace() {
            let found = classify(code, "").map(|(kind, _)| kind);
            assert_eq!(found, Some(kind), "{code}");
        }
    }
    assert_eq!(classify("SomethingNew", ""), None);
}

#[test]
fn no_code_is_listed_twice() {
    let mut seen = HashSet::new();
    for (code, ..) in CODES {
        assert!(seen.insert(code), "{code}");
        assert_eq!(bare(code), *code);
    }
}

#[test]
fn a_handle_that_has_expired_is_not_a_bad_parameter() {
    for (message, kind) in [
        (
            "Value AQEB is invalid for parameter ReceiptHandle. Reason: The receipt handle has \
             expired.",
            Fenced,
        ),
        (
            "Value AQEB for parameter ReceiptHandle is invalid. Reason: Message does not exist or \
             is not available for visibility timeout change.",
            Fenced,
        ),
        (
            "Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total \
             VisibilityTimeout for the message is beyond the limit [43200 seconds].",
            Rejected,
        ),
    ] {
        let found = classify("InvalidParameterValue", message).unwrap().0;
        assert_eq!(found, kind, "{message}");
    }
}

#[test]
fn an_entry_is_judged_by_whose_fault_it_is() {
    for (fault, code, kind) in [
        (true, "ReceiptHandleIsInvalid", Fenced),
        (true, "SomethingNew", Rejected),
        (false, "InternalError", Unavailable),
        (false, "ReceiptHandleIsInvalid", Unavailable),
        (false, "SomethingNew", Unavailable),
        (false, "RequestThrottled", Throttled),
    ] {
        assert_eq!(entry(fault, code, "").kind(), kind, "{fault} {code}");
    }
}

#[test]
fn an_answer_without_a_known_code_is_judged_by_its_status() {
    for (status, kind) in [
        (500, Unavailable),
        (503, Unavailable),
        (408, Unavailable),
        (429, Throttled),
        (403, Unauthorized),
        (404, Config),
        (400, Unexpected),
    ] {
        let error = from_answer("receive messages", None, None, status);
        assert_eq!(error.kind(), kind, "{status}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
    }
}

#[test]
fn an_error_is_one_line_that_says_what_to_do() {
    let code = "AWS.SimpleQueueService.NonExistentQueue";
    let message = "The specified queue\ndoes not exist.";
    let error = from_answer("receive messages", Some(code), Some(message), 400);
    assert_eq!(
        error.to_string(),
        "receive messages: NonExistentQueue: The specified queue does not exist; \
         create the queue, or correct queue_url, region and endpoint",
    );
    let error = entry(true, "ReceiptHandleIsInvalid", "");
    assert_eq!(
        error.to_string(),
        format!(
            "delete messages: ReceiptHandleIsInvalid; the lease is over; the message comes again \
             (queue: {URL})"
        ),
    );
}

#[test]
fn what_was_signed_is_not_told() {
    let message = "The request signature does not match.\n\n\
         The Canonical String for this request should have been 'POST\nx-amz-security-token:hush'";
    let code = Some("SignatureDoesNotMatch");
    let error = from_answer("receive messages", code, Some(message), 403);
    assert!(error.to_string().contains("does not match; check"));
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}

#[test]
fn long_texts_are_cut() {
    let message = "é".repeat(100_000);
    let error = from_answer("receive messages", Some("Odd"), Some(&message), 400);
    assert!(error.to_string().len() < 1000);
}

#[test]
fn failures_of_the_client_are_told_apart() {
    let dispatch = |error| SdkError::<ReceiveMessageError>::dispatch_failure(error);
    let refused = || std::io::Error::other("connection refused").into();
    let no_keys = || CredentialsError::not_loaded("nothing found").into();
    for (error, kind, text) in [
        (
            dispatch(ConnectorError::io(refused())),
            Unavailable,
            "can't be reached: connection refused",
        ),
        (
            dispatch(ConnectorError::other(refused(), None)),
            Unavailable,
            "can't be reached",
        ),
        (
            dispatch(ConnectorError::user("no such scheme".into())),
            Config,
            "no such scheme",
        ),
        (
            dispatch(ConnectorError::other(no_keys(), None)),
            Unauthorized,
            "AWS_ACCESS_KEY_ID",
        ),
        (
            SdkError::construction_failure(no_keys()),
            Unauthorized,
            "AWS_ACCESS_KEY_ID",
        ),
        (
            SdkError::construction_failure("no region"),
            Config,
            "no region",
        ),
        (
            SdkError::timeout_error("late"),
            Unavailable,
            "no answer in time",
        ),
    ] {
        let error = from_sdk("receive messages", URL, &error);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.to_string().contains(URL), "{error}");
    }
}

#[test]
fn missing_credentials_are_told_apart_from_an_outage() {
    let late = CredentialsError::provider_timed_out(std::time::Duration::from_secs(5));
    assert_eq!(from_credentials("connect", &late).kind(), Unavailable);
    let outage = ConnectorError::io(std::io::Error::other("refused").into());
    let outage = CredentialsError::provider_error(outage);
    assert_eq!(from_credentials("connect", &outage).kind(), Unavailable);
    let denied = ErrorMetadata::builder()
        .code("AccessDenied")
        .message("no.")
        .build();
    let denied = CredentialsError::provider_error(ReceiveMessageError::generic(denied));
    let error = from_credentials("connect", &denied);
    assert_eq!(error.kind(), Unauthorized);
    let start = "connect: no credentials: AccessDenied: no; set AWS_ACCESS_KEY_ID";
    assert!(error.to_string().starts_with(start), "{error}");
}
