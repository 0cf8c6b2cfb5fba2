//! Logs on standard error: for people on a terminal, JSON elsewhere. With the feature `otlp`, traces
//! as well.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

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

/// Whatever has to be told of the end of the process.
#[derive(Debug, Default)]
#[must_use = "traces are sent as long as it lives"]
pub struct Logs {
    #[cfg(feature = "otlp")]
    _traces: Option<crate::otlp::Traces>,
}

/// Sends logs to standard error, as far as `RUST_LOG` wants them; `info` unless it is set.
pub fn start(format: Format) -> Logs {
    start_at(format, "info")
}

/// The same for a command that says itself what is of interest: nothing unless `RUST_LOG` is set.
pub fn start_quietly(format: Format) -> Logs {
    start_at(format, "off")
}

fn start_at(format: Format, level: &str) -> Logs {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let terminal = stderr().is_terminal();
    let json = match format {
        Format::Json => true,
        Format::Text => false,
        Format::Auto => !terminal,
    };
    let lines = match json {
        true => lines.json().flatten_event(true).boxed(),
        false => lines.with_ansi(terminal).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    #[cfg(feature = "otlp")]
    if let Some((layer, traces)) = crate::otlp::traces() {
        subscriber.with(layer).init();
        return Logs {
            _traces: Some(traces),
        };
    }
    subscriber.init();
    Logs::default()
}
