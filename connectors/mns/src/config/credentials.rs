//! As whom requests are made.
//!
//! [`Credentials`] are a value, [`CredentialsProvider`] is where values come from that change;
//! keeping and renewing them is the client's (`client::identity`). Secrets are in `SecretString`,
//! which shows nothing in `Debug`.

use std::{env, sync::Arc};

use async_trait::async_trait;
use eventlane::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// An access key, and the token that belongs to it if it is a temporary one of STS. `Debug` shows
/// the key's id only.
///
/// ```
/// use eventlane_mns::Credentials;
///
/// let temporary = Credentials::new("STS.NT", "hush").with_security_token("whisper");
/// let shown = format!("{temporary:?}");
/// assert!(shown.contains("STS.NT") && !shown.contains("hush") && !shown.contains("whisper"));
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Credentials {
    /// The key's id: `AccessKeyId`.
    pub access_key_id: String,
    /// The key's secret: `AccessKeySecret`. Never sent; requests are signed with it.
    #[serde(serialize_with = "eventlane::redacted::secret")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub access_key_secret: SecretString,
    /// The token, if the key is temporary: `SecurityToken`. Sent with each request.
    #[serde(default)]
    #[serde(serialize_with = "eventlane::redacted::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub security_token: Option<SecretString>,
}

const ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";

impl Credentials {
    /// A lasting access key.
    pub fn new(id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        Self {
            access_key_id: id.into(),
            access_key_secret: secret.into(),
            security_token: None,
        }
    }

    /// Adds the token of STS.
    #[must_use]
    pub fn with_security_token(mut self, token: impl Into<SecretString>) -> Self {
        self.security_token = Some(token.into());
        self
    }

    /// Those in the environment variables `ALIBABA_CLOUD_ACCESS_KEY_ID`,
    /// `ALIBABA_CLOUD_ACCESS_KEY_SECRET` and, if it is set, `ALIBABA_CLOUD_SECURITY_TOKEN`.
    ///
    /// # Errors
    /// Of kind [`Config`](ErrorKind::Config) if one of the first two is not set or empty.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let required = |name| {
            let missing = || invalid(format!("no credentials: set {name}, or give them"));
            set(name).ok_or_else(missing)
        };
        let credentials = Self::new(required(ID)?, required(SECRET)?);
        match set(TOKEN) {
            Some(token) => Ok(credentials.with_security_token(token)),
            None => Ok(credentials),
        }
    }

    /// Whether they can stand in headers, and the id in `Authorization` without being mistaken for
    /// something else. A line break from a file is found here, and not by a signature that is
    /// wrong.
    pub(crate) fn validate(&self) -> Result<()> {
        let id = &self.access_key_id;
        let fits = |text: &str| text.bytes().all(|b| (0x21..0x7f).contains(&b));
        let token = self.security_token.as_ref();
        let fault = if id.is_empty() || !fits(id) || id.contains([':', '/', ',']) {
            "the access key's id is empty or has characters that no such id has"
        } else if self.access_key_secret.expose_secret().is_empty() {
            "the access key's secret is empty"
        } else if token.is_some_and(|token| !fits(token.expose_secret())) {
            "the security token has characters that no token has; does it end with a line break?"
        } else {
            return Ok(());
        };
        Err(invalid(fault))
    }
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, "configure credentials", reason)
}

/// Gives credentials that change: tokens of STS, or keys that are rotated.
///
/// Asked before the first request, and again, once for each request that is refused, when the
/// server no longer takes what it gave last; what it gives is kept until then. Never asked twice at
/// the same time. It has the time that a request has to answer in.
///
/// An error fails the request that needed the credentials, and the next one asks again.
///
/// * **Cancellation.** The future is dropped when its time is over, or when nobody waits for the
///   request any more. Whatever it has begun by then has to be harmless.
/// * **Ownership.** What it gives is kept in memory and never written anywhere.
///
/// ```
/// use async_trait::async_trait;
/// use eventlane::{Error, ErrorKind, Result};
/// use eventlane_mns::{Credentials, CredentialsProvider, MnsConfig};
///
/// /// A file with an id and a secret, which somebody else keeps up to date.
/// struct KeyFile(&'static str);
///
/// #[async_trait]
/// impl CredentialsProvider for KeyFile {
///     async fn credentials(&self) -> Result<Credentials> {
///         let fail = |reason| Error::new(ErrorKind::Unavailable, "read the key", reason);
///         let text = tokio::fs::read_to_string(self.0).await;
///         let text = text.map_err(|error| fail(error.to_string()))?;
///         let (id, secret) = text
///             .trim()
///             .split_once(' ')
///             .ok_or_else(|| fail("there is no blank in it".to_owned()))?;
///         Ok(Credentials::new(id, secret))
///     }
/// }
///
/// let config = MnsConfig::new("http://localhost:8000", "orders")
///     .with_credentials_provider(KeyFile("/run/secrets/mns"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<Credentials> {
        let find = |name: &str| set.iter().find(|(key, _)| *key == name);
        Credentials::from_variables(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn come_from_the_environment() {
        let some = read(&[(ID, "id"), (SECRET, "secret"), (TOKEN, "token")]).unwrap();
        assert_eq!(some.access_key_id, "id");
        assert_eq!(some.access_key_secret.expose_secret(), "secret");
        assert_eq!(some.security_token.unwrap().expose_secret(), "token");
        let lasting = read(&[(ID, "id"), (SECRET, "secret"), (TOKEN, "")]).unwrap();
        assert!(lasting.security_token.is_none());
    }

    #[test]
    fn that_are_missing_are_named() {
        let missing = read(&[(ID, "id"), (SECRET, "")]).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Config);
        assert!(missing.to_string().contains(SECRET), "{missing}");
    }

    #[test]
    fn that_no_header_can_carry_are_refused() {
        for (id, secret, token) in [
            ("", "s", "t"),
            ("a b", "s", "t"),
            ("a:b", "s", "t"),
            ("ä", "s", "t"),
            ("a", "", "t"),
            ("a", "s", "t\n"),
        ] {
            let credentials = Credentials::new(id, secret).with_security_token(token);
            let error = credentials.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        }
        Credentials::new("a", "s ä").validate().unwrap();
    }
}
