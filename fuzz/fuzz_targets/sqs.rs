//! A message of SQS: lines of attributes, an empty line, the body.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| eventlane_sqs::fuzz::message(bytes));
