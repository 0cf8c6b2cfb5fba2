//! Carries a queue of Amazon SQS or Alibaba Cloud MNS to an HTTP endpoint as CloudEvents.
//!
//! ```sh
//! cargo run --release -p queue-to-http -- --kind sqs --sink http://localhost:8080/ \
//!     --queue-url https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo
//! cargo run --release -p queue-to-http -- --kind mns --sink http://localhost:8080/ \
//!     --endpoint https://123456789012.mns.cn-hangzhou.aliyuncs.com \
//!     --queue orders --region cn-hangzhou
//! ```
//!
//! Credentials come from where their owners expect them: the AWS chain (`AWS_ACCESS_KEY_ID` and the
//! rest of it), or `ALIBABA_CLOUD_ACCESS_KEY_ID`, `ALIBABA_CLOUD_ACCESS_KEY_SECRET` and, with STS,
//! `ALIBABA_CLOUD_SECURITY_TOKEN`.
//!
//! Runs until SIGTERM or SIGINT, then finishes what is in flight, lets the receives under way end
//! and gives back what is not done; a second signal stops at once. The flags about the delivery are
//! those of every such example: `examples/flags` has them.

use std::{process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use eventlane::{
    Error, ErrorKind, Pipeline,
    queue::{Poller, PollerOptions},
};
use eventlane_example_flags::{Delivery, seconds};
use eventlane_mns::{MnsConfig, MnsQueue, Signing};
use eventlane_sqs::{SqsConfig, SqsQueue};

/// Carries a queue of SQS or MNS to an HTTP endpoint as CloudEvents, and loses no message.
#[derive(Parser)]
struct Options {
    /// Whose queue it is
    #[arg(long, value_enum)]
    kind: Kind,
    /// SQS: the queue's URL
    #[arg(long, value_name = "URL", required_if_eq("kind", "sqs"))]
    queue_url: Option<String>,
    /// MNS: the queue's name
    #[arg(long, value_name = "NAME", required_if_eq("kind", "mns"))]
    queue: Option<String>,
    /// MNS: the endpoint. SQS: another server than Amazon's
    #[arg(long, value_name = "URL", required_if_eq("kind", "mns"))]
    endpoint: Option<String>,
    /// The region. SQS: if neither the queue's URL nor the environment says it. MNS: for v4
    #[arg(long)]
    region: Option<String>,
    /// MNS: how requests are signed [default: v4 with --region, else v2]
    #[arg(long, value_enum)]
    sign: Option<Sign>,
    /// SQS: how long a message is on lease [default: the queue's visibility timeout]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    visibility: Option<Duration>,
    /// How long a receive waits for messages; a stop takes up to so long [default: what the service
    /// allows]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    wait: Option<Duration>,
    /// Receives under way at a time, at most
    #[arg(long, default_value_t = 8, value_name = "N")]
    receivers: usize,

    #[command(flatten)]
    delivery: Delivery,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Sqs,
    Mns,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sign {
    V2,
    V4,
}

const NAME: &str = "queue-to-http";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    eventlane_example_flags::run(NAME, |options: &Options| &options.delivery, pipeline).await
}

/// Everything is checked before a connection is made, and the queue before the first message is
/// received.
async fn pipeline(options: Options) -> Result<Pipeline, Error> {
    let prepared = options.delivery.prepare()?;
    let poller = PollerOptions::default().with_receivers(1..=options.receivers);
    Ok(match options.kind {
        Kind::Sqs => {
            let queue = SqsQueue::connect(sqs(&options)?).await?;
            let source = Poller::with_options(queue, poller);
            options.delivery.pipeline(NAME, source, prepared)
        }
        Kind::Mns => {
            let queue = MnsQueue::connect(mns(&options)?).await?;
            let source = Poller::with_options(queue, poller);
            options.delivery.pipeline(NAME, source, prepared)
        }
    })
}

fn sqs(options: &Options) -> Result<SqsConfig, Error> {
    let mut config = SqsConfig::new(given(options.queue_url.as_ref(), "--queue-url")?);
    config.region.clone_from(&options.region);
    config.endpoint.clone_from(&options.endpoint);
    config.visibility = options.visibility;
    config.wait = options.wait.unwrap_or(config.wait);
    Ok(config)
}

fn mns(options: &Options) -> Result<MnsConfig, Error> {
    let endpoint = given(options.endpoint.as_ref(), "--endpoint")?;
    let mut config = MnsConfig::new(endpoint, given(options.queue.as_ref(), "--queue")?);
    config.region.clone_from(&options.region);
    config.signing = options.sign.map(|sign| match sign {
        Sign::V2 => Signing::V2,
        Sign::V4 => Signing::V4,
    });
    config.wait = options.wait.unwrap_or(config.wait);
    Ok(config)
}

fn given<'a>(value: Option<&'a String>, flag: &str) -> Result<&'a str, Error> {
    let missing = || Error::new(ErrorKind::Config, "start", format!("{flag} is missing"));
    value.map(String::as_str).ok_or_else(missing)
}
