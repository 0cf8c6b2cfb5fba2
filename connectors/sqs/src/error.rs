//! What the SDK's and the service's errors mean to the engine, and what to do about them.
//!
//! * **By code**, not by the SDK's types: servers other than SQS send codes that its types do not
//!   know, and SQS itself has some.
//! * **By fault** within a batch: what is the service's is tried again, whatever its code.
//! * **By outcome** where there is no answer: a request that may have been done is
//!   [lost](is_lost), one that was refused is not.
//! * Texts are one line, cut if they are long, and hold nothing that was signed. The SDK's errors,
//!   which do, are not kept as sources.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::{
    config::http::HttpResponse,
    error::{ConnectorError, ErrorMetadata, ProvideErrorMetadata, SdkError},
    operation::RequestId,
    types::BatchResultErrorEntry,
};
use eventlane::{
    Error,
    ErrorKind::{
        self, Config, Fenced, Rejected, Throttled, Unauthorized, Unavailable, Unexpected,
        Unsupported,
    },
};

const HANDLE: &str = "the lease is over; the message comes again";
const PERMISSION: &str = "allow it in the role's or in the queue's policy: sqs:ReceiveMessage, \
     sqs:DeleteMessage, sqs:ChangeMessageVisibility, sqs:GetQueueAttributes";
const NO_QUEUE: &str = "create the queue, or correct queue_url, region and endpoint";
const KEY_ID: &str = "the access key's id is unknown there; check it, the region and the endpoint";
const SECRET: &str = "check the secret key, the region and this machine's clock";
const CLOCK: &str = "check this machine's clock";
const TOKEN: &str = "the session's token has expired; renew the credentials";
const SLOWER: &str = "the service asks for less";
const IN_FLIGHT: &str = "the queue has as many messages on lease as it may have (about 120,000)";
const ELSEWHERE: &str =
    "the queue is not of this region, endpoint or account; correct queue_url, region and endpoint";
const KEY_USAGE: &str = "the queue's KMS key is not one for encryption; give it another";
const NOT_SQS: &str = "the server does not know this operation; is the endpoint one of SQS?";
const DEFECT: &str = "";

/// What the codes mean: the kind, and advice for people (empty if there is none). Without the
/// prefixes, of which [`bare`] knows.
///
/// What is not listed is judged by its HTTP status, or by whose fault it is said to be.
#[rustfmt::skip]
const CODES: &[(&str, ErrorKind, &str)] = &[
    ("InternalError", Unavailable, ""),
    ("InternalFailure", Unavailable, ""),
    ("InternalServerError", Unavailable, ""),
    ("InternalServiceError", Unavailable, ""),
    ("RequestTimeout", Unavailable, ""),
    ("RequestTimeoutException", Unavailable, ""),
    ("ServiceUnavailable", Unavailable, ""),
    ("ServiceUnavailableException", Unavailable, ""),

    ("BandwidthLimitExceeded", Throttled, SLOWER),
    ("EC2ThrottledException", Throttled, SLOWER),
    ("KMS.ThrottlingException", Throttled, "the queue's KMS key is asked too often"),
    ("KmsThrottled", Throttled, "the queue's KMS key is asked too often"),
    ("LimitExceededException", Throttled, SLOWER),
    ("OverLimit", Throttled, IN_FLIGHT),
    ("PriorRequestNotComplete", Throttled, SLOWER),
    ("ProvisionedThroughputExceededException", Throttled, SLOWER),
    ("RequestLimitExceeded", Throttled, SLOWER),
    ("RequestThrottled", Throttled, SLOWER),
    ("RequestThrottledException", Throttled, SLOWER),
    ("SlowDown", Throttled, SLOWER),
    ("ThrottledException", Throttled, SLOWER),
    ("Throttling", Throttled, SLOWER),
    ("ThrottlingException", Throttled, SLOWER),
    ("TooManyRequests", Throttled, SLOWER),
    ("TooManyRequestsException", Throttled, SLOWER),
    ("TransactionInProgressException", Throttled, SLOWER),

    ("AccessDenied", Unauthorized, PERMISSION),
    ("AccessDeniedException", Unauthorized, PERMISSION),
    ("AuthFailure", Unauthorized, SECRET),
    ("ExpiredToken", Unauthorized, TOKEN),
    ("ExpiredTokenException", Unauthorized, TOKEN),
    ("IncompleteSignature", Unauthorized, SECRET),
    ("IncompleteSignatureException", Unauthorized, SECRET),
    ("InvalidAccessKeyId", Unauthorized, KEY_ID),
    ("InvalidClientTokenId", Unauthorized, KEY_ID),
    ("InvalidSignatureException", Unauthorized, SECRET),
    ("KMS.AccessDeniedException", Unauthorized, "allow kms:Decrypt on the queue's key"),
    ("KMS.OptInRequired", Unauthorized, "the account has no access to KMS"),
    ("KmsAccessDenied", Unauthorized, "allow kms:Decrypt on the queue's key"),
    ("KmsOptInRequired", Unauthorized, "the account has no access to KMS"),
    ("MissingAuthenticationToken", Unauthorized, SECRET),
    ("MissingAuthenticationTokenException", Unauthorized, SECRET),
    ("NotAuthorized", Unauthorized, PERMISSION),
    ("OptInRequired", Unauthorized, "the account is not signed up for SQS in this region"),
    ("RequestExpired", Unauthorized, CLOCK),
    ("RequestTimeTooSkewed", Unauthorized, CLOCK),
    ("SignatureDoesNotMatch", Unauthorized, SECRET),
    ("TokenRefreshRequired", Unauthorized, TOKEN),
    ("UnrecognizedClientException", Unauthorized, KEY_ID),

    ("InvalidAddress", Config, ELSEWHERE),
    ("InvalidSecurity", Config, "the queue is only served over https; correct endpoint"),
    ("KMS.DisabledException", Config, "enable the queue's KMS key"),
    ("KMS.InvalidKeyUsageException", Config, KEY_USAGE),
    ("KMS.InvalidStateException", Config, "the queue's KMS key can't be used in its state"),
    ("KMS.NotFoundException", Config, "the queue's KMS key does not exist; give it another"),
    ("KmsDisabled", Config, "enable the queue's KMS key"),
    ("KmsInvalidKeyUsage", Config, KEY_USAGE),
    ("KmsInvalidState", Config, "the queue's KMS key can't be used in its state"),
    ("KmsNotFound", Config, "the queue's KMS key does not exist; give it another"),
    ("NonExistentQueue", Config, NO_QUEUE),
    ("QueueDeletedRecently", Config, NO_QUEUE),
    ("QueueDoesNotExist", Config, NO_QUEUE),

    ("InvalidIdFormat", Fenced, HANDLE),
    ("MessageNotInflight", Fenced, HANDLE),
    ("ReceiptHandleIsInvalid", Fenced, HANDLE),

    ("BatchEntryIdsNotDistinct", Rejected, DEFECT),
    ("BatchRequestTooLong", Rejected, DEFECT),
    ("EmptyBatchRequest", Rejected, DEFECT),
    ("InvalidAttributeName", Rejected, DEFECT),
    ("InvalidAttributeValue", Rejected, DEFECT),
    ("InvalidBatchEntryId", Rejected, DEFECT),
    ("InvalidMessageContents", Rejected, DEFECT),
    ("InvalidParameterCombination", Rejected, DEFECT),
    ("InvalidParameterValue", Rejected, DEFECT),
    ("InvalidQueryParameter", Rejected, DEFECT),
    ("MalformedQueryString", Rejected, DEFECT),
    ("MissingAction", Rejected, DEFECT),
    ("MissingParameter", Rejected, DEFECT),
    ("SerializationException", Rejected, DEFECT),
    ("TooManyEntriesInBatchRequest", Rejected, DEFECT),
    ("ValidationError", Rejected, DEFECT),
    ("ValidationException", Rejected, DEFECT),

    ("InvalidAction", Unsupported, NOT_SQS),
    ("UnknownOperationException", Unsupported, NOT_SQS),
    ("UnsupportedOperation", Unsupported, ""),
];

/// A code without what protocols and emulators put before it.
/// The query protocol writes `AWS.SimpleQueueService.NonExistentQueue`, JSON
/// `com.amazonaws.sqs#QueueDoesNotExist`.
pub(crate) fn bare(code: &str) -> &str {
    let code = code.rsplit_once('#').map_or(code, |(_, code)| code);
    code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code)
}

/// What an error means: its kind, and advice; `None` if the code is not known. The text counts only
/// where SQS has one code for bad handles and other bad values.
pub(crate) fn classify(code: &str, message: &str) -> Option<(ErrorKind, &'static str)> {
    let code = bare(code);
    // How a handle is refused whose lease is over (FIFO queues), or whose message is gone.
    let handle = message.contains("expired") || message.contains("parameter ReceiptHandle");
    if code == "InvalidParameterValue" && handle {
        return Some((Fenced, HANDLE));
    }
    let (_, kind, advice) = CODES.iter().find(|(known, ..)| *known == code)?;
    Some((*kind, advice))
}

/// An error of a request. `at` is the queue's URL. With the id of the request if it was answered,
/// which is what AWS's support asks for.
pub(crate) fn from_sdk<E>(operation: &'static str, at: &str, error: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
    SdkError<E>: RequestId,
{
    let error = match error {
        SdkError::ServiceError(answer) if !is_success(answer.raw()) => {
            let (code, message) = (answer.err().code(), answer.err().message());
            let status = answer.raw().status().as_u16();
            let answer = from_answer(operation, code, message, status);
            match error.request_id() {
                Some(id) => answer.with_context("request", id),
                None => answer,
            }
        }
        SdkError::TimeoutError(_) => return late(operation, at),
        SdkError::ResponseError(_) | SdkError::ServiceError(_) => {
            let reason = reason(error);
            let text =
                format!("an answer that can't be read: {reason}; is the endpoint one of SQS?");
            Error::new(Unavailable, operation, text)
        }
        // A request that could not be put together, or not be sent.
        _ => match find::<CredentialsError>(error) {
            Some(error) => from_credentials(operation, error),
            None => from_network(operation, error),
        },
    };
    error.with_context("queue", at)
}

/// Whether the request may have been done without our learning of it: it was sent, or may have
/// been, and nothing that can be read came back. A refusal is an answer.
pub(crate) fn is_lost<E>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
            true
        }
        SdkError::ServiceError(answer) => is_success(answer.raw()),
        _ => false,
    }
}

/// The SDK makes errors of successes that it can't read.
fn is_success(answer: &HttpResponse) -> bool {
    answer.status().is_success()
}

/// There was no answer in time: transient, and it is open whether the request was carried out.
pub(crate) fn late(operation: &'static str, at: &str) -> Error {
    Error::new(Unavailable, operation, "no answer in time").with_context("queue", at)
}

/// A refusal, by its code; by its HTTP status if the code is not known or there is none, as in the
/// answer of a proxy.
fn from_answer(
    operation: &'static str,
    code: Option<&str>,
    message: Option<&str>,
    status: u16,
) -> Error {
    let message = message.unwrap_or_default();
    let (kind, advice) = code
        .and_then(|code| classify(code, message))
        .unwrap_or(match status {
            408 | 500.. => (Unavailable, ""),
            429 => (Throttled, SLOWER),
            401 | 403 => (Unauthorized, ""),
            404 | 405 => (Config, "is the endpoint one of SQS?"),
            _ => (Unexpected, ""),
        });
    let status = format!("HTTP status {status}");
    let text = describe(code.map_or(status.as_str(), bare), message, advice);
    Error::new(kind, operation, text)
}

/// Why one message of a batch was not treated as asked. `SenderFault` is SQS's own word for whose
/// fault it was: if not the sender's, the next try may succeed; if it is, and the code is not
/// known, it never will.
pub(crate) fn from_entry(
    operation: &'static str,
    at: &str,
    entry: &BatchResultErrorEntry,
) -> Error {
    let message = entry.message().unwrap_or_default();
    let known = classify(entry.code(), message);
    let (kind, advice) = match known {
        // Whatever it is, it is not about the message: the next try may find it mended.
        _ if !entry.sender_fault() => match known {
            Some((Throttled, advice)) => (Throttled, advice),
            _ => (Unavailable, ""),
        },
        Some(known) => known,
        None => (Rejected, ""),
    };
    let text = describe(bare(entry.code()), message, advice);
    Error::new(kind, operation, text).with_context("queue", at)
}

/// Why there are no credentials.
/// Transient only if whoever gives them could not be reached or took too long.
pub(crate) fn from_credentials(operation: &'static str, error: &CredentialsError) -> Error {
    const ADVICE: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role";
    match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            Error::new(Unauthorized, operation, format!("no credentials; {ADVICE}"))
        }
        CredentialsError::ProviderTimedOut(_) => {
            Error::new(Unavailable, operation, "no credentials in time")
        }
        _ if find::<ConnectorError>(error).is_some() => {
            let text = format!("no credentials: {}", reason(error));
            Error::new(Unavailable, operation, text)
        }
        _ => {
            let text = format!("no credentials: {}; {ADVICE}", reason(error));
            Error::new(Unauthorized, operation, text)
        }
    }
}

/// A request that could not be made, or not be brought to the service: by its last cause, which
/// says most.
fn from_network(operation: &'static str, error: &(dyn StdError + 'static)) -> Error {
    let reason = reason(error);
    let (kind, text) = match find::<ConnectorError>(error) {
        Some(error) if !error.is_user() => (
            Unavailable,
            format!("the service can't be reached: {reason}"),
        ),
        _ => (Config, format!("the request can't be made: {reason}")),
    };
    Error::new(kind, operation, text)
}

/// `code: message; advice`, in one line.
fn describe(code: &str, message: &str, advice: &str) -> String {
    const LONGEST: usize = 400;
    // What follows repeats the signed headers, a session's token among them.
    let message = message
        .split_once("The Canonical String")
        .map_or(message, |(message, _)| message);
    let mut text = one_line(code);
    let message = one_line(message);
    let message = message.trim_end_matches('.');
    if !message.is_empty() {
        text.push_str(": ");
        text.extend(message.chars().take(LONGEST));
    }
    if !advice.is_empty() {
        text.push_str("; ");
        text.push_str(advice);
    }
    text
}

/// The first error of this type among an error and its causes.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// What an error comes down to: what a service has answered, or the last of the causes.
fn reason(error: &(dyn StdError + 'static)) -> String {
    if let Some(answer) = find::<ErrorMetadata>(error)
        && let Some(code) = answer.code()
    {
        return describe(bare(code), answer.message().unwrap_or_default(), "");
    }
    let last = causes(error).last().unwrap_or(error);
    one_line(last.to_string().trim_end_matches('.'))
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn StdError + 'static) = *error;
        error.source()
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
