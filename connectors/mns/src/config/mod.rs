//! The configuration.
//!
//! [`MnsConfig`] is plain data. [`MnsConfig::validate`] says what can't work without asking
//! anybody; `MnsQueue::connect` does that and asks the queue, too. Where the API has a name for a
//! setting, its documentation says so; the API is Alibaba Cloud's "Simple Message Queue (formerly
//! MNS)".

use std::{fmt, sync::Arc, time::Duration};

use eventlane::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use url::Url;

mod credentials;
mod event;

pub use credentials::{Credentials, CredentialsProvider};
pub use event::{BodyEncoding, EventConfig, OnInvalid};

/// What to consume, as whom, and how.
///
/// Only [`endpoint`](Self::endpoint) and [`queue`](Self::queue) have to be set; without credentials
/// those of the environment are used ([`Credentials::from_env`]). In a configuration file,
/// durations are written `500ms`, `10s`, `2m`. `Debug` shows no secret.
///
/// ```
/// use eventlane_mns::{Credentials, MnsConfig};
///
/// let config = MnsConfig::new("https://123456.mns.cn-hangzhou.aliyuncs.com", "orders")
///     .with_region("cn-hangzhou") // signs with V4
///     .with_credentials(Credentials::new("LTAI5t", "hush"));
/// assert!(!format!("{config:?}").contains("hush"));
/// ```
///
/// From a file:
///
/// ```
/// use std::time::Duration;
/// use eventlane_mns::{BodyEncoding, MnsConfig};
///
/// let config: MnsConfig = serde_json::from_str(
///     r#"{
///         "endpoint": "https://123456.mns.cn-hangzhou.aliyuncs.com",
///         "queue": "orders",
///         "body_encoding": "raw",
///         "wait": "10s"
///     }"#,
/// )?;
/// assert_eq!((config.body_encoding, config.wait), (BodyEncoding::Raw, Duration::from_secs(10)));
/// assert!(config.validate().is_ok());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct MnsConfig {
    /// The base URL. Anything may stand in front of MNS: other hosts and path prefixes are fine. No
    /// user, query or fragment. It is what is signed, too: a proxy must not rewrite the path.
    pub endpoint: String,
    /// The queue's name: up to 256 letters, digits, hyphens and underscores.
    pub queue: String,
    /// The region, such as `cn-hangzhou`. Signature V4 needs it; with it and the account, the
    /// subject of events is the queue's full resource name.
    pub region: Option<String>,
    /// The number of the account that owns the queue. Default: the one in an endpoint of Alibaba
    /// Cloud's own. Only for the subject of events; requests go where the endpoint says.
    pub account: Option<String>,
    /// How requests are signed. Default: V4 if there is a region, else V2, which Alibaba Cloud
    /// calls deprecated.
    pub signing: Option<Signing>,
    /// As whom. Default: whom the environment names.
    pub credentials: Option<Credentials>,
    /// How long the server holds a receive while the queue is empty: at most 30 s, whole seconds
    /// (a fraction is rounded up). Default 30 s. MNS: `waitseconds`, which wins over the queue's
    /// `PollingWaitSeconds`. Closing a poller takes up to so long.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub wait: Duration,
    /// What producers do to bodies. Default: base64.
    pub body_encoding: BodyEncoding,
    /// How messages become events.
    pub event: EventConfig,
    /// How long establishing a connection may take. Default 5 s.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub connect_timeout: Duration,
    /// How long an answer may take beyond `wait`. Default 10 s. Also the time that a
    /// [`CredentialsProvider`] has.
    #[serde(with = "eventlane::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "eventlane::duration::Written"))]
    pub request_timeout: Duration,
    #[serde(skip)]
    pub(crate) provider: Option<SharedProvider>,
}

impl Default for MnsConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            queue: String::new(),
            region: None,
            account: None,
            signing: None,
            credentials: None,
            wait: LONGEST_WAIT,
            body_encoding: BodyEncoding::default(),
            event: EventConfig::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            provider: None,
        }
    }
}

const LONGEST_REQUEST: Duration = Duration::from_secs(3600);

/// What the service allows: of `waitseconds`, as of `PollingWaitSeconds`.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How requests are signed.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Signing {
    /// HMAC-SHA1. Every server takes it.
    V2,
    /// HMAC-SHA256 with a key derived for the day and the region (`MNS4-HMAC-SHA256`).
    V4,
    /// V4 as private clouds want it (`APSARA-MNS4-HMAC-SHA256`).
    ApsaraV4,
}

/// A provider that can stand in a configuration.
#[derive(Clone)]
pub(crate) struct SharedProvider(pub(crate) Arc<dyn CredentialsProvider>);

impl fmt::Debug for SharedProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsProvider")
    }
}

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

impl MnsConfig {
    /// The default configuration for a queue at an endpoint.
    pub fn new(endpoint: impl Into<String>, queue: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            queue: queue.into(),
            ..Self::default()
        }
    }

    setters! {
        /// Sets the region, and thereby signature V4.
        with_region: region: impl Into<String> => Some(region.into());
        /// Sets the account that owns the queue.
        with_account: account: impl Into<String> => Some(account.into());
        /// Sets how requests are signed.
        with_signing: signing: Signing => Some(signing);
        /// Sets as whom.
        with_credentials: credentials: Credentials => Some(credentials);
        /// Sets how long the server holds a receive while the queue is empty.
        with_wait: wait: Duration => wait;
        /// Sets what producers do to bodies.
        with_body_encoding: body_encoding: BodyEncoding => body_encoding;
        /// Sets how messages become events.
        with_event: event: EventConfig => event;
        /// Sets how long establishing a connection may take.
        with_connect_timeout: connect_timeout: Duration => connect_timeout;
        /// Sets how long an answer may take beyond the wait.
        with_request_timeout: request_timeout: Duration => request_timeout;
    }

    /// Sets where credentials come from, if they change. Wins over
    /// [`credentials`](Self::credentials).
    #[must_use]
    pub fn with_credentials_provider(mut self, provider: impl CredentialsProvider) -> Self {
        self.provider = Some(SharedProvider(Arc::new(provider)));
        self
    }

    /// Checks what can be checked without a server. Credentials of the environment and of a
    /// provider are not looked at.
    ///
    /// # Errors
    /// Of kind [`Config`](ErrorKind::Config), one line that says what to do.
    pub fn validate(&self) -> Result<()> {
        let endpoint = self.base()?;
        let plain = |text: &str, more: &[u8]| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
        };
        let bad = [
            (self.queue.is_empty(), "no queue is given (queue)"),
            (
                !plain(&self.queue, b"-_") || self.queue.len() > 256,
                "a queue's name has at most 256 letters, digits and hyphens (queue)",
            ),
            (
                self.region.as_ref().is_some_and(|name| !plain(name, b"-_")),
                "a region is written like cn-hangzhou (region)",
            ),
            (
                self.account.as_ref().is_some_and(|name| !plain(name, b"")),
                "an account is its number (account)",
            ),
            (
                self.region.is_none() && self.signing() != Signing::V2,
                "signature V4 needs the region: set it (region), or sign with v2",
            ),
            (
                self.wait > LONGEST_WAIT,
                "the service waits for at most 30 s (wait)",
            ),
            (
                self.connect_timeout.is_zero(),
                "connect_timeout must not be zero",
            ),
            (
                self.request_timeout.is_zero() || self.request_timeout > LONGEST_REQUEST,
                "request_timeout must be above zero and at most an hour",
            ),
        ];
        if let Some((_, reason)) = bad.into_iter().find(|(bad, _)| *bad) {
            return Err(invalid(reason));
        }
        if let (None, Some(credentials)) = (&self.provider, &self.credentials) {
            credentials.validate()?;
        }
        self.event.validate(&self.subject(&endpoint))
    }

    /// How requests are signed, defaults applied.
    pub(crate) fn signing(&self) -> Signing {
        let preferred = match self.region {
            Some(_) => Signing::V4,
            None => Signing::V2,
        };
        self.signing.unwrap_or(preferred)
    }

    /// The endpoint, as it is sent to and signed: what the URL parser makes of it.
    pub(crate) fn base(&self) -> Result<Url> {
        if self.endpoint.is_empty() {
            return Err(invalid("no endpoint is given (endpoint)"));
        }
        let url = Url::parse(&self.endpoint)
            .map_err(|error| invalid(format!("the endpoint is no URL: {error} (endpoint)")))?;
        let user = !url.username().is_empty() || url.password().is_some();
        let fault = match url.scheme() {
            "http" | "https" if user => {
                "credentials don't belong into the endpoint (use credentials)"
            }
            "http" | "https" if url.query().is_some() || url.fragment().is_some() => {
                "the endpoint must end with its path (endpoint)"
            }
            "http" | "https" => return Ok(url),
            _ => "the endpoint must begin with https:// or http:// (endpoint)",
        };
        Err(invalid(fault))
    }

    /// What events are about: the queue, by its full resource name if that is known.
    pub(crate) fn subject(&self, endpoint: &Url) -> String {
        if let Some(subject) = &self.event.subject {
            return subject.clone();
        }
        let host = endpoint.host_str().unwrap_or_default();
        let from_host = host
            .split_once(".mns.")
            .filter(|(_, domain)| domain.ends_with(".aliyuncs.com"))
            .map(|(account, _)| account);
        let queue = &self.queue;
        match (&self.region, self.account.as_deref().or(from_host)) {
            (Some(region), Some(account)) => format!("acs:mns:{region}:{account}:queues/{queue}"),
            _ => queue.clone(),
        }
    }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, "configure MNS", reason)
}

#[cfg(test)]
mod tests;
