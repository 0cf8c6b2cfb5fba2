//! The JSON format: what is read is written, and read again as the same.

#![no_main]

use bytes::Bytes;
use eventlane::event::{Data, json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(event) = json::read(&bytes) {
        let mut out = Vec::new();
        json::write(&event, &mut out);
        assert_eq!(json::read(&out.into()).as_ref(), Ok(&event));
    }
    if let Ok(events) = json::read_batch(&bytes) {
        let mut out = Vec::new();
        json::write_batch(&events, &mut out);
        assert_eq!(json::read_batch(&out.into()), Ok(events));
    }
    drop(Data::json(bytes));
});
