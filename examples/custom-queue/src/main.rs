//! A queue of one's own as the source: the files of a directory, on lease.
//!
//! ```sh
//! mkdir spool && echo hello > spool/1
//! cargo run -p custom-queue -- --directory spool --sink http://localhost:8080/
//! ```
//!
//! [`spool`] is all that it takes; long polls, leases, retries and the rest are eventlane's.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use eventlane::{Error, Pipeline, queue::Poller};
use eventlane_example_flags::{Delivery, seconds};

mod spool;
#[cfg(test)]
mod tests;

/// Carries the files of a directory to an HTTP endpoint as CloudEvents.
#[derive(Parser)]
struct Options {
    /// The directory; several processes may share it
    #[arg(long, value_name = "PATH")]
    directory: PathBuf,
    /// How long a file that was taken belongs to whoever took it, unless they ask for more time
    #[arg(long, default_value = "30", value_name = "SECS", value_parser = seconds)]
    lease: Duration,

    #[command(flatten)]
    delivery: Delivery,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    eventlane_example_flags::run(
        "custom-queue",
        |options: &Options| &options.delivery,
        pipeline,
    )
    .await
}

async fn pipeline(options: Options) -> Result<Pipeline, Error> {
    let prepared = options.delivery.prepare()?;
    let queue = spool::Spool::open(options.directory, options.lease)?;
    Ok(options
        .delivery
        .pipeline("custom-queue", Poller::new(queue), prepared))
}
