//! Against a real Apache RocketMQ.
