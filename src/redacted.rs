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

use std::{
    borrow::Cow,
    cell::Cell,
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use secrecy::{ExposeSecret, SecretString};
use serde::Serializer;

/// What stands for a secret.
pub const TEXT: &str = "[REDACTED]";

thread_local! {
    static APART: Cell<bool> = const { Cell::new(false) };
}

/// While `write` runs on this thread, secrets that differ are written as texts that differ: to find
/// out that one has changed. These texts, keyed at random in each process, say nothing of the secret
/// and are for comparing, not for showing.
///
/// ```
/// use eventlane::redacted::{TEXT, text, told_apart};
///
/// let [old, same, new] = ["hunter2", "hunter2", "hunter3"].map(|it| told_apart(|| text(it)));
/// assert!(old == same && old != new);
/// assert_eq!(text("hunter2"), TEXT);
/// ```
pub fn told_apart<R>(write: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            APART.set(self.0);
        }
    }
    let _restore = Restore(APART.replace(true));
    write()
}

/// What stands for this secret: [`TEXT`], unless secrets are [`told_apart`].
pub fn text(secret: &str) -> Cow<'static, str> {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    match APART.get() {
        false => TEXT.into(),
        true => format!("{TEXT} {:016x}", KEYS.hash_one(secret)).into(),
    }
}

/// Writes [`text`].
///
/// # Errors
/// Those of the serializer.
pub fn secret<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text(secret.expose_secret()))
}

/// Writes [`text`], or nothing if there is no secret.
///
/// # Errors
/// Those of the serializer.
pub fn optional<S: Serializer>(secret: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => to.serialize_some(&text(secret.expose_secret())),
        None => to.serialize_none(),
    }
}

/// Writes the names, each with [`text`].
///
/// # Errors
/// Those of the serializer.
pub fn map<S: Serializer>(
    secrets: &BTreeMap<String, SecretString>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let shown = |(name, secret): (_, &SecretString)| (name, text(secret.expose_secret()));
    to.collect_map(secrets.iter().map(shown))
}
