//! The `Authorization` header, and how it follows a secret that changes.

use std::{
    fs,
    path::PathBuf,
    sync::RwLock,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderValue;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::Instant};
use tracing::{info, warn};

use super::{Secret, config::mistake};
use crate::{Error, Result};

/// What to authenticate with. A secret that comes from a file is read again when the file changes,
/// and when the receiver refuses it (401, 403); until it can be read, the last one is used.
///
/// ```
/// use eventlane::sink::http::{Credentials, HttpSinkConfig, Secret};
///
/// let config = HttpSinkConfig::new("https://example.com/events")
///     .with_auth(Credentials::basic("billing", Secret::file("/run/secrets/password")));
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
#[non_exhaustive]
pub enum Credentials {
    /// RFC 7617.
    Basic {
        /// Without a colon.
        username: String,
        /// May be empty only by leaving basic authentication out.
        password: Secret,
    },
    /// RFC 6750.
    Bearer {
        /// Without the word `Bearer`.
        token: Secret,
    },
}

impl Credentials {
    /// A user name and a password.
    pub fn basic(username: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::Basic {
            username: username.into(),
            password: password.into(),
        }
    }

    /// A token.
    pub fn bearer(token: impl Into<Secret>) -> Self {
        Self::Bearer {
            token: token.into(),
        }
    }

    /// A token in a file, such as one that Kubernetes projects.
    pub fn bearer_file(path: impl Into<PathBuf>) -> Self {
        Self::bearer(Secret::file(path))
    }

    fn secret(&self) -> &Secret {
        match self {
            Self::Basic { password, .. } => password,
            Self::Bearer { token } => token,
        }
    }

    /// Reads the secret and makes the header of it.
    fn header(&self) -> Result<HeaderValue> {
        let text = match self {
            Self::Basic { username, password } => {
                if username.contains(':') {
                    return Err(mistake(
                        "the user name of basic authentication holds a colon: it can't",
                    ));
                }
                let password = password.read("the password")?;
                let pair = format!("{username}:{}", password.expose_secret());
                format!("Basic {}", BASE64_STANDARD.encode(pair))
            }
            Self::Bearer { token } => {
                format!("Bearer {}", token.read("the bearer token")?.expose_secret())
            }
        };
        let mut header = HeaderValue::try_from(text).map_err(|_| {
            mistake("the bearer token can't stand in a header: give it bare, in one line")
        })?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// How often a file is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the header comes from.
#[derive(Debug)]
pub(super) enum Authorization {
    Fixed(HeaderValue),
    Followed(Followed),
}

/// Credentials from a file. `header` is what is sent now; `seen` is locked by whoever looks at the
/// file, and never while a request is on its way.
#[derive(Debug)]
pub(super) struct Followed {
    credentials: Credentials,
    path: PathBuf,
    header: RwLock<HeaderValue>,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    modified: Option<(SystemTime, u64)>,
    at: Option<Instant>,
}

impl Authorization {
    /// Reads the secret for the first time.
    pub(super) fn new(credentials: Credentials) -> Result<Self> {
        let Some(path) = credentials.secret().path().cloned() else {
            return Ok(Self::Fixed(credentials.header()?));
        };
        // Looked at before it is read: a change in between is then seen the next time.
        let seen = Seen {
            modified: modified(&path),
            at: None,
        };
        let header = RwLock::new(credentials.header()?);
        Ok(Self::Followed(Followed {
            credentials,
            path,
            header,
            seen: Mutex::new(seen),
        }))
    }
}

impl Followed {
    /// The header to send.
    pub(super) async fn current(&self) -> HeaderValue {
        self.look().await;
        self.header()
    }

    /// After `used` was refused: reads the file whatever its time, and returns the header if it is
    /// another one now.
    pub(super) async fn renewed(&self, used: &HeaderValue) -> Option<HeaderValue> {
        let seen = self.seen.lock().await;
        // Another request may have done so while this one waited.
        if self.header() == *used {
            self.read(seen).await;
        }
        Some(self.header()).filter(|header| header != used)
    }

    fn header(&self) -> HeaderValue {
        self.header
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    /// Reads the file if it has changed. One request looks; the others don't wait for it.
    async fn look(&self) {
        let Ok(mut seen) = self.seen.try_lock() else {
            return;
        };
        let now = Instant::now();
        if seen
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < LOOK_EVERY)
        {
            return;
        }
        let path = self.path.clone();
        let current = tokio::task::spawn_blocking(move || modified(&path))
            .await
            .unwrap_or(None);
        seen.at = Some(now);
        if current.is_some() && current != seen.modified {
            self.read(seen).await;
        }
    }

    /// Reads the file, off the runtime's threads. Only what could be read replaces the header.
    async fn read(&self, mut seen: tokio::sync::MutexGuard<'_, Seen>) {
        let (credentials, path) = (self.credentials.clone(), self.path.clone());
        let read = tokio::task::spawn_blocking(move || (modified(&path), credentials.header()));
        let (modified, header) = match read.await {
            Ok(read) => read,
            Err(_) => return,
        };
        seen.at = Some(Instant::now());
        match header {
            Ok(header) => {
                let mut current = self
                    .header
                    .write()
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
                if *current != header {
                    info!(file = %self.path.display(), "credentials read again");
                    *current = header;
                }
                seen.modified = modified;
            }
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&self, error: &Error) {
        warn!(file = %self.path.display(), %error, "credentials can't be read; the last ones stay");
    }
}

/// Time and size: a rewrite within the clock's resolution is most often seen by the size.
fn modified(path: &PathBuf) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
