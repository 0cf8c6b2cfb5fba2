//! The configuration.
//!
//! [`SqsConfig`] is plain data. `SqsQueue::connect` checks it first ([`SqsConfig::validate`]), then
//! looks for what only AWS can say: the region, the credentials, the queue's own attributes. Order
//! of precedence: the settings here, then the queue's URL, then what the AWS tools go by
//! (environment, profile, instance).
//!
//! Settings that are passed on keep their meaning and limits; where one has a name in the SQS API,
//! its documentation says so. Nothing here changes the queue.

use std::time::Duration;

use eventlane::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

mod address;
mod credentials;
mod event;

pub(crate) use address::Address;
pub use credentials::{AssumeRole, StaticCredentials};
pub use event::{AttributeExtensions, EventConfig, OnInvalid};

/// Which queue, as whom, and how.
///
/// Only [`queue_url`](Self::queue_url) has to be set: region and credentials are found where the
/// AWS tools find them. In a configuration file, durations are written `20s`, `5m`, `1h`. `Debug`
/// shows no secret.
///
/// ```
/// use std::time::Duration;
/// use eventlane_sqs::{AssumeRole, SqsConfig};
///
/// let config = SqsConfig::new("https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo")
///     .with_assume_role(AssumeRole::new("arn:aws:iam::123456789012:role/orders-reader"))
///     .with_visibility(Duration::from_secs(120));
/// assert!(config.validate().is_ok());
/// ```
///
/// From a file:
///
/// ```
/// use std::time::Duration;
/// use eventlane_sqs::SqsConfig;
///
/// let config: SqsConfig = serde_json::from_str(
///     r#"{
///         "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
///         "visibility": "2m",
///         "event": { "type": "com.example.order" }
///     }"#,
/// )?;
/// assert_eq!(config.visibility, Some(Duration::from_secs(120)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SqsConfig {
    /// The queue's URL, as `aws sqs get-queue-url` tells it: `QueueUrl` in every request. Not where
    /// requests go; that is the region's, or [`endpoint`](Self::endpoint).
    pub queue_url: String,
    /// The region. Default: that of the queue URL; else what environment, profile or instance say;
    /// else, with an [`endpoint`](Self::endpoint), `us-east-1`.
    pub region: Option<String>,
    /// The URL of a VPC endpoint or of another server that speaks SQS. Default: AWS.
    pub endpoint: Option<String>,
    /// The profile of the AWS configuration files. Default: what `AWS_PROFILE` says. Excludes
    /// [`credentials`](Self::credentials).
    pub profile: Option<String>,
    /// A role to take on, with the credentials found otherwise: those of
    /// [`credentials`](Self::credentials), [`profile`](Self::profile) or the AWS chain.
    pub assume_role: Option<AssumeRole>,
    /// Fixed credentials. Default: the AWS chain (environment, profile and SSO, web identity,
    /// container, instance).
    pub credentials: Option<StaticCredentials>,
    /// How long a receive waits for messages: up to 20 s, in whole seconds. Default 20 s; less
    /// costs more requests. SQS: `WaitTimeSeconds`, which wins over the queue's
    /// `ReceiveMessageWaitTimeSeconds`.
    ///
    /// The most that a poller waits, too: closing takes up to so long.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub wait: Duration,
    /// How long a lease lasts: 1 s to 12 h, in whole seconds. Default: the queue's visibility
    /// timeout, as it was when the queue was connected to. SQS: `VisibilityTimeout`.
    ///
    /// It is extended as long as a delivery takes, so it need not be as long as the longest. It is
    /// how long messages wait that a killed process had in hand; a short one costs requests.
    #[serde(with = "eventlane::duration::optional")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<eventlane::duration::Written>")
    )]
    pub visibility: Option<Duration>,
    /// How long a request may take, beyond its `wait` if it has one. Default 10 s. For receives
    /// that is all; other requests are tried up to three times, within twice that.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub request_timeout: Duration,
    /// How messages become events.
    pub event: EventConfig,
}

impl Default for SqsConfig {
    fn default() -> Self {
        Self {
            queue_url: String::new(),
            region: None,
            endpoint: None,
            profile: None,
            assume_role: None,
            credentials: None,
            wait: LONGEST_WAIT,
            visibility: None,
            request_timeout: Duration::from_secs(10),
            event: EventConfig::default(),
        }
    }
}

/// Of `WaitTimeSeconds` (SQS API reference, ReceiveMessage).
const LONGEST_REQUEST: Duration = Duration::from_secs(3600);
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Of `VisibilityTimeout` (SQS API reference, ReceiveMessage and ChangeMessageVisibility).
pub(crate) const LONGEST_VISIBILITY: Duration = Duration::from_secs(12 * 3600);

/// `with_` for fields.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $field:ident: $ty:ty => $value:expr;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $field: $ty) -> Self {
            self.$field = $value;
            self
        }
    )*};
}

impl SqsConfig {
    /// The default configuration for this queue.
    pub fn new(queue_url: impl Into<String>) -> Self {
        Self {
            queue_url: queue_url.into(),
            ..Self::default()
        }
    }

    setters! {
        /// Sets the region.
        with_region: region: impl Into<String> => Some(region.into());
        /// Sets where to send requests.
        with_endpoint: endpoint: impl Into<String> => Some(endpoint.into());
        /// Sets the profile.
        with_profile: profile: impl Into<String> => Some(profile.into());
        /// Sets a role to take on.
        with_assume_role: assume_role: AssumeRole => Some(assume_role);
        /// Sets fixed credentials.
        with_credentials: credentials: StaticCredentials => Some(credentials);
        /// Sets how long a receive waits.
        with_wait: wait: Duration => wait;
        /// Sets how long a lease lasts.
        with_visibility: visibility: Duration => Some(visibility);
        /// Sets how long a request may take.
        with_request_timeout: request_timeout: Duration => request_timeout;
        /// Sets how messages become events.
        with_event: event: EventConfig => event;
    }

    /// Checks what can be checked without the queue.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with one line that says what to change.
    pub fn validate(&self) -> Result<()> {
        let address = Address::parse(&self.queue_url)?;
        if let Some(endpoint) = &self.endpoint {
            Address::endpoint(endpoint)?;
        }
        let visibility = self.visibility.unwrap_or(Duration::from_secs(1));
        let bad = [
            (
                self.wait > LONGEST_WAIT || self.wait.subsec_nanos() != 0,
                "wait must be at most 20 s, in whole seconds",
            ),
            (
                visibility.is_zero()
                    || visibility > LONGEST_VISIBILITY
                    || visibility.subsec_nanos() != 0,
                "visibility must be between 1 s and 12 h, in whole seconds",
            ),
            (
                self.request_timeout.is_zero() || self.request_timeout > LONGEST_REQUEST,
                "request_timeout must be above zero and at most an hour",
            ),
            (
                self.credentials.is_some() && self.profile.is_some(),
                "profile and credentials exclude each other; leave one out",
            ),
        ];
        if let Some((_, reason)) = bad.into_iter().find(|(bad, _)| *bad) {
            return Err(invalid(reason));
        }
        // Another endpoint may call its region what it likes.
        if let (Some(wanted), Some(real), None) = (&self.region, address.region(), &self.endpoint)
            && wanted != real
        {
            return Err(
                invalid("the queue is in another region; leave region out, or correct it")
                    .with_context("region", wanted)
                    .with_context("queue_url", &self.queue_url),
            );
        }
        if let Some(credentials) = &self.credentials {
            credentials.validate()?;
        }
        if let Some(role) = &self.assume_role {
            role.validate()?;
        }
        self.event.validate()
    }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, "configure SQS", reason)
}

#[cfg(test)]
mod tests;
