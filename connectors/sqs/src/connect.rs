//! From a configuration to clients that work.
//!
//! * **Region**: the one configured; that of the queue's URL; what the environment says.
//! * **Credentials**: those configured, or the AWS chain; with a role, that of the role, which they
//!   take on. They are asked for once here, so that what is missing is said where it is missing.
//! * **Attributes**: a queue that can't be worked with is refused before anything is received.

use std::{collections::HashMap, fmt, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, profile::ProfileFileRegionProvider, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, sts::AssumeRoleProvider,
    timeout::TimeoutConfig,
};
use aws_sdk_sqs::{
    Client,
    config::{Credentials, ProvideCredentials, SharedCredentialsProvider},
    error::ProvideErrorMetadata,
    types::QueueAttributeName,
};
use eventlane::{Error, ErrorKind, Event, Result};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::{
    config::{Address, SqsConfig},
    error,
};

const CONNECT: &str = "connect to SQS";
/// Of a connection, within the time that an attempt has.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// At most, before the first repetition. The SDK's own second is long for a lease to be extended.
const BACKOFF: Duration = Duration::from_millis(200);

/// The clients of a queue.
pub(crate) struct Clients {
    /// Never tries again by itself: each attempt that is given up may have taken messages along.
    pub(crate) receiver: Client,
    /// Tries again; what it asks for can be asked twice.
    pub(crate) other: Client,
}

/// What the SDK would show is long, and nobody's business.
impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

/// Finds region and credentials. Asks whoever gives the credentials (STS, the instance, a file),
/// and SQS nothing yet.
///
/// # Errors
/// * `Config`: there is no region.
/// * `Unauthorized`: nobody has credentials, or the role may not be taken on.
/// * `Unavailable`: whoever has them does not answer within twice `request_timeout`.
pub(crate) async fn clients(config: &SqsConfig) -> Result<Clients> {
    let fail = |error: Error| error.with_context("queue", &config.queue_url);
    let mut shared = load(config).await?;
    if shared.region().is_none() {
        let reason = "no region; set region, or AWS_REGION";
        return Err(fail(Error::new(ErrorKind::Config, CONNECT, reason)));
    }
    if let Some(role) = &config.assume_role {
        let mut provider = AssumeRoleProvider::builder(&role.arn)
            .session_name(role.session_name.as_deref().unwrap_or("eventlane"))
            .configure(&shared);
        if let Some(id) = &role.external_id {
            provider = provider.external_id(id);
        }
        let provider = SharedCredentialsProvider::new(provider.build().await);
        shared = shared.into_builder().credentials_provider(provider).build();
    }
    // Here rather than with the first request, whose error would hide which of the two failed.
    let Some(provider) = shared.credentials_provider() else {
        let reason = "no credentials";
        return Err(fail(Error::new(ErrorKind::Unauthorized, CONNECT, reason)));
    };
    match timeout(config.request_timeout * 2, provider.provide_credentials()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(fail(error::from_credentials(CONNECT, &error))),
        Err(_) => {
            let reason = "no credentials in time";
            return Err(fail(Error::new(ErrorKind::Unavailable, CONNECT, reason)));
        }
    }
    let client = |retries, timeouts: TimeoutConfig| {
        let mut client = aws_sdk_sqs::config::Builder::from(&shared)
            .retry_config(retries)
            .timeout_config(timeouts);
        if let Some(endpoint) = &config.endpoint {
            client = client.endpoint_url(endpoint);
        }
        Client::from_conf(client.build())
    };
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT);
    Ok(Clients {
        // Its attempts are timed by the caller, who knows for how long each waits.
        receiver: client(RetryConfig::disabled(), timeouts.clone().build()),
        other: client(
            RetryConfig::standard().with_initial_backoff(BACKOFF),
            timeouts
                .operation_attempt_timeout(config.request_timeout)
                .operation_timeout(config.request_timeout * 2)
                .build(),
        ),
    })
}

/// The SDK's settings, with what is configured in place of what it would find. For another endpoint
/// the region only enters the signature, so any will do where none is said.
async fn load(config: &SqsConfig) -> Result<SdkConfig> {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        // It goes by the wall clock, in a loop with a turn for every 100 ms: a jump by a year under a
        // request keeps its thread busy for ten seconds. Here every request has a deadline anyway.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(given) = &config.credentials {
        loader = loader.credentials_provider(Credentials::new(
            given.id.as_str(),
            given.secret.expose_secret(),
            given
                .token
                .as_ref()
                .map(|token| token.expose_secret().to_owned()),
            None,
            "eventlane",
        ));
    }
    let region = config.region.as_deref();
    if let Some(region) = region.or(Address::parse(&config.queue_url)?.region()) {
        loader = loader.region(Region::new(region.to_owned()));
    } else if config.endpoint.is_some() {
        // Without the instance's metadata service: where there is none, asking it takes seconds.
        let mut profile = ProfileFileRegionProvider::builder();
        if let Some(name) = &config.profile {
            profile = profile.profile_name(name);
        }
        loader = loader.region(
            RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(profile.build())
                .or_else(Region::from_static("us-east-1")),
        );
    }
    Ok(loader.load().await)
}

/// What a queue says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether it keeps message groups in order, and knows receives by their ids.
    pub(crate) fifo: bool,
    /// How long a lease lasts; never zero.
    pub(crate) lease: Duration,
    /// What receives have to ask for, if not the queue's own visibility timeout.
    pub(crate) visibility: Option<Duration>,
    /// The source of its events.
    pub(crate) source: String,
}

/// Asks the queue about itself (GetQueueAttributes). Not being allowed to is no error.
///
/// # Errors
/// `Config`, if there is no such queue, or one that can't be worked with; else what kept it from
/// answering.
pub(crate) async fn facts(config: &SqsConfig, clients: &Clients) -> Result<Facts> {
    let request = clients.other.get_queue_attributes();
    let answer = request
        .queue_url(&config.queue_url)
        .attribute_names(QueueAttributeName::All)
        .send()
        .await;
    let attributes = match answer {
        Ok(answer) => answer.attributes,
        Err(error) if may_not(error.code()) => {
            tracing::warn!(
                queue = %config.queue_url,
                "sqs:GetQueueAttributes is not allowed: the visibility timeout is taken to be 30 s \
                 if none is configured, the events' source is the queue's URL, and there is no \
                 telling whether the queue has a dead-letter queue",
            );
            None
        }
        Err(error) => return Err(error::from_sdk(CONNECT, &config.queue_url, &error)),
    };
    judge(config, attributes.as_ref())
}

/// Whether a code says that a permission is missing, and nothing else.
pub(crate) fn may_not(code: Option<&str>) -> bool {
    code.is_some_and(|code| {
        matches!(
            error::bare(code),
            "AccessDenied" | "AccessDeniedException" | "NotAuthorized"
        )
    })
}

/// What follows from a queue's attributes, `None` if they may not be read.
///
/// The lease is the one configured; else the queue's `VisibilityTimeout`; else 30 s, SQS's default
/// for queues. Receives ask for it only if it is not the queue's own. A queue whose timeout is
/// shortened later has to be connected to anew: its leases would end sooner than is known here.
///
/// # Errors
/// `Config`: a visibility timeout of 0, or a name that no event can have as its source.
fn judge(
    config: &SqsConfig,
    attributes: Option<&HashMap<QueueAttributeName, String>>,
) -> Result<Facts> {
    let fail = |reason: String| {
        let error = Error::new(ErrorKind::Config, CONNECT, reason);
        error.with_context("queue", &config.queue_url)
    };
    let get = |name| {
        let value = attributes.and_then(|attributes| attributes.get(&name));
        value.map(String::as_str).filter(|value| !value.is_empty())
    };
    if attributes.is_some() && get(QueueAttributeName::RedrivePolicy).is_none() {
        tracing::warn!(
            queue = %config.queue_url,
            "the queue has no redrive policy: a message that always fails comes back until it \
             expires",
        );
    }
    let own = get(QueueAttributeName::VisibilityTimeout)
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs);
    // A lease of unknown length can't be kept, so it is asked for where it can't be read.
    let visibility = config.visibility.or(match own {
        Some(_) => None,
        None => Some(Duration::from_secs(30)),
    });
    let lease = visibility.or(own).unwrap_or_default();
    if lease.is_zero() {
        return Err(fail(
            "the queue's visibility timeout is 0, so that messages are handed out again at once; \
             set visibility"
                .to_owned(),
        ));
    }
    let fifo = match get(QueueAttributeName::FifoQueue) {
        Some(fifo) => fifo.eq_ignore_ascii_case("true"),
        // Only FIFO queues have the attribute, and only their names end so.
        None => Address::parse(&config.queue_url)?.is_fifo(),
    };
    let source = match &config.event.source {
        Some(source) => source.as_str(),
        None => get(QueueAttributeName::QueueArn).unwrap_or(&config.queue_url),
    };
    let event = Event::builder().id("1").source(source).ty("t").build();
    event.map_err(|error| {
        fail(format!(
            "no event can have this queue as its source: {error}"
        ))
    })?;
    Ok(Facts {
        fifo,
        lease,
        visibility,
        source: source.to_owned(),
    })
}

#[cfg(test)]
mod tests;
