//! Secrets in configuration that is written out: for `#[serde(serialize_with)]`.
//!
//! ```
//! use secrecy::SecretString;
//!
//! #[derive(serde::Serialize)]
//! struct Login {
//!     user: String,
//!     #[serde(serialize_with = "eventlane::redacted::secret")]
//!     password: SecretString,
//! }
//!
//! let login = Login { user: "ann".to_owned(), password: "hunter2".into() };
//! let shown = serde_json::to_string(&login)?;
//! assert_eq!(shown, r#"{"user":"ann","password":"[REDACTED]"}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::Serializer;

/// What stands for a secret.
pub const TEXT: &str = "[REDACTED]";

/// Writes [`TEXT`].
///
/// # Errors
/// Those of the serializer.
pub fn secret<S: Serializer>(_: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(TEXT)
}

/// Writes [`TEXT`], or nothing if there is no secret.
///
/// # Errors
/// Those of the serializer.
pub fn optional<S: Serializer>(secret: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => to.serialize_some(TEXT),
        None => to.serialize_none(),
    }
}

/// Writes the names, each with [`TEXT`].
///
/// # Errors
/// Those of the serializer.
pub fn map<S: Serializer>(
    secrets: &BTreeMap<String, SecretString>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_map(secrets.keys().map(|name| (name, TEXT)))
}
