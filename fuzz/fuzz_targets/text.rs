//! Timestamps and durations.

#![no_main]

use std::time::Duration;

use eventlane::event::Timestamp;
use libfuzzer_sys::fuzz_target;

#[derive(serde::Deserialize)]
struct Wait(#[serde(deserialize_with = "eventlane::duration::deserialize")] Duration);

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(time) = Timestamp::parse(text) {
        assert_eq!(time.as_str(), text);
        let millis = time.unix_millis();
        let again = Timestamp::from_unix_millis(millis);
        assert!(millis != again.unix_millis() || Timestamp::parse(&again.as_str()).is_ok());
    }
    for json in [text.to_owned(), serde_json::Value::from(text).to_string()] {
        if let Ok(Wait(wait)) = serde_json::from_str(&json) {
            assert!(wait <= Duration::MAX);
        }
    }
});
