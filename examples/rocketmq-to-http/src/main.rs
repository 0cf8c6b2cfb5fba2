//! Carries topics of a RocketMQ 5 to an HTTP endpoint as CloudEvents.
//!
//! ```sh
//! cargo run --release -p rocketmq-to-http -- --sink http://localhost:8080/ \
//!     --endpoint localhost:8081 --topic orders --group billing --filter-tag 'card || cash'
//! ```
//!
//! Runs until SIGTERM or SIGINT, then finishes what is in flight, lets the receives under way end
//! and gives back what is not done; a second signal stops at once. The flags about the delivery are
//! those of every such example: `examples/flags` has them.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use eventlane::{Error, Pipeline};
use eventlane_example_flags::{Delivery, seconds};
use eventlane_rocketmq::{Credentials, RocketMqConfig, RocketMqQueue, Subscription};

/// Carries topics of a RocketMQ 5 to an HTTP endpoint as CloudEvents, and loses no message.
#[derive(Parser)]
struct Options {
    /// The proxy's gRPC endpoint; https:// in front means TLS
    #[arg(long, value_name = "HOST:PORT")]
    endpoint: String,
    /// A topic; can be repeated
    #[arg(long = "topic", required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// The consumer group
    #[arg(long)]
    group: String,
    /// Only messages with one of these tags: 'a || b'
    #[arg(long, value_name = "TAGS", conflicts_with = "filter_sql")]
    filter_tag: Option<String>,
    /// Only messages of which this SQL92 expression is true
    #[arg(long, value_name = "EXPR")]
    filter_sql: Option<String>,
    /// [default: what ROCKETMQ_ACCESS_KEY says]
    #[arg(long, value_name = "KEY", requires = "secret_key")]
    access_key: Option<String>,
    /// [default: what ROCKETMQ_SECRET_KEY says, which other users of the machine can't see]
    #[arg(long, value_name = "KEY", requires = "access_key")]
    secret_key: Option<String>,
    /// How long a message is ours, unless its delivery takes longer
    #[arg(long, default_value = "60", value_name = "SECS", value_parser = seconds)]
    lease: Duration,
    /// How long a receive waits for messages; a stop takes up to so long
    #[arg(long, default_value = "20", value_name = "SECS", value_parser = seconds)]
    wait: Duration,

    #[command(flatten)]
    delivery: Delivery,
}

const NAME: &str = "rocketmq-to-http";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    eventlane_example_flags::run(NAME, |options: &Options| &options.delivery, pipeline).await
}

/// Everything is checked before a connection is made, and the group before the first message is received.
async fn pipeline(options: Options) -> Result<Pipeline, Error> {
    let prepared = options.delivery.prepare()?;
    let mut config = RocketMqConfig::new(options.endpoint, options.group);
    for topic in options.topics {
        let subscription = Subscription::new(topic);
        config = config.with_topic(match (&options.filter_tag, &options.filter_sql) {
            (Some(tags), _) => subscription.with_tags(tags),
            (None, Some(expression)) => subscription.with_sql(expression),
            (None, None) => subscription,
        });
    }
    config.credentials = match options.access_key.zip(options.secret_key) {
        Some((access_key, secret_key)) => Some(Credentials::new(access_key, secret_key)),
        None => Credentials::from_env()?,
    };
    (config.lease, config.wait) = (options.lease, options.wait);
    let source = RocketMqQueue::connect(config).await?.into_source();
    let prepared = prepared.with_broker(source.dead_letters());
    Ok(options.delivery.pipeline(NAME, source, prepared))
}
