//! As whom requests are made.

use std::{env, fmt, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use eventlane::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// An access key, and the token that belongs to it if it is a temporary one. Of an instance of
/// Alibaba Cloud: its user name and password. `Debug` shows the key only.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Credentials {
    /// The access key, or user name.
    pub access_key: String,
    /// The secret key, or password.
    #[serde(serialize_with = "eventlane::redacted::secret")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub secret_key: SecretString,
    /// The token, if the key is temporary.
    #[serde(default)]
    #[serde(serialize_with = "eventlane::redacted::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub session_token: Option<SecretString>,
    /// When they end, if it is known: a [`CredentialsProvider`] is asked again before. Not for
    /// configuration files.
    #[serde(skip)]
    pub expires: Option<SystemTime>,
}

/// Where credentials come from that change: temporary ones of STS, a role, a file that is rotated.
///
/// Asked when the first request needs them, five minutes before they
/// [expire](Credentials::with_expiry) (or a fifth of their time, if that is less), and when a server
/// refuses them; the request that was refused is then made once more. Until they expire, it does no
/// harm if it fails. It has [`request_timeout`](crate::RocketMqConfig::request_timeout) to answer.
///
/// ```
/// use async_trait::async_trait;
/// use eventlane::{Error, ErrorKind, Result};
/// use eventlane_rocketmq::{Credentials, CredentialsProvider, RocketMqConfig};
///
/// /// A file with key, secret and token, which somebody else keeps up to date.
/// struct KeyFile(&'static str);
///
/// #[async_trait]
/// impl CredentialsProvider for KeyFile {
///     async fn credentials(&self) -> Result<Credentials> {
///         let fail = |reason| Error::new(ErrorKind::Unavailable, "read the key", reason);
///         let text = tokio::fs::read_to_string(self.0).await;
///         let text = text.map_err(|error| fail(error.to_string()))?;
///         match *text.split_whitespace().collect::<Vec<_>>() {
///             [key, secret, token] => Ok(Credentials::new(key, secret).with_session_token(token)),
///             _ => Err(fail("there are not three words in it".to_owned())),
///         }
///     }
/// }
///
/// let config = RocketMqConfig::new("localhost:8081", "billing")
///     .with_topic("orders")
///     .with_credentials_provider(KeyFile("/run/secrets/rocketmq"));
/// assert!(config.validate().is_ok());
/// ```
#[async_trait]
pub trait CredentialsProvider: Send + Sync + 'static {
    /// Credentials that are valid now.
    ///
    /// # Errors
    /// Whatever kept it from having any. The kind is the request's: `Unavailable` if trying again
    /// soon may help, else `Unauthorized`.
    async fn credentials(&self) -> Result<Credentials>;
}

#[async_trait]
impl<P: CredentialsProvider + ?Sized> CredentialsProvider for Arc<P> {
    async fn credentials(&self) -> Result<Credentials> {
        (**self).credentials().await
    }
}

/// A provider that can stand in a configuration.
#[derive(Clone)]
pub(crate) struct SharedProvider(pub(crate) Arc<dyn CredentialsProvider>);

impl fmt::Debug for SharedProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsProvider")
    }
}

const KEY: &str = "ROCKETMQ_ACCESS_KEY";
const SECRET: &str = "ROCKETMQ_SECRET_KEY";
const TOKEN: &str = "ROCKETMQ_SESSION_TOKEN";

impl Credentials {
    /// A lasting access key.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<SecretString>) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            session_token: None,
            expires: None,
        }
    }

    /// Adds the token.
    #[must_use]
    pub fn with_session_token(mut self, token: impl Into<SecretString>) -> Self {
        self.session_token = Some(token.into());
        self
    }

    /// Sets when they end.
    #[must_use]
    pub fn with_expiry(mut self, at: SystemTime) -> Self {
        self.expires = Some(at);
        self
    }

    /// Those in the environment variables `ROCKETMQ_ACCESS_KEY`, `ROCKETMQ_SECRET_KEY` and, if it
    /// is set, `ROCKETMQ_SESSION_TOKEN`; `None` if neither of the first two is set.
    ///
    /// # Errors
    /// Of kind [`Config`](ErrorKind::Config) if only one of the first two is set.
    pub fn from_env() -> Result<Option<Self>> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let credentials = match (set(KEY), set(SECRET)) {
            (Some(key), Some(secret)) => Self::new(key, secret),
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(invalid(format!("{KEY} is set, {SECRET} is not"))),
            (None, Some(_)) => return Err(invalid(format!("{SECRET} is set, {KEY} is not"))),
        };
        Ok(Some(match set(TOKEN) {
            Some(token) => credentials.with_session_token(token),
            None => credentials,
        }))
    }

    /// Whether they can stand in headers.
    pub(crate) fn validate(&self) -> Result<()> {
        let key = &self.access_key;
        let fits = |text: &str| text.bytes().all(|b| (0x21..0x7f).contains(&b));
        let token = self.session_token.as_ref();
        let fault = if key.is_empty() || !fits(key) || key.contains([',', '=']) {
            "the access key is empty or has characters that no such key has"
        } else if self.secret_key.expose_secret().is_empty() {
            "the secret key is empty"
        } else if token.is_some_and(|token| !fits(token.expose_secret())) {
            "the session token has characters that no token has; does it end with a line break?"
        } else {
            return Ok(());
        };
        Err(invalid(fault))
    }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, "configure credentials", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Option<Credentials>> {
        let find = |name: &str| set.iter().find(|(key, _)| *key == name);
        Credentials::from_variables(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn come_from_the_environment() {
        let some = read(&[(KEY, "key"), (SECRET, "hush"), (TOKEN, "token")]);
        let some = some.unwrap().unwrap();
        assert_eq!(some.access_key, "key");
        assert_eq!(some.secret_key.expose_secret(), "hush");
        assert_eq!(
            some.session_token.as_ref().unwrap().expose_secret(),
            "token"
        );
        assert!(!format!("{some:?}").contains("hush"));
        assert!(read(&[(TOKEN, "token")]).unwrap().is_none());
    }

    #[test]
    fn that_are_missing_are_named() {
        for (set, missing) in [(KEY, SECRET), (SECRET, KEY)] {
            let error = read(&[(set, "x")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(missing), "{error}");
        }
    }

    #[test]
    fn that_no_header_can_carry_are_refused() {
        for (key, secret, token) in [
            ("", "s", "t"),
            ("a b", "s", "t"),
            ("a,b", "s", "t"),
            ("ä", "s", "t"),
            ("a", "", "t"),
            ("a", "s", "t\n"),
        ] {
            let credentials = Credentials::new(key, secret).with_session_token(token);
            let error = credentials.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        }
        Credentials::new("a", "s ä").validate().unwrap();
    }
}
