use super::*;

/// What the engine has to hear for each code, whatever the status.
const EXPECTED: &[(&str, ErrorKind)] = &[
    ("MessageNotExist", Fenced),
    ("ReceiptHandleError", Fenced),
    ("QueueNotExist", Config),
    ("AccessDenied", Unauthorized),
    ("InvalidAccessKeyId", Unauthorized),
    ("SignatureDoesNotMatch", Unauthorized),
    ("InvalidSecurityToken", Unauthorized),
    ("SecurityTokenExpired", Unauthorized),
    ("TimeExpired", Config),
    ("InvalidDateHeader", Config),
    ("TooManyRequests", Throttled),
    ("QpsLimitExceeded", Throttled),
    ("InternalError", Unavailable),
    ("InternalServerError", Unavailable),
    ("ServiceUnavailable", Unavailable),
    ("InvalidQueueName", Config),
    ("QueueNameLengthError", Config),
    ("InvalidRequestURL", Config),
    ("InvalidArgument", Rejected),
    ("InvalidQueryString", Rejected),
    ("MalformedXML", Rejected),
    ("InvalidDigest", Rejected),
    ("InvalidDegist", Rejected),
    ("InvalidContentType", Rejected),
    ("MissingAuthorizationHeader", Rejected),
    ("MissingDateHeader", Rejected),
    ("MissingVersionHeader", Rejected),
    ("InvalidVersion", Rejected),
    ("QueueAlreadyExist", Config),
    ("QueueDeletedRecently", Config),
];

#[test]
fn every_code_is_known_by_itself() {
    assert_eq!(EXPECTED.len(), CODES.len());
    for (code, kind) in EXPECTED {
        for status in [400, 403, 404, 429, 503] {
            assert_eq!(classify(status, code, "").0, *kind, "{code}");
        }
    }
}

#[test]
fn unknown_codes_go_by_status() {
    for (status, kind) in [
        (301, Config),
        (400, Rejected),
        (401, Unauthorized),
        (403, Unauthorized),
        (404, Config),
        (405, Rejected),
        (408, Unavailable),
        (429, Throttled),
        (500, Unavailable),
        (502, Unavailable),
        (599, Unavailable),
        (600, ErrorKind::Unexpected),
    ] {
        assert_eq!(classify(status, "Whatever", "").0, kind, "{status}");
        assert_eq!(classify(status, "", "").0, kind, "{status}");
    }
    let limited = classify(403, "", "Denied by cluster Flow Limiter");
    assert_eq!(limited.0, Throttled);
}

fn refusal() -> Refusal {
    Refusal {
        operation: "receive messages",
        queue: "orders".to_owned(),
        status: 404,
        code: "QueueNotExist".to_owned(),
        message: "The queue name\nyou provided is not exist.".to_owned(),
        request_id: Some("5F29".to_owned()),
        ..Refusal::default()
    }
}

#[test]
fn one_line_says_it_all() {
    assert_eq!(
        Error::from(refusal()).to_string(),
        "receive messages: QueueNotExist; The queue name you provided is not exist.; create the queue, or correct its name, the \
         endpoint's region or its account (queue: orders, status: 404, request id: 5F29)"
    );
    let silent = Refusal {
        status: 500,
        code: String::new(),
        message: String::new(),
        request_id: None,
        retry_after: Some(Duration::from_secs(3)),
        ..refusal()
    };
    let error = Error::from(silent);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    assert_eq!(error.kind(), Unavailable);
    assert_eq!(
        error.to_string(),
        "receive messages: the server refuses without a reason (queue: orders, status: 500)"
    );
}

#[test]
fn what_a_remote_says_is_cut_short() {
    let long = "ä\n".repeat(1_000_000);
    let line = one_line(&long);
    assert_eq!(line.chars().count(), 301);
    assert!(!line.contains('\n'));
    assert_eq!(one_line("a\u{1b}[31m\0b"), "a [31m b");
}
