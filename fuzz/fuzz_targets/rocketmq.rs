//! What a RocketMQ server sends: a message, with its body, and what becomes of it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| eventlane_rocketmq::fuzz::message(bytes));
