//! What the codes of RocketMQ mean to the engine, and what to do about them.
//!
//! Codes are numbers, and stay so: servers send some that no list has. Within the crate, a call
//! that failed is a [`Failure`], which can be told several times and still be judged; at its border
//! it becomes an [`Error`].

use std::{error::Error as _, fmt};

use eventlane::{Error, ErrorKind};
use tonic::Code;

use crate::client::{Address, pb};

use ErrorKind::{Config, Fenced, Rejected, Throttled, Unauthorized, Unavailable, Unexpected};

/// Codes that something depends on.
pub(crate) mod code {
    pub(crate) const OK: i32 = 20000;
    pub(crate) const MULTIPLE_RESULTS: i32 = 30000;
    pub(crate) const INVALID_RECEIPT_HANDLE: i32 = 40013;
    pub(crate) const UNRECOGNIZED_CLIENT_TYPE: i32 = 40015;
    pub(crate) const MESSAGE_NOT_FOUND: i32 = 40401;
    pub(crate) const INTERNAL_SERVER_ERROR: i32 = 50001;
}

/// The codes: what each means, and advice for people (empty if there is none). Sorted.
const CODES: &[(i32, ErrorKind, &str)] = &[
    (40000, Rejected, ""),
    (40001, Config, "check the endpoint"),
    (40002, Config, "correct the topic's name"),
    (40003, Config, "correct the group's name, or create it"),
    (40004, Rejected, "a tag has no | and no control characters"),
    (40005, Rejected, "correct the message's keys"),
    (40006, Rejected, "correct the message group"),
    (
        40007,
        Rejected,
        "a property's name is reserved, or has control characters",
    ),
    (40008, Rejected, ""),
    (40009, Rejected, ""),
    (40010, Config, "correct the filter"),
    (
        40011,
        Config,
        "at most servers, a lease lasts from 10 s to 12 h (lease)",
    ),
    (40012, Rejected, "a message may be delayed by 24 h at most"),
    (40013, Fenced, "the lease is over"),
    (40014, Config, "the topic is for messages of another type"),
    (40015, Unavailable, ""),
    (40016, Rejected, ""),
    (40017, Unexpected, ""),
    (40018, Config, ""),
    (40019, Rejected, ""),
    (40100, Unauthorized, CREDENTIALS),
    (
        40200,
        Unauthorized,
        "the instance has to be paid for before it works again",
    ),
    (40300, Unauthorized, CREDENTIALS),
    (40400, Config, ""),
    (40401, Fenced, ""),
    (40402, Config, "create the topic, or correct its name"),
    (40403, Config, "create the group, or correct its name"),
    (40800, Unavailable, ""),
    (41300, Rejected, ""),
    (41301, Rejected, "a body has 4 MiB at most"),
    (41302, Rejected, "a message needs a body"),
    (42800, Unexpected, ""),
    (42900, Throttled, ""),
    (43100, Rejected, ""),
    (
        43101,
        Rejected,
        "a message has 128 properties and 16 KiB of them at most",
    ),
    (50001, Unavailable, ""),
    (50002, Unavailable, ""),
    (50100, Config, "the server is too old"),
    (50400, Unavailable, ""),
    (50401, Unavailable, ""),
    (50402, Unavailable, ""),
    (50500, Config, "the server does not speak this protocol"),
];

const CREDENTIALS: &str = "check the credentials, and what they may do";

/// What a code means. Codes that are new mean what their hundreds mean.
fn classify(code: i32) -> (ErrorKind, &'static str) {
    if let Ok(at) = CODES.binary_search_by_key(&code, |(known, ..)| *known) {
        return (CODES[at].1, CODES[at].2);
    }
    let kind = match code / 100 {
        401..=403 => Unauthorized,
        404 => Config,
        408 => Unavailable,
        429 => Throttled,
        400..=499 => Rejected,
        500..=599 => Unavailable,
        _ => Unexpected,
    };
    (kind, "")
}

/// Whether an answer that looks final may come while a broker restarts.
fn is_seen_in_restarts(code: i32) -> bool {
    matches!(code, 40003 | 40014 | 40402)
}

/// What the server says about a filter that it can't read, under a code that means many things.
const BAD_FILTER: &str = "parse the consumer's subscription failed";

/// What a proxy says of a good receipt, under the code of a bad one, when its broker has just come back.
const NO_BROKER: &str = "cannot find broker";

/// A call that failed: what is known of it, so that several can be told.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    operation: &'static str,
    code: Option<i32>,
    message: String,
    endpoint: Option<Address>,
    topic: Option<String>,
    only_at_start: bool,
}

impl Failure {
    pub(crate) fn new(
        kind: ErrorKind,
        operation: &'static str,
        message: impl fmt::Display,
    ) -> Self {
        Self {
            kind,
            operation,
            code: None,
            message: one_line(&message.to_string()),
            endpoint: None,
            topic: None,
            only_at_start: false,
        }
    }

    /// An answer that says no.
    pub(crate) fn refused(operation: &'static str, status: &pb::Status) -> Self {
        let (mut kind, mut advice) = classify(status.code);
        if status.code == code::INTERNAL_SERVER_ERROR && status.message.contains(BAD_FILTER) {
            (kind, advice) = (Config, "correct the filter");
        }
        if status.code == code::INVALID_RECEIPT_HANDLE && status.message.contains(NO_BROKER) {
            (kind, advice) = (Unavailable, "");
        }
        let said = one_line(&status.message);
        let parts = [said.as_str(), advice].into_iter();
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        let message = match parts.is_empty() {
            true => "the server refuses without a reason".to_owned(),
            false => parts.join("; "),
        };
        Self {
            code: Some(status.code),
            only_at_start: is_seen_in_restarts(status.code),
            ..Self::new(kind, operation, message)
        }
    }

    /// No answer, or one of gRPC's own.
    pub(crate) fn rpc(operation: &'static str, status: &tonic::Status) -> Self {
        let mut reason = status.message().to_owned();
        let mut cause = status.source();
        while let Some(deeper) = cause {
            let text = deeper.to_string();
            if !reason.contains(&text) {
                reason = if reason.is_empty() {
                    text
                } else {
                    format!("{reason}: {text}")
                };
            }
            cause = deeper.source();
        }
        let (kind, advice) = match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => (Unauthorized, CREDENTIALS),
            Code::InvalidArgument => (Config, "do topics and group exist?"),
            Code::Unimplemented => (Config, "is the endpoint one of RocketMQ 5's gRPC proxy?"),
            Code::NotFound => (Config, "is the endpoint one of RocketMQ 5's gRPC proxy?"),
            Code::OutOfRange => (Unexpected, ""),
            // A page of HTML, say; of a gateway it may be, in front of a proxy that is away.
            Code::Internal if reason.contains("compression flag") => (
                Unavailable,
                "is the endpoint one of RocketMQ 5's gRPC proxy?",
            ),
            _ => (Unavailable, ""),
        };
        let parts = [reason.as_str(), advice].into_iter();
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        let message = match parts.is_empty() {
            true => format!("{:?}", status.code()),
            false => parts.join("; "),
        };
        Self {
            only_at_start: status.code() == Code::InvalidArgument,
            ..Self::new(kind, operation, message)
        }
    }

    /// The same, with the server that it was about.
    pub(crate) fn at(mut self, endpoint: &Address) -> Self {
        self.endpoint = Some(endpoint.clone());
        self
    }

    /// The same, with the topic that it was about.
    pub(crate) fn about(mut self, topic: &str) -> Self {
        self.topic = Some(topic.to_owned());
        self
    }

    /// The same, once a first call has succeeded: what only a restart can explain will pass.
    pub(crate) fn since_start(mut self) -> Self {
        if self.only_at_start {
            self.kind = Unavailable;
        }
        self
    }

    /// Whether somebody has to mend what we want, or who we are.
    pub(crate) fn is_about_us(&self) -> bool {
        matches!(self.kind, Config | Unauthorized)
    }

    /// Whether the server has forgotten who we are, or never knew: settings have to be sent again.
    pub(crate) fn needs_settings(&self) -> bool {
        match self.code {
            Some(code::UNRECOGNIZED_CLIENT_TYPE) => true,
            Some(code::INTERNAL_SERVER_ERROR) => {
                self.message.contains("settings") && self.message.contains("null")
            }
            _ => false,
        }
    }
}

/// The status of an answer has to be one of the good ones.
///
/// # Errors
/// If it is not, or is missing.
pub(crate) fn check(operation: &'static str, status: Option<&pb::Status>) -> Result<(), Failure> {
    match status {
        Some(status) if matches!(status.code, code::OK | code::MULTIPLE_RESULTS) => Ok(()),
        Some(status) => Err(Failure::refused(operation, status)),
        None => Err(Failure::new(
            Unexpected,
            operation,
            "the answer has no status",
        )),
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let mut error = Self::new(failure.kind, failure.operation, failure.message);
        if let Some(topic) = failure.topic {
            error = error.with_context("topic", topic);
        }
        if let Some(code) = failure.code {
            error = error.with_context("code", code);
        }
        if let Some(endpoint) = failure.endpoint {
            error = error.with_context("endpoint", endpoint);
        }
        error
    }
}

/// What a remote says, made fit for an error: one line, not too long.
pub(crate) fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
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
