use std::{fmt, path::PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::config::mistake;
use crate::{Error, Result};

/// A secret, or the file that holds it.
///
/// In configuration: the text itself, or `{ file: PATH }`. PEM material comes the same two ways.
/// `Debug` never shows the text, and `Serialize` writes `[REDACTED]` for it.
///
/// ```
/// use eventlane::sink::http::Secret;
///
/// assert_eq!(format!("{:?}", Secret::from("hunter2")), "Secret(<redacted>)");
/// assert_eq!(format!("{:?}", Secret::file("/run/token")), "Secret(file: /run/token)");
/// ```
#[derive(Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "Form", into = "Form")]
pub struct Secret(Form);

#[derive(Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "expected a text, or `file: PATH`")]
enum Form {
    Text(
        #[serde(serialize_with = "crate::redacted::secret")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        SecretString,
    ),
    File(File),
}

#[derive(Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct File {
    file: PathBuf,
}

impl From<Form> for Secret {
    fn from(form: Form) -> Self {
        Self(form)
    }
}

impl From<Secret> for Form {
    fn from(secret: Secret) -> Self {
        secret.0
    }
}

impl Secret {
    /// The content of this file, without white space at its end.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Form::File(File { file: path.into() }))
    }

    /// The file it comes from, if it comes from one.
    pub(super) fn path(&self) -> Option<&PathBuf> {
        match &self.0 {
            Form::Text(_) => None,
            Form::File(File { file }) => Some(file),
        }
    }

    /// Reads it. `what` names it in the error: `"the bearer token"`.
    pub(super) fn read(&self, what: &str) -> Result<SecretString> {
        let secret = match &self.0 {
            Form::Text(text) => text.clone(),
            Form::File(File { file }) => {
                let text = std::fs::read_to_string(file).map_err(|cause| {
                    self.mistake(format!(
                        "{what} can't be read from {}: {cause}",
                        file.display()
                    ))
                    .with_source(cause)
                })?;
                SecretString::from(text.trim_end())
            }
        };
        if secret.expose_secret().is_empty() {
            return Err(self.mistake(format!("{what} is empty: give one, or leave it out")));
        }
        Ok(secret)
    }

    fn mistake(&self, message: String) -> Error {
        match self.path() {
            None => mistake(message),
            Some(path) => mistake(message).with_context("file", path.display()),
        }
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Form::Text(text.into()))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Form::Text(text.into()))
    }
}

impl From<SecretString> for Secret {
    fn from(text: SecretString) -> Self {
        Self(Form::Text(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            None => f.write_str("Secret(<redacted>)"),
            Some(path) => write!(f, "Secret(file: {})", path.display()),
        }
    }
}
