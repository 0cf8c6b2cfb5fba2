//! As whom we are at present.
//!
//! One set of credentials for all requests. Those of a provider are asked for when the first request
//! needs them, again before they expire, and again when a server refuses them. When many requests
//! are refused at once, the provider is asked once: by the generation each can tell whether what it
//! was refused with has been replaced.
//!
//! The lock is held while the provider is asked, for `request_timeout` at most; requests wait.

use std::{sync::Arc, time::Duration};

use eventlane::{Error, ErrorKind, Result};
use secrecy::ExposeSecret;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{
    config::{Credentials, RocketMqConfig, SharedProvider},
    error::Failure,
};

/// So long before they expire, or a fifth of their time if that is less, they are asked for again.
const AHEAD: Duration = Duration::from_secs(300);

/// After a provider had none, while those at hand last.
const PAUSE: Duration = Duration::from_secs(5);

/// Credentials, if there are any, and how many others there were before.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    pub(super) credentials: Option<Arc<Credentials>>,
    pub(super) generation: u64,
    renew_at: Option<Instant>,
    expires: Option<Instant>,
}

/// Holds the credentials that were valid last.
#[derive(Debug)]
pub(super) struct Identities {
    provider: Option<SharedProvider>,
    patience: Duration,
    last: Mutex<Identity>,
}

impl Identities {
    pub(super) fn new(config: &RocketMqConfig) -> Self {
        let fixed = config.credentials.clone().map(Arc::new);
        let credentials = fixed.filter(|_| config.provider.is_none());
        Self {
            provider: config.provider.clone(),
            patience: config.request_timeout,
            last: Mutex::new(Identity {
                credentials,
                ..Identity::default()
            }),
        }
    }

    /// What to sign with. A provider that fails does no harm as long as the last ones are valid.
    pub(super) async fn current(&self) -> Result<Identity, Failure> {
        let mut last = self.last.lock().await;
        let Some(provider) = &self.provider else {
            return Ok(last.clone());
        };
        let now = Instant::now();
        if last.credentials.is_some() && last.renew_at.is_none_or(|at| now < at) {
            return Ok(last.clone());
        }
        match self.ask(provider).await {
            Ok(credentials) => last.replace(credentials),
            Err(error) => {
                let valid = last.credentials.is_some() && last.expires.is_none_or(|at| now < at);
                if !valid {
                    return Err(Failure::new(error.kind(), ASK, error));
                }
                tracing::warn!(%error, "the credentials could not be renewed; they last a while");
                last.renew_at = Some(now + PAUSE);
            }
        }
        Ok(last.clone())
    }

    /// Whether there are others than those that were refused, of this generation.
    pub(super) async fn renew(&self, refused: u64) -> bool {
        let Some(provider) = &self.provider else {
            return false;
        };
        let mut last = self.last.lock().await;
        if last.generation > refused {
            return true;
        }
        match self.ask(provider).await {
            Ok(credentials) => {
                let before = last.generation;
                last.replace(credentials);
                last.generation > before
            }
            Err(error) => {
                tracing::warn!(%error, "the credentials were refused and could not be renewed");
                false
            }
        }
    }

    async fn ask(&self, provider: &SharedProvider) -> Result<Credentials> {
        let late = |_| {
            let message = format!("the provider gave none within {:?}", self.patience);
            Error::new(ErrorKind::Unavailable, ASK, message)
        };
        let asked = timeout(self.patience, provider.0.credentials()).await;
        let credentials = asked.map_err(late)??;
        credentials.validate()?;
        Ok(credentials)
    }
}

impl Identity {
    fn replace(&mut self, credentials: Credentials) {
        let now = Instant::now();
        let left = credentials.expires.map(|at| {
            let left = at.duration_since(std::time::SystemTime::now());
            left.unwrap_or_default()
        });
        self.renew_at = left.map(|left| now + left.saturating_sub(AHEAD.min(left / 5)));
        self.expires = left.map(|left| now + left);
        let same = self
            .credentials
            .as_ref()
            .is_some_and(|last| are_same(last, &credentials));
        if !same {
            self.generation += 1;
            self.credentials = Some(Arc::new(credentials));
            tracing::debug!(generation = self.generation, "there are new credentials");
        } else if left.is_some_and(|left| left.is_zero()) {
            // Asked for with every request, they would be no newer.
            self.renew_at = Some(now + PAUSE);
        }
    }
}

fn are_same(one: &Credentials, other: &Credentials) -> bool {
    let parts = |it: &Credentials| {
        let token = it.session_token.as_ref();
        let token = token.map(|token| token.expose_secret().to_owned());
        (
            it.access_key.clone(),
            it.secret_key.expose_secret().to_owned(),
            token,
        )
    };
    parts(one) == parts(other)
}

const ASK: &str = "get credentials";

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::SystemTime,
    };

    use async_trait::async_trait;
    use futures_util::future::join_all;

    use super::*;
    use crate::CredentialsProvider;

    /// Another key each time, which lasts so long; none from the third time on.
    #[derive(Debug)]
    struct Counting(AtomicU32, Option<Duration>);

    #[async_trait]
    impl CredentialsProvider for Counting {
        async fn credentials(&self) -> Result<Credentials> {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            if number > 1 {
                return Err(Error::new(ErrorKind::Unavailable, "ask", "away"));
            }
            let credentials = Credentials::new(format!("key{number}"), "hush");
            Ok(match self.1 {
                Some(lasts) => credentials.with_expiry(SystemTime::now() + lasts),
                None => credentials,
            })
        }
    }

    fn identities(lasts: Option<Duration>) -> (Arc<Counting>, Identities) {
        let provider = Arc::new(Counting(AtomicU32::new(0), lasts));
        let config = RocketMqConfig::new("a:1", "g");
        let config = config.with_credentials_provider(Arc::clone(&provider));
        (provider, Identities::new(&config))
    }

    async fn key(identities: &Identities) -> String {
        let identity = identities.current().await.unwrap();
        identity.credentials.unwrap().access_key.clone()
    }

    #[tokio::test]
    async fn is_renewed_once_for_all_who_were_refused() {
        let (provider, identities) = identities(None);
        let first = join_all((0..4).map(|_| identities.current())).await;
        let renewed = first.into_iter().map(|it| it.unwrap().generation);
        let renewed = join_all(renewed.map(|refused| identities.renew(refused))).await;
        assert_eq!(renewed, [true; 4]);
        assert_eq!(provider.0.load(Ordering::Relaxed), 2);
        assert_eq!(key(&identities).await, "key1");
        let latest = identities.current().await.unwrap().generation;
        assert!(!identities.renew(latest).await, "there are no others");
    }

    #[tokio::test(start_paused = true)]
    async fn is_renewed_before_it_expires_and_used_as_long_as_it_lasts() {
        let (provider, identities) = identities(Some(Duration::from_secs(1000)));
        assert_eq!(key(&identities).await, "key0");
        tokio::time::advance(Duration::from_secs(795)).await;
        assert_eq!(key(&identities).await, "key0");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(key(&identities).await, "key1");
        tokio::time::advance(Duration::from_secs(900)).await;
        for _ in 0..10 {
            assert_eq!(key(&identities).await, "key1");
        }
        assert_eq!(provider.0.load(Ordering::Relaxed), 3, "not in a loop");
        tokio::time::advance(Duration::from_secs(200)).await;
        let failure = identities.current().await.unwrap_err();
        assert_eq!(failure.kind, ErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn that_is_fixed_can_not_be_renewed() {
        let config = RocketMqConfig::new("a:1", "g");
        let identities = Identities::new(&config.with_credentials(Credentials::new("id", "hush")));
        assert_eq!(key(&identities).await, "id");
        assert!(!identities.renew(0).await);
        assert!(!format!("{identities:?}").contains("hush"));
    }
}
