//! The parts of a pipeline that can be exchanged while it runs.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use eventlane::{
    Control, LiveSettings, Result,
    event::http::Mode,
    sink::{
        Batch, DeadLetter, DeadLetterSink, HttpSink, Outcome, Sink, Verdicts, http::HttpDeadLetter,
    },
};
use eventlane_mns::MnsConfig;
use eventlane_rocketmq::RocketMqConfig;

use crate::{
    config::{DeadLetterConfig, DeliveryConfig, PipelineConfig},
    replies::ReplySink,
};

/// Something that is used by many and exchanged by one. Whoever uses the old one goes on with it.
struct Shared<T>(Arc<RwLock<Arc<T>>>);

impl<T> Shared<T> {
    fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// An HTTP sink that can be exchanged. How batches are judged is asked once, so it stays.
#[derive(Clone, Debug)]
pub struct LiveSink {
    sink: Shared<HttpSink>,
    verdicts: Verdicts,
}

#[async_trait]
impl Sink for LiveSink {
    async fn send(&self, batch: Batch) -> Outcome {
        self.sink.get().send(batch).await
    }

    fn verdicts(&self) -> Verdicts {
        self.verdicts
    }

    fn destination(&self) -> Cow<'_, str> {
        Cow::Owned(self.sink.get().url().to_owned())
    }
}

/// An endpoint for dead letters that can be exchanged.
#[derive(Clone, Debug)]
pub struct LiveLetters(Shared<HttpDeadLetter>);

#[async_trait]
impl DeadLetterSink for LiveLetters {
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>> {
        self.0.get().keep(letters).await
    }

    fn destination(&self) -> Cow<'_, str> {
        Cow::Owned(self.0.get().destination().into_owned())
    }
}

/// What of a pipeline can be exchanged or changed.
#[derive(Debug)]
pub struct LiveParts {
    /// Where events go.
    pub sink: LiveSink,
    /// Where letters go, if that is an endpoint.
    pub letters: Option<LiveLetters>,
    /// What decides about retries, budgets and so on; once there is a pipeline.
    pub control: Option<Control>,
    replies: Option<ReplySink>,
    rocketmq: Option<Shared<eventlane_rocketmq::Credentials>>,
    mns: Option<Shared<eventlane_mns::Credentials>>,
}

impl LiveParts {
    /// Reads the files that they name. Replies go to this sink, if there is one.
    ///
    /// # Errors
    /// `Config`.
    pub fn new(config: &PipelineConfig, replies: Option<ReplySink>) -> Result<Self> {
        let sink = sink(config, replies.as_ref())?;
        let letters = match &config.delivery.dead_letter {
            Some(DeadLetterConfig::Http(letters)) => {
                Some(LiveLetters(Shared::new(letters.open()?)))
            }
            _ => None,
        };
        Ok(Self {
            sink: LiveSink {
                verdicts: sink.verdicts(),
                sink: Shared::new(sink),
            },
            letters,
            control: None,
            replies,
            rocketmq: None,
            mns: None,
        })
    }

    /// The configuration with credentials that can be exchanged, if it has any.
    pub fn follow_rocketmq(&mut self, config: &RocketMqConfig) -> RocketMqConfig {
        let credentials = config.credentials.clone().map(Shared::new);
        self.rocketmq.clone_from(&credentials);
        match credentials {
            Some(credentials) => config
                .clone()
                .with_credentials_provider(Followed(credentials)),
            None => config.clone(),
        }
    }

    /// The same for MNS.
    pub fn follow_mns(&mut self, config: &MnsConfig) -> MnsConfig {
        let credentials = config.credentials.clone().map(Shared::new);
        self.mns.clone_from(&credentials);
        match credentials {
            Some(credentials) => config
                .clone()
                .with_credentials_provider(Followed(credentials)),
            None => config.clone(),
        }
    }

    /// Whether a sink in this mode can take the place of the one that there is.
    pub fn takes(&self, mode: Mode) -> bool {
        (mode == Mode::Batched) == (self.sink.verdicts == Verdicts::Whole)
    }

    /// Takes over what can be changed. All or nothing: what can't work changes nothing.
    ///
    /// # Errors
    /// `Config`.
    pub fn change(&self, config: &PipelineConfig) -> Result<()> {
        let sink = sink(config, self.replies.as_ref())?;
        let letters = match (&self.letters, &config.delivery.dead_letter) {
            (Some(live), Some(DeadLetterConfig::Http(letters))) => Some((live, letters.open()?)),
            _ => None,
        };
        if let Some(control) = &self.control {
            control.set(settings(control.settings(), &config.delivery))?;
        }
        self.sink.sink.set(sink);
        if let Some((live, letters)) = letters {
            live.0.set(letters);
        }
        let rocketmq = config.source.rocketmq.as_ref();
        if let (Some(live), Some(config)) = (&self.rocketmq, rocketmq)
            && let Some(credentials) = &config.credentials
        {
            live.set(credentials.clone());
        }
        if let (Some(live), Some(config)) = (&self.mns, config.source.mns.as_ref())
            && let Some(credentials) = &config.credentials
        {
            live.set(credentials.clone());
        }
        Ok(())
    }
}

fn sink(config: &PipelineConfig, replies: Option<&ReplySink>) -> Result<HttpSink> {
    let sink = HttpSink::new(config.sink.http.clone())?;
    Ok(match replies {
        Some(replies) => sink.with_replies_to(replies.clone()),
        None => sink,
    })
}

fn settings(mut settings: LiveSettings, delivery: &DeliveryConfig) -> LiveSettings {
    settings.budgets = delivery.budgets;
    settings.batch = delivery.batch;
    settings.retry = delivery.retry.clone();
    settings.on_exhausted = delivery.exhausted();
    settings
}

/// Credentials that are asked for again when they are refused.
struct Followed<T>(Shared<T>);

#[async_trait]
impl eventlane_rocketmq::CredentialsProvider for Followed<eventlane_rocketmq::Credentials> {
    async fn credentials(&self) -> Result<eventlane_rocketmq::Credentials> {
        Ok((*self.0.get()).clone())
    }
}

#[async_trait]
impl eventlane_mns::CredentialsProvider for Followed<eventlane_mns::Credentials> {
    async fn credentials(&self) -> Result<eventlane_mns::Credentials> {
        Ok((*self.0.get()).clone())
    }
}
