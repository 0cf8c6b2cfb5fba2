//! What goes on around a pipeline.

use std::{
    io::{IsTerminal, stderr},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, error::ErrorKind::DisplayHelp};
use eventlane::{Error, ErrorKind, Pipeline, Report};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

use crate::Delivery;

/// Runs a program: reads the flags, builds a pipeline, runs it until SIGTERM or SIGINT, and
/// reports.
///
/// Errors are one line on standard error that begins with the program's name; `RUST_LOG=info` shows
/// what goes on.
pub async fn run<O: Parser>(
    name: &str,
    delivery: impl FnOnce(&O) -> &Delivery,
    pipeline: impl AsyncFnOnce(O) -> Result<Pipeline, Error>,
) -> ExitCode {
    let fail = |error: &dyn std::fmt::Display| {
        eprintln!("{name}: {error}");
        ExitCode::FAILURE
    };
    let options = match O::try_parse() {
        Ok(options) => options,
        Err(error) if error.kind() == DisplayHelp => error.exit(),
        Err(error) => return fail(&usage(&error)),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .init();
    let delivery = delivery(&options);
    let report_json = delivery.report_json.clone();
    if let Some(every) = delivery.tasks_every {
        tokio::spawn(count_tasks(every));
    }
    let carried = async {
        let (result, report) = match pipeline(options).await?.run_until(shutdown()?).await {
            Ok(report) => (Ok(()), report),
            Err(ended) => (Err(ended.error), ended.report),
        };
        if let Some(path) = report_json {
            let json = serde_json::to_vec_pretty(&report).expect("numbers can be written as JSON");
            std::fs::write(&path, json).map_err(|error| {
                wrong(format!("can't write the report: {error}"))
                    .with_context("file", path.display())
            })?;
        }
        result.map(|()| report)
    };
    let carried: Result<Report, Error> = carried.await;
    match carried {
        Ok(report) => {
            eprintln!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// Resolves at the first SIGTERM or SIGINT; the second ends the process.
fn shutdown() -> Result<impl Future<Output = ()>, Error> {
    let listen =
        |kind| signal(kind).map_err(|error| wrong(format!("can't listen for signals: {error}")));
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        eprintln!("stopping; a second signal stops at once");
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(1);
        });
    })
}

/// Those of the pipeline, its source and its sink, and the one that counts: a number that rises for
/// hours is a leak.
async fn count_tasks(every: Duration) {
    // No interval is nothing to wait for.
    let mut interval = tokio::time::interval(every.max(Duration::from_millis(10)));
    loop {
        interval.tick().await;
        let tasks = Handle::current().metrics().num_alive_tasks();
        eprintln!("tasks: {tasks}");
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Config, "start", message)
}

/// The first paragraph of clap's message as one line.
fn usage(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .map(str::trim);
    let line = first.collect::<Vec<_>>().join(" ");
    format!(
        "{}; --help lists the flags",
        line.trim_start_matches("error: ")
    )
}
