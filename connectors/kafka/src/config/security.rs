//! Who we are, and whom we trust.
//!
//!
//! The security protocol follows from what is set: `PLAINTEXT` without both, `SASL_PLAINTEXT`,
//! `SSL`, `SASL_SSL`. Secrets are `SecretString`s, so that `Debug` shows none. TLS, SCRAM and
//! OAUTHBEARER need one of the features `ssl` and `ssl-vendored`.

use std::{fmt, path::PathBuf, sync::Arc, time::SystemTime};

use eventlane::{Error, ErrorKind, Result};
use rdkafka::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// How the client authenticates. Without TLS the connection is `SASL_PLAINTEXT`.
/// librdkafka: `sasl.mechanisms`, `sasl.username`, `sasl.password`.
///
/// ```
/// use eventlane_kafka::Sasl;
///
/// let sasl = Sasl::scram_sha_512("billing", "hunter2");
/// assert!(!format!("{sasl:?}").contains("hunter2"));
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "mechanism", deny_unknown_fields)]
#[non_exhaustive]
pub enum Sasl {
    /// User and password in clear text: only over TLS.
    /// RFC 4616.
    #[serde(rename = "PLAIN")]
    Plain {
        /// The user.
        username: String,
        /// Their password.
        #[serde(serialize_with = "eventlane::redacted::secret")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        password: SecretString,
    },
    /// Challenge and response with SHA-256.
    /// RFC 5802, RFC 7677.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256 {
        /// The user.
        username: String,
        /// Their password.
        #[serde(serialize_with = "eventlane::redacted::secret")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        password: SecretString,
    },
    /// Challenge and response with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512 {
        /// The user.
        username: String,
        /// Their password.
        #[serde(serialize_with = "eventlane::redacted::secret")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        password: SecretString,
    },
    /// A token, from [`KafkaConfig::with_token_provider`](super::KafkaConfig::with_token_provider),
    /// or for tests an unsigned one that librdkafka makes up.
    /// RFC 7628.
    #[serde(rename = "OAUTHBEARER")]
    OAuthBearer {
        /// For an unsigned token: what it says, e.g. `principal=alice`. Not for production. Without
        /// it a token provider is required.
        #[serde(default)]
        unsecured: Option<String>,
    },
}

impl Sasl {
    /// PLAIN.
    pub fn plain(username: impl Into<String>, password: impl Into<SecretString>) -> Self {
        Self::Plain {
            username: username.into(),
            password: password.into(),
        }
    }

    /// SCRAM-SHA-256.
    pub fn scram_sha_256(username: impl Into<String>, password: impl Into<SecretString>) -> Self {
        Self::ScramSha256 {
            username: username.into(),
            password: password.into(),
        }
    }

    /// SCRAM-SHA-512.
    pub fn scram_sha_512(username: impl Into<String>, password: impl Into<SecretString>) -> Self {
        Self::ScramSha512 {
            username: username.into(),
            password: password.into(),
        }
    }

    /// OAUTHBEARER with a token provider.
    pub fn oauth_bearer() -> Self {
        Self::OAuthBearer { unsecured: None }
    }

    fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::ScramSha256 { .. } => "SCRAM-SHA-256",
            Self::ScramSha512 { .. } => "SCRAM-SHA-512",
            Self::OAuthBearer { .. } => "OAUTHBEARER",
        }
    }

    fn apply(&self, to: &mut ClientConfig) {
        to.set("sasl.mechanisms", self.mechanism());
        match self {
            Self::Plain { username, password }
            | Self::ScramSha256 { username, password }
            | Self::ScramSha512 { username, password } => {
                to.set("sasl.username", username)
                    .set("sasl.password", password.expose_secret());
            }
            Self::OAuthBearer {
                unsecured: Some(claims),
            } => {
                to.set("enable.sasl.oauthbearer.unsecure.jwt", "true");
                to.set("sasl.oauthbearer.config", claims);
            }
            Self::OAuthBearer { unsecured: None } => {}
        }
    }
}

/// Encryption. Every part is optional: without `ca` the system's certificates are trusted.
///
/// ```
/// use eventlane_kafka::{Pem, Tls};
///
/// let tls = Tls::new()
///     .with_ca("/etc/kafka/ca.pem".into())
///     .with_identity("/etc/kafka/client.pem".into(), "/etc/kafka/client.key".into());
/// assert!(matches!(tls.ca, Some(Pem::Path(_))));
/// ```
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Tls {
    /// Whom to trust.
    /// librdkafka: `ssl.ca.location` or `ssl.ca.pem`.
    pub ca: Option<Pem>,
    /// The client's certificate, with its chain.
    /// librdkafka: `ssl.certificate.location` or `ssl.certificate.pem`.
    pub certificate: Option<Pem>,
    /// Its key.
    /// librdkafka: `ssl.key.location` or `ssl.key.pem`.
    pub key: Option<Pem>,
    /// The key's password.
    /// librdkafka: `ssl.key.password`.
    #[serde(serialize_with = "eventlane::redacted::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub key_password: Option<SecretString>,
    /// Take any certificate, from anybody. For tests.
    /// librdkafka: `enable.ssl.certificate.verification`.
    pub insecure: bool,
}

impl Tls {
    /// TLS with the system's certificates.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whom to trust instead of the system's certificates.
    #[must_use]
    pub fn with_ca(mut self, ca: Pem) -> Self {
        self.ca = Some(ca);
        self
    }

    /// Sets the client's own certificate and key.
    #[must_use]
    pub fn with_identity(mut self, certificate: Pem, key: Pem) -> Self {
        (self.certificate, self.key) = (Some(certificate), Some(key));
        self
    }

    /// # Errors
    /// `Config` if a file can't be opened. Its content is librdkafka's to judge.
    fn apply(&self, to: &mut ClientConfig) -> Result<()> {
        let pems = [
            (&self.ca, "ca", "ssl.ca.location", "ssl.ca.pem"),
            (
                &self.certificate,
                "certificate",
                "ssl.certificate.location",
                "ssl.certificate.pem",
            ),
            (&self.key, "key", "ssl.key.location", "ssl.key.pem"),
        ];
        for (pem, what, location, text) in pems {
            match pem {
                Some(Pem::Text(pem)) => to.set(text, pem.expose_secret()),
                Some(Pem::Path(path)) => {
                    // librdkafka's own message about a file that is missing names OpenSSL's source
                    // lines.
                    if let Err(error) = std::fs::File::open(path) {
                        let message = format!("can't read the {what}: {error}");
                        return Err(Error::new(ErrorKind::Config, "configure TLS", message)
                            .with_context("file", path.display()));
                    }
                    to.set(location, path.to_string_lossy())
                }
                None => to,
            };
        }
        if let Some(password) = &self.key_password {
            to.set("ssl.key.password", password.expose_secret());
        }
        if self.insecure {
            to.set("enable.ssl.certificate.verification", "false");
        }
        Ok(())
    }
}

/// A certificate or a key: the path of a PEM file, or PEM text itself. In a configuration file,
/// what begins with `-----BEGIN` is text.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "String", into = "String")]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
#[non_exhaustive]
pub enum Pem {
    /// A file.
    Path(PathBuf),
    /// The text. A secret, since it may be a key.
    Text(SecretString),
}

impl From<String> for Pem {
    fn from(text: String) -> Self {
        if text.trim_start().starts_with("-----BEGIN") {
            Self::Text(text.into())
        } else {
            Self::Path(text.into())
        }
    }
}

/// What is text becomes `[REDACTED]`.
impl From<Pem> for String {
    fn from(pem: Pem) -> Self {
        match pem {
            Pem::Path(path) => path.to_string_lossy().into_owned(),
            Pem::Text(pem) => eventlane::redacted::text(pem.expose_secret()).into_owned(),
        }
    }
}

impl From<&str> for Pem {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<PathBuf> for Pem {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

/// Gives tokens for SASL OAUTHBEARER.
///
/// Called on the consumer's thread whenever a new token is needed, first when it connects; as long
/// as it blocks, nothing is consumed. librdkafka asks again when 80 % of a token's life are over,
/// and 10 s after an error.
///
/// The text of an error goes into the log and into the error of
/// [`KafkaSource::connect`](crate::KafkaSource::connect), so it must not hold a secret. For an
/// example see [`KafkaConfig::with_token_provider`](super::KafkaConfig::with_token_provider).
pub trait TokenProvider: Send + Sync {
    /// A token that is valid now.
    ///
    /// # Errors
    /// If there is none to be had now. While connecting that ends the attempt; later it is logged,
    /// and the provider asked again.
    fn token(&self) -> std::result::Result<Token, Box<dyn std::error::Error + Send + Sync>>;
}

/// A token for SASL OAUTHBEARER.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token itself, as the broker wants it.
    pub value: SecretString,
    /// Whose it is.
    pub principal: String,
    /// When it ends.
    pub expires: SystemTime,
}

/// A provider that can stand in a configuration.
#[derive(Clone)]
pub(crate) struct SharedProvider(pub(crate) Arc<dyn TokenProvider>);

impl fmt::Debug for SharedProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenProvider")
    }
}

/// Sets what `sasl` and `tls` say.
pub(super) fn apply(
    sasl: Option<&Sasl>,
    tls: Option<&Tls>,
    provider: Option<&SharedProvider>,
    to: &mut ClientConfig,
) -> Result<()> {
    let protocol = match (sasl, tls) {
        (None, None) => return Ok(()),
        (Some(_), None) => "SASL_PLAINTEXT",
        (None, Some(_)) => "SSL",
        (Some(_), Some(_)) => "SASL_SSL",
    };
    to.set("security.protocol", protocol);
    if let Some(sasl) = sasl {
        if matches!(sasl, Sasl::OAuthBearer { unsecured: None }) && provider.is_none() {
            let message = "OAUTHBEARER needs a token provider (KafkaConfig::with_token_provider)";
            return Err(Error::new(ErrorKind::Config, "configure SASL", message));
        }
        sasl.apply(to);
    }
    tls.map_or(Ok(()), |tls| tls.apply(to))
}
