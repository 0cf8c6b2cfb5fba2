//! HTTP messages: lines of headers, an empty line, the body.

#![no_main]

use bytes::Bytes;
use eventlane::event::http::{Message, read, write_binary};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let mut headers = HeaderMap::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line;
        (line, rest) = (&rest[..end], &rest[end + 1..]);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            break;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&line[colon + 1..])) {
            headers.append(name, value);
        }
    }
    if let Ok(Message::One(event)) = read(&headers, Bytes::copy_from_slice(rest)) {
        // What was read can be written, and is then read as an event with the same name.
        let mut headers = HeaderMap::new();
        let body = write_binary(&event, &mut headers);
        if let Ok(Message::One(again)) = read(&headers, body) {
            assert_eq!((again.id(), again.source()), (event.id(), event.source()));
        }
    }
});
