//! The command line.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use axum::http::StatusCode;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use eventlane::sink::{
    HttpSink, HttpSinkConfig,
    http::{Credentials, Secret},
};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use tracing::info;

use crate::{
    check,
    config::{self, Loaded},
    display,
    exit::Exit,
    explain, logs,
    replay::{self, Replay},
    run, schema,
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
    /// Finds out whether a configuration would work; nothing is consumed, committed or delivered
    Check(Files),
    /// Shows the configuration in effect: defaults filled in, secrets left out
    Explain(Files),
    /// Writes the JSON Schema of the configuration, for editors
    Schema,
    /// Sends a file of dead letters to an endpoint, in order; goes on where it was stopped
    Replay(ReplayTo),
    /// Serves an endpoint and a page that shows what it is sent
    Display(Display),
    /// Writes completions for a shell
    Completions {
        /// Which
        shell: Shell,
    },
}

#[derive(Args, Debug)]
struct Files {
    /// YAML files: configurations, or resources such as a KafkaSource; `-` is standard input
    #[arg(required = true, value_name = "CONFIG")]
    files: Vec<PathBuf>,
    /// Where the secrets are mounted that resources refer to: DIR/<secret>/<key>
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
}

impl Files {
    fn load(&self) -> Result<Loaded, Exit> {
        config::load(&self.files, self.secrets.as_deref()).map_err(|error| {
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

#[derive(Args, Debug)]
struct ReplayTo {
    /// The file of dead letters
    file: PathBuf,
    /// Where to send them
    #[arg(long, value_name = "URL")]
    to: String,
    /// Letters a second [default: as fast as they are taken]
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// A file with a bearer token to send along
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// From the beginning, whatever was replayed before
    #[arg(long)]
    again: bool,
    /// Leave out what the endpoint rejects, and lines that hold no event, instead of stopping there
    #[arg(long)]
    skip_rejected: bool,
}

#[derive(Args, Debug)]
struct Display {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// What events are answered
    #[arg(long, value_name = "STATUS", default_value = "204")]
    status: StatusCode,
    /// Print each event as a line of JSON, too
    #[arg(long)]
    print: bool,
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    command(cli).unwrap_or_else(|exit| exit).into()
}

fn command(cli: Cli) -> Result<Exit, Exit> {
    match cli.command {
        Command::Run(options) => {
            let loaded = options.files.load()?;
            let _logs = logs::start(cli.log_format);
            loaded.notes.iter().for_each(|note| info!("{note}"));
            let options = run::Options {
                files: options.files.files,
                secrets: options.files.secrets,
                listen: options.listen,
                grace: options.grace,
            };
            Ok(run::run(&options, loaded.config))
        }
        Command::Check(files) => {
            let loaded = files.load()?;
            for note in &loaded.notes {
                eprintln!("note: {note}");
            }
            let _logs = logs::start_quietly(cli.log_format);
            Ok(within(async |_| check::check(&loaded.config).await))
        }
        Command::Explain(files) => {
            let loaded = files.load()?;
            for note in &loaded.notes {
                eprintln!("note: {note}");
            }
            print!("{}", explain::explain(&loaded));
            Ok(Exit::Done)
        }
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&schema::schema());
            println!("{}", schema.expect("a schema can be written as JSON"));
            Ok(Exit::Done)
        }
        Command::Replay(options) => {
            let _logs = logs::start(cli.log_format);
            let mut sink = HttpSinkConfig::new(options.to);
            if let Some(token) = options.token {
                sink = sink.with_auth(Credentials::bearer(Secret::file(token)));
            }
            let sink = HttpSink::new(sink).map_err(|error| {
                eprintln!("error: {error}");
                Exit::Config
            })?;
            let replay = Replay {
                file: options.file,
                rate: options.rate,
                again: options.again,
                skip_rejected: options.skip_rejected,
            };
            Ok(within(async |stop| {
                replay::replay(&replay, &sink, &stop).await
            }))
        }
        Command::Display(options) => {
            let _logs = logs::start(cli.log_format);
            let how = display::Options {
                status: options.status,
                print: options.print,
            };
            Ok(within(async |stop| show(options.listen, how, stop).await))
        }
        Command::Completions { shell } => {
            let mut command = Cli::command();
            let name = command.get_name().to_owned();
            clap_complete::generate(shell, &mut command, name, &mut std::io::stdout());
            Ok(Exit::Done)
        }
    }
}

async fn show(listen: SocketAddr, how: display::Options, stop: CancellationToken) -> Exit {
    let ready = |address| eprintln!("Events to http://{address}/ are shown there; Ctrl-C ends it.");
    match display::serve(listen, how, stop, ready).await {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("error: can't serve at {listen}: {error}");
            Exit::Failed
        }
    }
}

/// On a runtime, with something that is cancelled by SIGTERM and SIGINT.
fn within(work: impl AsyncFnOnce(CancellationToken) -> Exit) -> Exit {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime.inspect_err(|error| eprintln!("error: no runtime: {error}")) else {
        return Exit::Failed;
    };
    runtime.block_on(async {
        let stop = CancellationToken::new();
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let Ok(mut signals) = signal(kind) else {
                continue;
            };
            let stop = stop.clone();
            tokio::spawn(async move {
                signals.recv().await;
                stop.cancel();
            });
        }
        work(stop).await
    })
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "it must be a number from 0.001 to 1000000".to_owned())
}

/// As in a configuration file.
fn duration(text: &str) -> Result<Duration, String> {
    let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        serde::de::IntoDeserializer::into_deserializer(text);
    eventlane::duration::deserialize(text)
        .map_err(|_| "it must be a duration such as 500ms, 10s or 2m".to_owned())
}
