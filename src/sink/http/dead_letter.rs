use std::{borrow::Cow, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, future::BoxFuture, stream};
use tokio::time::{Instant, timeout_at};

use super::{HttpSink, HttpSinkConfig, config::mistake};
use crate::{
    Error, ErrorKind, Result,
    event::http::Mode,
    sink::{DeadLetter, DeadLetterSink, Failure, Verdict},
};

const OPERATION: &str = "post dead letter";

/// Posts dead letters to a URL of their own, each as an event in binary or structured mode
/// ([`DeadLetter::to_event`]).
///
/// A letter is kept once it was answered as delivered, as [`HttpSink`] judges answers. Several are
/// on the way at the same time; they set out in their order. (The engine puts no two letters of a
/// lane into one call.)
///
/// ```
/// use eventlane::sink::http::{HttpDeadLetter, HttpSinkConfig};
///
/// let dead_letters = HttpDeadLetter::new(HttpSinkConfig::new("https://example.com/dead"))?
///     .with_concurrency(1); // they also arrive in their order
/// # Ok::<(), eventlane::Error>(())
/// ```
#[derive(Debug)]
pub struct HttpDeadLetter {
    sink: HttpSink,
    concurrency: usize,
    timeout: Duration,
}

impl HttpDeadLetter {
    /// Posts letters as `config` says.
    ///
    /// # Errors
    /// As [`HttpSink::new`], and if the mode is batched: letters stand or fall one by one.
    pub fn new(config: HttpSinkConfig) -> Result<Self> {
        HttpSink::new(config)?.try_into()
    }

    /// How many letters of one call are on the way at the same time, at least one. 16 by default.
    #[must_use]
    pub fn with_concurrency(mut self, letters: usize) -> Self {
        self.concurrency = letters.max(1);
        self
    }

    /// How long a call may take, up to 25 seconds; 20 by default. What is not answered by then
    /// counts as not kept; what is answered, as kept: hence less than the engine's own limit of 30
    /// seconds, which would have all of them sent again.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(Duration::from_secs(25));
        self
    }

    async fn post(&self, letter: &DeadLetter, deadline: Instant) -> Result<()> {
        let event = letter.to_event();
        let verdict = self.sink.deliver(std::slice::from_ref(&event));
        match timeout_at(deadline, verdict).await {
            Ok(verdict) => result(&verdict),
            Err(_) => {
                let message = format!(
                    "POST {}: no answer within {:?}",
                    self.sink.url(),
                    self.timeout
                );
                Err(Error::new(ErrorKind::Unavailable, OPERATION, message))
            }
        }
    }
}

impl TryFrom<HttpSink> for HttpDeadLetter {
    type Error = Error;

    /// Posts letters through this sink.
    fn try_from(sink: HttpSink) -> Result<Self> {
        if sink.mode() == Mode::Batched {
            return Err(mistake(
                "dead letters are posted one by one: choose the mode binary or structured",
            ));
        }
        if sink.reply_path.is_some() {
            return Err(mistake(
                "answers to dead letters are no replies: leave `with_replies_to` out",
            ));
        }
        Ok(Self {
            sink,
            concurrency: 16,
            timeout: Duration::from_secs(20),
        })
    }
}

#[async_trait]
impl DeadLetterSink for HttpDeadLetter {
    async fn keep(&self, letters: &[DeadLetter]) -> Vec<Result<()>> {
        let deadline = Instant::now() + self.timeout;
        let mut posts: Vec<BoxFuture<'_, Result<()>>> = Vec::with_capacity(letters.len());
        for letter in letters {
            posts.push(Box::pin(self.post(letter, deadline)));
        }
        stream::iter(posts)
            .buffered(self.concurrency)
            .collect()
            .await
    }

    fn destination(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.sink.url())
    }
}

fn result(verdict: &Verdict) -> Result<()> {
    let (kind, failure) = match verdict {
        Verdict::Delivered => return Ok(()),
        Verdict::Retry(failure) => (retried(failure), failure),
        Verdict::Hold(failure) => (ErrorKind::Unauthorized, failure),
        Verdict::Reject(failure) | Verdict::TooLarge(failure) | Verdict::Stop(failure) => {
            (ErrorKind::Rejected, failure)
        }
    };
    let error = Error::new(kind, OPERATION, failure.message.as_str());
    Err(match failure.retry_after {
        Some(after) => error.with_retry_after(after),
        None => error,
    })
}

fn retried(failure: &Failure) -> ErrorKind {
    if failure.status == Some(429) {
        ErrorKind::Throttled
    } else {
        ErrorKind::Unavailable
    }
}
