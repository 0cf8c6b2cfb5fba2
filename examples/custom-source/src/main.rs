//! Delivers the files of a directory: to an HTTP endpoint, or to the terminal.
//!
//! ```sh
//! mkdir inbox && echo '{"gift": "rose"}' > inbox/0001-alice.json
//! cargo run -p custom-source -- inbox                                     # prints
//! cargo run -p custom-source -- inbox --sink http://localhost:8080/events # posts
//! ```
//!
//! The source is in `directory.rs`. Everything else (order by key, retries, batches, drain) comes
//! with the pipeline.

mod directory;

#[cfg(test)]
mod tests;

use std::{convert::Infallible, error::Error, path::PathBuf, process::ExitCode};

use clap::Parser;
use eventlane::{
    Event, Pipeline, Report,
    sink::{FunctionSink, HttpSink, HttpSinkConfig},
};
use tracing_subscriber::filter::LevelFilter;

use directory::Directory;

/// Delivers the files of a directory as CloudEvents, and moves them to its subdirectory `done`.
#[derive(Parser)]
struct Arguments {
    /// The directory. `0001-alice.json` comes before `0002-bob.json`; files of one name after the
    /// dash stay in order.
    inbox: PathBuf,
    /// Where to post the events. They are printed otherwise.
    #[arg(long, value_name = "URL")]
    sink: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse()).await {
        Ok(report) => {
            eprintln!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<Report, Box<dyn Error>> {
    let source = Directory::open(arguments.inbox).await?;
    let pipeline = match arguments.sink {
        Some(url) => Pipeline::new(source, HttpSink::new(HttpSinkConfig::new(url))?),
        None => Pipeline::new(source, FunctionSink::new(print)),
    };
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    Ok(pipeline.with_name("custom-source").run_until(stop).await?)
}

async fn print(event: Event) -> Result<(), Infallible> {
    let data = event
        .data()
        .map(|data| String::from_utf8_lossy(data.as_bytes()));
    println!("{}: {}", event.id(), data.unwrap_or_default());
    Ok(())
}
