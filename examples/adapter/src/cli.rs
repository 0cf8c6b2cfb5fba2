//! The command line.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{self, Loaded},
    exit::Exit,
    explain, logs, run,
};

/// Carries Kafka, RocketMQ, SQS and MNS to HTTP endpoints as CloudEvents, in order, and loses none.
#[derive(Parser, Debug)]
#[command(name = "eventlane-adapter", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,

    /// How logs are written
    #[arg(long, value_enum, default_value = "auto", global = true)]
    log_format: logs::Format,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Carries messages until SIGTERM or SIGINT, then drains; a second signal stops at once
    Run(Run),
    /// Shows the configuration in effect: defaults filled in, secrets left out
    Explain(Files),
}

#[derive(Args, Debug)]
struct Files {
    /// YAML files; `-` is standard input
    #[arg(required = true, value_name = "CONFIG")]
    files: Vec<PathBuf>,
}

impl Files {
    fn load(&self) -> Result<Loaded, Exit> {
        config::load(&self.files).map_err(|error| {
            eprintln!("{error}");
            Exit::Config
        })
    }
}

#[derive(Args, Debug)]
struct Run {
    #[command(flatten)]
    files: Files,
    /// Where health and metrics are served [default: what the configuration says, else
    /// 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// How long a stop may take, such as 20s [default: what the configuration says, else 25s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    grace: Option<Duration>,
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    command(cli).unwrap_or_else(|exit| exit).into()
}

fn command(cli: Cli) -> Result<Exit, Exit> {
    match cli.command {
        Command::Run(options) => {
            let mut loaded = options.files.load()?;
            logs::start(cli.log_format);
            let config = &mut loaded.config;
            config.listen = options.listen.or(config.listen);
            if options.grace.is_some() {
                config.grace = options.grace;
            }
            Ok(run::run(loaded.config))
        }
        Command::Explain(files) => {
            print!("{}", explain::explain(&files.load()?));
            Ok(Exit::Done)
        }
    }
}

/// As in a configuration file.
fn duration(text: &str) -> Result<Duration, String> {
    let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        serde::de::IntoDeserializer::into_deserializer(text);
    eventlane::duration::deserialize(text)
        .map_err(|_| "it must be a duration such as 500ms, 10s or 2m".to_owned())
}
