use std::{collections::BTreeMap, fmt, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize, Serializer};

use super::{Credentials, Replies, Secret, StatusSets, target::redact};
use crate::{Error, ErrorKind, event::http::Mode};

/// Where and how [`HttpSink`](super::HttpSink) posts events.
///
/// Only `url` is required. As configuration, durations carry their unit (`30s`), and unknown fields
/// are refused.
///
/// ```
/// use eventlane::{event::http::Mode, sink::http::{Credentials, HttpSinkConfig}};
///
/// let config = HttpSinkConfig::new("https://example.com/events")
///     .with_mode(Mode::Structured)
///     .with_auth(Credentials::bearer("s3cret"))
///     .with_header("x-team", "payments");
/// assert!(!format!("{config:?}").contains("s3cret"));
///
/// let same: HttpSinkConfig = serde_json::from_str(r#"{
///     "url": "https://example.com/events",
///     "mode": "structured",
///     "auth": { "bearer": { "token": { "file": "/run/secrets/token" } } },
///     "headers": { "x-team": "payments" },
///     "idle_timeout": "30s"
/// }"#)?;
/// assert_eq!(same.url, config.url);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct HttpSinkConfig {
    /// An absolute `http://` or `https://` URL without user, password or fragment. Its query is
    /// sent, and never shown.
    #[serde(serialize_with = "shown")]
    pub url: String,
    /// How an event becomes a request. Batched mode only for receivers that are known to take it.
    /// Binary by default.
    pub mode: Mode,
    /// Which version of HTTP.
    pub protocol: Protocol,
    /// Certificates, for `https://`.
    pub tls: Tls,
    /// What to authenticate with.
    pub auth: Option<Credentials>,
    /// Headers of every request; the values are never shown. `Host` replaces the URL's host in the
    /// request, in HTTP/2 as `:authority`; the connection still goes to the URL's.
    #[serde(serialize_with = "crate::redacted::map")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, String>"))]
    pub headers: BTreeMap<String, SecretString>,
    /// Extension attributes that also become headers of their own.
    pub forward: Forward,
    /// Compresses bodies. Only for receivers that are known to take it.
    pub gzip: Option<Gzip>,
    /// What statuses mean, where the default doesn't fit.
    pub statuses: StatusSets,
    /// The longest `Retry-After` that is followed; a longer one is shortened to it. 5 minutes by
    /// default.
    #[serde(with = "crate::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::duration::Written"))]
    pub max_retry_after: Duration,
    /// What becomes of events in answers, if
    /// [`HttpSink::with_replies_to`](super::HttpSink::with_replies_to) wants them.
    pub replies: Replies,
    /// How long a connection may take until it is usable: name, TCP and TLS. 10 seconds by default.
    #[serde(with = "crate::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::duration::Written"))]
    pub connect_timeout: Duration,
    /// How long an unused connection is kept. Shorter than the receiver's own limit, or requests
    /// run into connections that it is about to close. 30 seconds by default.
    #[serde(with = "crate::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::duration::Written"))]
    pub idle_timeout: Duration,
    /// How many unused HTTP/1.1 connections are kept. Not below the number of requests in flight,
    /// or every lull closes connections that the next surge must open again. 256 by default.
    pub max_idle_connections: usize,
}

impl HttpSinkConfig {
    /// Posts to `url`; everything else at its default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }

    /// Sets [`mode`](Self::mode).
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets [`protocol`](Self::protocol).
    #[must_use]
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Sets [`tls`](Self::tls).
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Sets [`auth`](Self::auth).
    #[must_use]
    pub fn with_auth(mut self, auth: Credentials) -> Self {
        self.auth = Some(auth);
        self
    }

    /// Adds one of the [`headers`](Self::headers).
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers
            .insert(name.into(), SecretString::from(value.into()));
        self
    }

    /// Sets [`forward`](Self::forward): the extension attributes, and the prefix of their headers.
    #[must_use]
    pub fn with_forward<I: IntoIterator<Item: Into<String>>>(
        mut self,
        extensions: I,
        prefix: impl Into<String>,
    ) -> Self {
        let extensions = extensions.into_iter().map(Into::into).collect();
        self.forward = Forward {
            extensions,
            prefix: prefix.into(),
        };
        self
    }

    /// Sets [`gzip`](Self::gzip).
    #[must_use]
    pub fn with_gzip(mut self, gzip: Gzip) -> Self {
        self.gzip = Some(gzip);
        self
    }

    /// Sets [`statuses`](Self::statuses).
    #[must_use]
    pub fn with_statuses(mut self, statuses: StatusSets) -> Self {
        self.statuses = statuses;
        self
    }

    /// Sets [`max_retry_after`](Self::max_retry_after).
    #[must_use]
    pub fn with_max_retry_after(mut self, max: Duration) -> Self {
        self.max_retry_after = max;
        self
    }

    /// Sets [`replies`](Self::replies).
    #[must_use]
    pub fn with_replies(mut self, replies: Replies) -> Self {
        self.replies = replies;
        self
    }

    /// Sets [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets [`idle_timeout`](Self::idle_timeout).
    #[must_use]
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets [`max_idle_connections`](Self::max_idle_connections).
    #[must_use]
    pub fn with_max_idle_connections(mut self, max: usize) -> Self {
        self.max_idle_connections = max;
        self
    }
}

impl Default for HttpSinkConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            mode: Mode::default(),
            protocol: Protocol::default(),
            tls: Tls::default(),
            auth: None,
            headers: BTreeMap::new(),
            forward: Forward::default(),
            gzip: None,
            statuses: StatusSets::default(),
            max_retry_after: Duration::from_secs(300),
            replies: Replies::default(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            max_idle_connections: 256,
        }
    }
}

impl fmt::Debug for HttpSinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSinkConfig")
            .field("url", &redact(&self.url))
            .field("mode", &self.mode)
            .field("protocol", &self.protocol)
            .field("tls", &self.tls)
            .field("auth", &self.auth)
            .field("headers", &self.headers)
            .field("forward", &self.forward)
            .field("gzip", &self.gzip)
            .field("statuses", &self.statuses)
            .field("max_retry_after", &self.max_retry_after)
            .field("replies", &self.replies)
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_idle_connections", &self.max_idle_connections)
            .finish()
    }
}

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Protocol {
    /// Over TLS what the receiver prefers of HTTP/2 and HTTP/1.1 (ALPN); otherwise HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without asking. Over `http://` that is `h2c` with prior knowledge.
    Http2,
}

/// Certificates, in PEM. With none of them given, the receiver is verified by the system's roots.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Tls {
    /// The authorities to verify the receiver by, *instead of* the system's.
    pub ca: Option<Secret>,
    /// What to present to the receiver: the certificate, and those between it and its authority.
    /// Needs `key`.
    pub certificate: Option<Secret>,
    /// The private key of `certificate`.
    pub key: Option<Secret>,
}

impl Tls {
    /// Sets [`ca`](Self::ca).
    #[must_use]
    pub fn with_ca(mut self, ca: impl Into<Secret>) -> Self {
        self.ca = Some(ca.into());
        self
    }

    /// Sets [`certificate`](Self::certificate) and [`key`](Self::key).
    #[must_use]
    pub fn with_client(mut self, certificate: impl Into<Secret>, key: impl Into<Secret>) -> Self {
        self.certificate = Some(certificate.into());
        self.key = Some(key.into());
        self
    }

    pub(super) fn is_set(&self) -> bool {
        self.ca.is_some() || self.certificate.is_some() || self.key.is_some()
    }
}

/// Which extension attributes also become headers under a name of their own, beside the `ce-`
/// headers of binary mode.
///
/// What an event holds never steers the request: only attributes that are listed here become
/// headers, never one that means something to HTTP, to a proxy or to a framework (`host`,
/// `authorization`, `content-…`, `x-forwarded-…`, …), and never one of the configured
/// [`headers`](HttpSinkConfig::headers). Values are percent-encoded as those of `ce-` headers are.
/// Applies to single-event modes only.
///
/// ```
/// use eventlane::sink::http::HttpSinkConfig;
///
/// // The attributes `tenant` and `region…` become `x-event-tenant`, `x-event-region…`.
/// let config = HttpSinkConfig::new("https://example.com/events")
///     .with_forward(["tenant", "region*"], "x-event-");
/// assert_eq!(config.forward.prefix, "x-event-");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Forward {
    /// Names of extension attributes. One that ends in `*` stands for all that begin so.
    pub extensions: Vec<String>,
    /// Put before the attribute's name to make the header's name.
    pub prefix: String,
}

/// Bodies are compressed.
///
/// `Content-Encoding: gzip`, unless the body would not get smaller by it. The event itself does not
/// change. A level outside 1 to 9 is a `Config` error of [`HttpSink::new`](super::HttpSink::new).
///
/// ```
/// use eventlane::sink::http::{Gzip, HttpSinkConfig};
///
/// let config = HttpSinkConfig::new("https://example.com/events")
///     .with_gzip(Gzip::default().with_level(1).with_min_bytes(4096));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Gzip {
    /// Bodies of fewer bytes are sent as they are. 1,024 by default.
    pub min_bytes: usize,
    /// From 1 (fast) to 9 (small). 6 by default.
    pub level: u32,
}

impl Gzip {
    /// Sets [`min_bytes`](Self::min_bytes).
    #[must_use]
    pub fn with_min_bytes(mut self, bytes: usize) -> Self {
        self.min_bytes = bytes;
        self
    }

    /// Sets [`level`](Self::level).
    #[must_use]
    pub fn with_level(mut self, level: u32) -> Self {
        self.level = level;
        self
    }
}

impl Default for Gzip {
    fn default() -> Self {
        Self {
            min_bytes: 1024,
            level: 6,
        }
    }
}

/// Without the query.
fn shown<S: Serializer>(url: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&redact(url))
}

/// An error in the configuration: one line that says what to do.
pub(super) fn mistake(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, "configure HTTP sink", message)
}
