//! What endpoints say that should not. Which of it has to count for a delivery: a whole head with 2xx,
//! whatever follows.

use std::time::Duration;

use eventlane_testkit::sink::{Act, Then, When};

const LATER: Duration = Duration::from_millis(20);

/// The beginning of an HTTP/2 connection as a server makes it, after that of a client.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// Answers that do not come, or stop coming.
pub(crate) fn hanging() -> Vec<Act> {
    let hang = |name, says: &str| Act::taken(name, says, Then::Hang);
    vec![
        hang("no answer", ""),
        hang("half a status line", "HTTP/1.1 20"),
        hang(
            "half a head",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-a: b",
        ),
        hang("no body", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n").confirming(),
        hang(
            "half a body",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\nabc",
        )
        .confirming(),
        hang(
            "no body of a failure",
            "HTTP/1.1 503 Busy\r\ncontent-length: 100\r\n\r\n",
        )
        .when(When::Refused),
        hang("no end of what is early", "HTTP/1.1 ").when(When::Begun),
    ]
}

/// A byte at a time.
pub(super) fn trickling() -> Vec<Act> {
    let trickle = |name, says: &str, what: &str, every| {
        let every = Duration::from_millis(every);
        Act::taken(name, says, Then::Trickle(what.into(), every))
    };
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
    const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 1000000\r\n\r\n";
    vec![
        trickle("a status line", "HTTP/1.1 ", "2", 1_000),
        trickle("a header's value", "HTTP/1.1 200 OK\r\nx-a: ", "a", 50),
        trickle("headers", "HTTP/1.1 200 OK\r\n", "x-a: a\r\n", 100),
        trickle("a body, a byte a second", OK, "a", 1_000).confirming(),
        trickle("a body", OK, "a", 20).confirming(),
        trickle("a body of a failure", BUSY, "a", 50).when(When::Refused),
        trickle(
            "chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "1\r\na\r\n",
            50,
        )
        .confirming(),
        trickle(
            "interim answers",
            "",
            "HTTP/1.1 103 Early Hints\r\n\r\n",
            50,
        ),
    ]
}

/// More than anybody wants.
pub(super) fn endless() -> Vec<Act> {
    let flood = |name, says: &str, what: &str| {
        Act::taken(
            name,
            says,
            Then::Flood(what.repeat(16 * 1024 / what.len()).into()),
        )
    };
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n";
    const BUSY: &str = "HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n";
    const CHUNK: &str = "8\r\nabcdefgh\r\n";
    let large = format!(
        "HTTP/1.1 204 No Content\r\nx-a: {}\r\n\r\n",
        "a".repeat(2 << 20)
    );
    vec![
        flood("a status line", "HTTP/1.1 200 ", "a"),
        flood("a header's value", "HTTP/1.1 200 OK\r\nx-a: ", "a"),
        flood("headers", "HTTP/1.1 200 OK\r\n", "x-a: a\r\n"),
        flood("a body", OK, "a").confirming(),
        flood("chunks of a failure", BUSY, CHUNK).when(When::Refused),
        flood(
            "a chunk's extension",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
            "a",
        )
        .confirming(),
        flood("interim answers", "", "HTTP/1.1 100 Continue\r\n\r\n"),
        Act::taken("a header of 2 MiB", large, Then::Next),
    ]
}

/// What is no answer, or one that breaks off, or more than one.
pub(crate) fn malformed() -> Vec<Act> {
    let says = |name, says: &str| Act::taken(name, says, Then::Close);
    let counts = |name, says: &str, then| Act::taken(name, says, then).confirming();
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    const GOOD: &str = "HTTP/1.1 204 No Content\r\n\r\n";
    let interim = |times| "HTTP/1.1 100 Continue\r\n\r\n".repeat(times) + GOOD;
    vec![
        says("garbage", "\0\u{7f}\u{ffff}\r\n\r\n"),
        says("another protocol", "SSH-2.0-OpenSSH_9.2\r\n"),
        Act::taken("HTTP/2", HTTP2, Then::Hang),
        says("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"),
        says("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"),
        says("a status that is none", "HTTP/1.1 999 What\r\n\r\n"),
        says(
            "a line that is no header",
            "HTTP/1.1 200 OK\r\nhello\r\n\r\n",
        ),
        says(
            "two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde",
        ),
        says(
            "a length that is none",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        ),
        says("a head that breaks off", "HTTP/1.1 200 OK\r\nx-a: "),
        says("no answer", ""),
        Act::taken("a reset", "", Then::Reset),
        // These have taken nothing: it would be lost if it counted.
        says("garbage to what was not taken", "garbage\r\n\r\n").when(When::Refused),
        says("no answer to what was not taken", "").when(When::Refused),
        says(
            "another protocol from now on",
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        ),
        counts(
            "a size that is none",
            &format!("{CHUNKED}zz\r\n"),
            Then::Close,
        ),
        counts(
            "a size beyond all",
            &format!("{CHUNKED}{}\r\n", "f".repeat(20)),
            Then::Close,
        ),
        counts(
            "a chunk that breaks off",
            &format!("{CHUNKED}a\r\nabc"),
            Then::Close,
        ),
        counts(
            "a body that breaks off",
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc",
            Then::Close,
        ),
        counts(
            "a body that is reset",
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc",
            Then::Reset,
        ),
        // What follows must not be taken for the answer to the next request.
        counts("two answers", &GOOD.repeat(2), Then::Next),
        counts(
            "more than its length",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabcdef",
            Then::Next,
        ),
        counts(
            "a body where there is none",
            "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
            Then::Next,
        ),
        counts(
            "a length and chunks",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Then::Next,
        ),
        counts("an interim answer first", &interim(1), Then::Next),
        counts("fifty interim answers first", &interim(50), Then::Next),
        counts(
            "the old protocol",
            "HTTP/1.0 200 OK\r\n\r\nabc",
            Then::Close,
        ),
    ]
}

/// What is said to nobody, or before anybody has asked.
pub(super) fn early() -> Vec<Act> {
    const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const SLOW: &str =
        "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const LARGE: &str = "HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
    const GOOD: &str = "HTTP/1.1 204 No Content\r\n\r\n";
    let begun = |name, says: &str, then| Act::taken(name, says, then).when(When::Begun);
    let accepted = |name, says: &[u8], then| Act::taken(name, says, then).when(When::Accepted);
    vec![
        begun("busy", BUSY, Then::Close),
        begun("busy, and a reset", BUSY, Then::Reset),
        begun("too slow", SLOW, Then::Close),
        begun("too large", LARGE, Then::Close),
        begun("the end", "", Then::Close),
        begun("a reset", "", Then::Reset),
        // As balancers do with connections that nobody uses, just when somebody does.
        Act::taken("too slow, later", GOOD, Then::Later(SLOW.into(), LATER)).confirming(),
        Act::taken("the end, later", GOOD, Then::Later(Vec::new(), LATER)).confirming(),
        accepted("HTTP/2 at once", HTTP2, Then::Close),
        accepted("a greeting", b"220 mail ready\r\n", Then::Hang),
        accepted("too slow at once", SLOW.as_bytes(), Then::Close),
        accepted("the end at once", b"", Then::Close),
        accepted("a reset at once", b"", Then::Reset),
    ]
}
