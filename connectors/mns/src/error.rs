//! What the answers of MNS mean to the engine, and what to do about them.
//!
//! * **By code**, and by status only where the code is not known or missing, as in the answer of a
//!   proxy.
//! * `Fenced` is about a message, `Config` and `Unauthorized` about what somebody has to mend,
//!   `Throttled` and `Unavailable` pass by themselves, `Rejected` is a request that will never do.
//! * Texts of the server are cut to one line of 300 characters before they are shown.

use std::time::Duration;

use eventlane::{Error, ErrorKind};

use crate::client::Element;

use ErrorKind::{Config, Fenced, Rejected, Throttled, Unauthorized, Unavailable};

/// MNS's code for two things: the queue is empty (a receive), or the message is not on lease under
/// that handle (anything else).
pub(crate) const EMPTY: &str = "MessageNotExist";

/// The codes: what each means, and advice for people (empty if there is none).
const CODES: &[(&str, ErrorKind, &str)] = &[
    // A receive takes it for an empty queue before it comes here.
    (EMPTY, Fenced, "the lease is over, or the message is gone"),
    ("ReceiptHandleError", Fenced, "the lease is over"),
    (
        "QueueNotExist",
        Config,
        "create the queue, or correct its name, the endpoint's region or its account",
    ),
    (
        "AccessDenied",
        Unauthorized,
        "the access key needs the permissions that the crate's README lists",
    ),
    (
        "InvalidAccessKeyId",
        Unauthorized,
        "there is no such access key, or it is switched off",
    ),
    (
        "SignatureDoesNotMatch",
        Unauthorized,
        "check the secret, the region, and that no proxy rewrites the path",
    ),
    (
        "InvalidSecurityToken",
        Unauthorized,
        "the security token is not one of this access key, or has expired",
    ),
    (
        "SecurityTokenExpired",
        Unauthorized,
        "the security token has expired",
    ),
    ("TimeExpired", Config, CLOCK),
    ("InvalidDateHeader", Config, CLOCK),
    ("TooManyRequests", Throttled, ""),
    ("QpsLimitExceeded", Throttled, ""),
    ("InternalError", Unavailable, ""),
    ("InternalServerError", Unavailable, ""),
    ("ServiceUnavailable", Unavailable, ""),
    ("InvalidQueueName", Config, "correct the queue's name"),
    ("QueueNameLengthError", Config, "correct the queue's name"),
    (
        "InvalidRequestURL",
        Config,
        "check the endpoint's path and the queue's name",
    ),
    ("InvalidArgument", Rejected, ""),
    ("InvalidQueryString", Rejected, ""),
    ("MalformedXML", Rejected, ""),
    ("InvalidDigest", Rejected, ""),
    ("InvalidDegist", Rejected, ""),
    ("InvalidContentType", Rejected, STRIPPED),
    ("MissingAuthorizationHeader", Rejected, STRIPPED),
    ("MissingDateHeader", Rejected, STRIPPED),
    ("MissingVersionHeader", Rejected, STRIPPED),
    ("InvalidVersion", Rejected, STRIPPED),
    ("QueueAlreadyExist", Config, ""),
    ("QueueDeletedRecently", Config, ""),
];

const CLOCK: &str = "the clock of this machine is off; set it";
const STRIPPED: &str = "does a proxy in between take headers away?";

/// What a status and a code mean. The code decides if it is known; MNS uses one status for quite
/// different things.
pub(crate) fn classify(status: u16, code: &str, message: &str) -> (ErrorKind, &'static str) {
    if let Some((_, kind, advice)) = CODES.iter().find(|(known, ..)| *known == code) {
        return (*kind, advice);
    }
    if message.to_ascii_lowercase().contains("flow limiter") {
        return (Throttled, "");
    }
    match status {
        300..=399 => (
            Config,
            "redirects are not followed; correct the endpoint (https?)",
        ),
        401 | 403 => (Unauthorized, ""),
        404 => (Config, "is the endpoint, with its path, one of MNS?"),
        429 => (Throttled, ""),
        408 | 500..=599 => (Unavailable, ""),
        400..=499 => (Rejected, ""),
        _ => (ErrorKind::Unexpected, ""),
    }
}

/// An answer that says no, with all that decides what is made of it: another try, a result for each
/// message of a batch, or an [`Error`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusal {
    pub(crate) operation: &'static str,
    pub(crate) queue: String,
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
    /// The body, if it is XML.
    pub(crate) document: Option<Element>,
}

impl Refusal {
    pub(crate) fn kind(&self) -> ErrorKind {
        classify(self.status, &self.code, &self.message).0
    }

    /// Whether the request was refused for its date alone: it was not carried out, and a better
    /// date helps.
    pub(crate) fn is_about_time(&self) -> bool {
        matches!(&*self.code, "TimeExpired" | "InvalidDateHeader")
    }

    /// The same about one message of a batch.
    pub(crate) fn entry(&self, code: &str, message: &str) -> Self {
        Self {
            operation: self.operation,
            queue: self.queue.clone(),
            // That of the batch says only that some of it failed.
            status: 500,
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: self.request_id.clone(),
            retry_after: self.retry_after,
            location: self.location.clone(),
            document: None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let (kind, advice) = classify(refusal.status, &refusal.code, &refusal.message);
        let said = one_line(&refusal.message);
        let parts = [refusal.code.as_str(), &said, advice];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        let mut text = parts.collect::<Vec<_>>().join("; ");
        if text.is_empty() {
            text.push_str("the server refuses without a reason");
        }
        let mut error = Self::new(kind, refusal.operation, text)
            .with_context("queue", &refusal.queue)
            .with_context("status", refusal.status);
        if let Some(location) = &refusal.location {
            error = error.with_context("location", one_line(location));
        }
        if let Some(id) = &refusal.request_id {
            error = error.with_context("request id", one_line(id));
        }
        match refusal.retry_after {
            Some(after) => error.with_retry_after(after),
            None => error,
        }
    }
}

/// What a remote says, made fit for an error: one line, not too long.
pub(crate) fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    // Only what is shown is looked at: a body may have megabytes.
    let start: String = text.chars().take(4 * LONGEST).collect();
    let words = start.split(|c: char| c.is_whitespace() || c.is_control());
    let line: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let line = line.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests;
