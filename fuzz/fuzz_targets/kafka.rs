//! A commit's metadata behind its offset in eight bytes; and the same bytes as a record: a line that is its key,
//! lines of headers, an empty line, the value.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((offset, text)) = bytes.split_first_chunk() {
        eventlane_kafka::fuzz::metadata(u64::from_le_bytes(*offset) >> 1, text);
    }
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let key = lines.next().unwrap_or_default();
    let (mut headers, mut at) = (Vec::new(), key.len() + 1);
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        at += line.len() + 1;
        let colon = line.iter().position(|byte| *byte == b':');
        headers.push(colon.map_or((line, None), |at| (&line[..at], Some(&line[at + 1..]))));
    }
    let value = bytes.get(at + 1..).unwrap_or_default();
    eventlane_kafka::fuzz::record(key, &headers, value);
});
