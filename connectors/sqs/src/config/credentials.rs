//! As whom.
//!
//! Where nothing is configured, credentials are found by the AWS SDK's default chain, and this
//! module has no part in it. Secrets are in `SecretString`, which shows nothing in `Debug` and is
//! wiped when it is dropped.

use eventlane::Result;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::invalid;

/// Fixed credentials: for tests, and for programs that keep them elsewhere.
///
/// They are used as they are and never renewed: once temporary ones have expired, receives fail as
/// `Unauthorized` until the program is started with others. Long-running programs do better with
/// the chain, or with an [`AssumeRole`].
///
/// ```
/// use eventlane_sqs::{SqsConfig, StaticCredentials};
///
/// let credentials = StaticCredentials::new("AKIAIOSFODNN7EXAMPLE", "hush").with_token("session");
/// let config = SqsConfig::new("http://localhost:9324/000000000000/orders")
///     .with_endpoint("http://localhost:9324")
///     .with_credentials(credentials);
/// assert!(config.validate().is_ok() && !format!("{config:?}").contains("hush"));
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StaticCredentials {
    /// The access key's id: `AWS_ACCESS_KEY_ID`.
    pub id: String,
    /// The secret access key: `AWS_SECRET_ACCESS_KEY`.
    #[serde(serialize_with = "eventlane::redacted::secret")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub secret: SecretString,
    /// The session's token, if they are temporary: `AWS_SESSION_TOKEN`.
    #[serde(default)]
    #[serde(serialize_with = "eventlane::redacted::optional")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub token: Option<SecretString>,
}

impl StaticCredentials {
    /// Credentials that don't expire.
    pub fn new(id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
            token: None,
        }
    }

    /// Sets the session's token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<SecretString>) -> Self {
        self.token = Some(token.into());
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        // Blanks come from files, and would end in a signature that nobody can explain.
        let bad = |text: &str| text.is_empty() || text.contains(char::is_whitespace);
        if bad(&self.id) {
            return Err(invalid("credentials.id is empty or has blanks"));
        }
        if bad(self.secret.expose_secret()) {
            return Err(invalid("credentials.secret is empty or has blanks"));
        }
        if self
            .token
            .as_ref()
            .is_some_and(|token| bad(token.expose_secret()))
        {
            return Err(invalid("credentials.token is empty or has blanks"));
        }
        Ok(())
    }
}

/// A role to take on (STS `AssumeRole`); renewed before it expires.
///
/// The credentials that are configured, or that the chain finds, have to be allowed
/// `sts:AssumeRole` on it, and its trust policy has to name them. What the role is allowed is what
/// counts for the queue. STS is asked in the region of the queue.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AssumeRole {
    /// The role.
    pub arn: String,
    /// The external id (`sts:ExternalId`) that the role's trust policy wants, in roles of other
    /// accounts most of all.
    #[serde(default)]
    pub external_id: Option<String>,
    /// How the session appears in AWS's logs: `RoleSessionName`. Default `eventlane`.
    #[serde(default)]
    pub session_name: Option<String>,
}

impl AssumeRole {
    /// This role.
    pub fn new(arn: impl Into<String>) -> Self {
        Self {
            arn: arn.into(),
            external_id: None,
            session_name: None,
        }
    }

    /// Sets the external id.
    #[must_use]
    pub fn with_external_id(mut self, id: impl Into<String>) -> Self {
        self.external_id = Some(id.into());
        self
    }

    /// Sets the name of the session.
    #[must_use]
    pub fn with_session_name(mut self, name: impl Into<String>) -> Self {
        self.session_name = Some(name.into());
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        if self.arn.starts_with("arn:") {
            return Ok(());
        }
        Err(invalid(
            "assume_role.arn is not the ARN of a role, such as arn:aws:iam::123456789012:role/NAME",
        ))
    }
}
