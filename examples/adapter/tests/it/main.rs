//! The program from outside: its files, its signals, its ports.

mod checking;
mod commands;
mod config;
mod conforms;
#[path = "../../../../connectors/mns/tests/it/fake/mod.rs"]
#[expect(dead_code, reason = "the connector's own tests need more of it")]
mod fake_mns;
mod fakes;
mod image;
mod knative;
mod operating;
#[cfg(feature = "otlp")]
mod otlp;
mod queues;
mod reloading;
mod running;
mod support;
