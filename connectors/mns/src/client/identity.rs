//! As whom we are at present.
//!
//! One set of credentials for all requests, asked for when the first needs it and kept until the
//! server refuses it. When many requests are refused at once, the provider is asked once: by the
//! generation each of them tells whether what it was refused with has been replaced already.
//!
//! The lock is held while the provider is asked, for `request_timeout` at most; requests that need
//! credentials meanwhile wait for it.

use std::{sync::Arc, time::Duration};

use eventlane::{Error, ErrorKind, Result};
use tokio::{sync::Mutex, time::timeout};

use crate::config::{Credentials, MnsConfig, SharedProvider};

/// Credentials, and whether they are newer than others.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) credentials: Arc<Credentials>,
    /// Rises by one with each renewal.
    generation: u64,
}

/// Holds the credentials that were valid last.
#[derive(Debug)]
pub(super) struct Identities {
    /// Without one, the credentials are fixed.
    provider: Option<SharedProvider>,
    /// How long the provider may take.
    patience: Duration,
    last: Mutex<Option<Identity>>,
}

impl Identities {
    pub(super) fn new(config: &MnsConfig) -> Result<Self> {
        let fixed = match (&config.provider, &config.credentials) {
            (Some(_), _) => None,
            (None, Some(credentials)) => Some(credentials.clone()),
            (None, None) => Some(Credentials::from_env()?),
        };
        let first = match fixed {
            Some(credentials) => Some(Identity::new(credentials, 0)?),
            None => None,
        };
        Ok(Self {
            provider: config.provider.clone(),
            patience: config.request_timeout,
            last: Mutex::new(first),
        })
    }

    /// The credentials to sign with: those at hand, or else what the provider gives.
    pub(super) async fn current(&self) -> Result<Identity> {
        let mut last = self.last.lock().await;
        if let Some(identity) = &*last {
            return Ok(identity.clone());
        }
        let Some(provider) = &self.provider else {
            return Err(failed("there are no credentials"));
        };
        let identity = Identity::new(self.ask(provider).await?, 0)?;
        Ok(last.insert(identity).clone())
    }

    /// Newer credentials than those that were refused; `None` if there can't be any, as they are
    /// fixed.
    ///
    /// # Errors
    /// The provider's, or that it took too long. What was refused stays at hand, and the next
    /// request that is refused asks again.
    pub(super) async fn after(&self, refused: &Identity) -> Result<Option<Identity>> {
        let Some(provider) = &self.provider else {
            return Ok(None);
        };
        let mut last = self.last.lock().await;
        if let Some(identity) = &*last
            && identity.generation > refused.generation
        {
            // Another request was refused, too, and has asked already.
            return Ok(Some(identity.clone()));
        }
        let renewed = self.ask(provider).await?;
        let identity = Identity::new(renewed, refused.generation + 1)?;
        tracing::debug!("credentials were refused and renewed");
        Ok(Some(last.insert(identity).clone()))
    }

    async fn ask(&self, provider: &SharedProvider) -> Result<Credentials> {
        let late = |_| {
            let message = format!("the provider gave none within {:?}", self.patience);
            Error::new(ErrorKind::Unavailable, ASK, message)
        };
        timeout(self.patience, provider.0.credentials())
            .await
            .map_err(late)?
    }
}

impl Identity {
    fn new(credentials: Credentials, generation: u64) -> Result<Self> {
        credentials.validate()?;
        Ok(Self {
            credentials: Arc::new(credentials),
            generation,
        })
    }
}

const ASK: &str = "get credentials";

fn failed(message: &str) -> Error {
    Error::new(ErrorKind::Unauthorized, ASK, message)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use futures_util::future::join_all;

    use super::*;
    use crate::CredentialsProvider;

    #[derive(Default)]
    struct Counting(AtomicU32);

    #[async_trait]
    impl CredentialsProvider for Counting {
        async fn credentials(&self) -> Result<Credentials> {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(Credentials::new(format!("key{number}"), "hush"))
        }
    }

    struct Silent;

    #[async_trait]
    impl CredentialsProvider for Silent {
        async fn credentials(&self) -> Result<Credentials> {
            std::future::pending().await
        }
    }

    fn config() -> MnsConfig {
        MnsConfig::new("http://h", "q")
    }

    #[tokio::test]
    async fn is_renewed_once_for_all_who_were_refused() {
        let provider = Arc::new(Counting::default());
        let config = config().with_credentials_provider(Arc::clone(&provider));
        let identities = Identities::new(&config).unwrap();
        let first = join_all((0..4).map(|_| identities.current())).await;
        let first: Vec<_> = first.into_iter().map(Result::unwrap).collect();
        let renewed = join_all(first.iter().map(|first| identities.after(first))).await;
        for identity in renewed {
            let identity = identity.unwrap().unwrap();
            assert_eq!(identity.credentials.access_key_id, "key1");
        }
        assert_eq!(provider.0.load(Ordering::Relaxed), 2);
        let current = identities.current().await.unwrap();
        assert_eq!(current.credentials.access_key_id, "key1");
    }

    #[tokio::test]
    async fn that_is_fixed_can_not_be_renewed() {
        let config = config().with_credentials(Credentials::new("id", "hush"));
        let identities = Identities::new(&config).unwrap();
        let first = identities.current().await.unwrap();
        assert!(identities.after(&first).await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_wait_for_ever() {
        let config = config().with_credentials_provider(Silent);
        let identities = Identities::new(&config).unwrap();
        let error = identities.current().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("10s"), "{error}");
    }
}
