//! Messages of Kafka and RocketMQ: lines of headers, an empty line, the value.

#![no_main]

use bytes::Bytes;
use eventlane::event::headers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let mut lines = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line;
        (line, rest) = (&rest[..end], &rest[end + 1..]);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            break;
        };
        if let Ok(name) = std::str::from_utf8(&line[..colon]) {
            lines.push((name, Some(&line[colon + 1..])));
        }
    }
    let value = Some(Bytes::copy_from_slice(rest));
    if let Ok(Some(event)) = headers::read(lines.into_iter(), value) {
        let (written, value) = headers::write(&event);
        let written = written.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice())));
        let again = headers::read(written, value).expect("it was written").expect("an event");
        assert_eq!((again.id(), again.data()), (event.id(), event.data()));
    }
});
