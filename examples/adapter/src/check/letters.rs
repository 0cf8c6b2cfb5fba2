//! Whether dead letters can be kept.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use eventlane::{Error, ErrorKind, Sink};
use eventlane_kafka::{KafkaSink, KafkaSinkConfig};
use eventlane_mns::MnsQueue;

use super::{Found, sink};
use crate::config::DeadLetterConfig;

pub(super) async fn check(letters: Option<&DeadLetterConfig>) -> Option<Found> {
    Some(match letters? {
        DeadLetterConfig::Http(letters) => sink::check(&letters.endpoint).await,
        DeadLetterConfig::File(path) => check_file(path),
        DeadLetterConfig::Broker => Ok("RocketMQ's own, of the group".to_owned()),
        DeadLetterConfig::Kafka(config) => topic(config).await,
        DeadLetterConfig::Mns(config) => match MnsQueue::connect((**config).clone()).await {
            Ok(_) => Ok(format!("MNS at {}: {}", config.endpoint, config.queue)),
            Err(error) => Err(error),
        },
    })
}

/// Whether a topic is there, and its brokers answer. Nothing is produced.
pub(super) async fn topic(config: &KafkaSinkConfig) -> Found {
    let sink = KafkaSink::connect(config.clone()).await?;
    Ok(format!("{} is there", Sink::destination(&sink)))
}

/// Leaves nothing behind: a file that is not there yet is not made, but its directory is tried.
fn check_file(path: &Path) -> Found {
    let shown = path.display();
    match writable(path) {
        Ok(()) => Ok(format!("{shown} can be written")),
        Err(error) => {
            let reason = format!("{error}; choose a file in a directory that can be written to");
            let error = Error::new(ErrorKind::Config, "check dead-letter file", reason);
            Err(error.with_context("file", shown))
        }
    }
}

fn writable(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).open(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Pipelines that are reloaded check side by side.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Relaxed));
    let probe = directory.join(format!(".eventlane-check-{process}-{number}"));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)?;
    fs::remove_file(&probe)
}
