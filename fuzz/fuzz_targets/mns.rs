//! What MNS answers.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| eventlane_mns::fuzz::answer(bytes));
