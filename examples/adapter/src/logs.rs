//! Logs on standard error: for people on a terminal, JSON elsewhere.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// One line of text for people.
    Text,
    /// One line of JSON.
    Json,
}

/// Sends logs to standard error, as far as `RUST_LOG` wants them; `info` unless it is set.
pub fn start(format: Format) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr);
    let terminal = stderr().is_terminal();
    match format {
        Format::Json => logs.json().flatten_event(true).init(),
        Format::Auto if !terminal => logs.json().flatten_event(true).init(),
        Format::Auto | Format::Text => logs.with_ansi(terminal).init(),
    }
}
