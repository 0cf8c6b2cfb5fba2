//! Sends requests, and deals with what no caller wants to know of: clocks that are off, credentials
//!
//! * **Time.** Each attempt has the request's wait and `request_timeout`, body included. There are
//!   three at most: one more for the date, one more for the credentials.
//! * **Repetition.** Only what was refused is sent again, so that nothing is done twice. Where
//!   there is no answer, that is the caller's to decide.
//! * **Size.** An answer is read up to [`LARGEST_ANSWER`] and no further.
//! * **Redirects** are not followed: the signature is for one path, and a token is not for another
//!   host. that have expired.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use eventlane::{Error, ErrorKind, Result};
use httpdate::parse_http_date;
use reqwest::{
    Response, StatusCode,
    header::{DATE, HeaderMap, LOCATION, RETRY_AFTER},
    redirect,
};
use tokio::time::timeout;

use super::{
    clock::Clock,
    identity::{Identities, Identity},
    request::{Addressee, Request},
    xml::Element,
};
use crate::{
    config::MnsConfig,
    error::{Refusal, one_line},
};

/// Sixteen bodies of 64 KiB, every character of them escaped, and what is around them.
const LARGEST_ANSWER: usize = 8 << 20;

/// Everything that the requests to one queue have in common.
#[derive(Debug)]
pub(super) struct Transport {
    http: reqwest::Client,
    addressee: Addressee,
    identities: Identities,
    clock: Clock,
    /// For errors: its URL.
    queue: String,
    /// How long an answer may take beyond what the server is asked to wait.
    patience: Duration,
}

/// An answer, read to its end. Callers only see those that say yes.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    /// The header `Date`: the server's time, in whole seconds.
    pub(super) date: Option<SystemTime>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    location: Option<String>,
    body: Bytes,
}

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server said no.
    Refused(Box<Refusal>),
    /// There is no answer, or none that can be understood.
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => (*refusal).into(),
            Failure::Error(error) => error,
        }
    }
}

impl Transport {
    pub(super) fn new(config: &MnsConfig) -> Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(config.connect_timeout)
            .user_agent(concat!("eventlane-mns/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                let message = format!("no HTTP client: {}", innermost(&error));
                Error::new(ErrorKind::Config, "configure MNS", message)
            })?;
        let addressee = Addressee::new(config)?;
        Ok(Self {
            http,
            queue: addressee.queue().to_owned(),
            addressee,
            identities: Identities::new(config)?,
            clock: Clock::default(),
            patience: config.request_timeout,
        })
    }

    /// Sends a request. One that is refused for its date or its credentials was not carried out,
    /// and is sent once more with better ones.
    pub(super) async fn call(&self, request: &Request) -> Result<Answer, Failure> {
        let mut identity = self.identities.current().await?;
        let (mut corrected, mut renewed) = (false, false);
        loop {
            let answer = self.attempt(request, &identity).await?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            let refusal = self.refusal(request, &answer);
            if refusal.is_about_time() {
                match answer.date {
                    Some(date) if !corrected => self.clock.correct(date),
                    Some(_) => return Err(self.off(refusal)),
                    None => return Err(Failure::Refused(Box::new(refusal))),
                }
                corrected = true;
            } else if refusal.kind() == ErrorKind::Unauthorized && !renewed {
                match self.identities.after(&identity).await? {
                    Some(newer) => identity = newer,
                    None => return Err(Failure::Refused(Box::new(refusal))),
                }
                renewed = true;
            } else {
                return Err(Failure::Refused(Box::new(refusal)));
            }
        }
    }

    /// The body of an answer. What is no XML was garbled on its way, and the next answer may be
    /// better.
    pub(super) fn document(&self, request: &Request, answer: &Answer) -> Result<Element> {
        Element::parse(&answer.body)
            .map_err(|reason| self.odd(ErrorKind::Unavailable, request, answer, reason))
    }

    /// An answer that says something else than it should.
    pub(super) fn confusing(&self, request: &Request, answer: &Answer, reason: &str) -> Error {
        self.odd(ErrorKind::Unexpected, request, answer, reason)
    }

    fn odd(
        &self,
        kind: ErrorKind,
        request: &Request,
        answer: &Answer,
        reason: impl std::fmt::Display,
    ) -> Error {
        let message = format!(
            "the answer is not what MNS would send: {}; does the endpoint lead to MNS?",
            one_line(&reason.to_string())
        );
        let error = self.error(kind, request, message);
        let error = error.with_context("status", answer.status.as_u16());
        match &answer.request_id {
            Some(id) => error.with_context("request id", one_line(id)),
            None => error,
        }
    }

    /// Signs and sends a request once, with the time as it is now.
    async fn attempt(&self, request: &Request, identity: &Identity) -> Result<Answer> {
        let now = self.clock.now();
        let (url, headers) = self.addressee.sign(request, &identity.credentials, now)?;
        let mut http = self.http.request(request.method.clone(), url);
        http = http.headers(headers);
        if let Some(body) = &request.body {
            http = http.body(body.clone());
        }
        let limit = request.wait + self.patience;
        match timeout(limit, self.exchange(request, http)).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!("no answer within {limit:?}");
                Err(self.error(ErrorKind::Unavailable, request, message))
            }
        }
    }

    /// The answer to a request, whatever it says. Errors have their innermost cause in their text
    /// and no URL, which has handles in it.
    async fn exchange(&self, request: &Request, http: reqwest::RequestBuilder) -> Result<Answer> {
        let lost = |error: reqwest::Error| {
            let advice = match error.is_connect() {
                true => "; is the endpoint right, and reachable from here?",
                false => "",
            };
            let message = format!("{}{advice}", innermost(&error));
            self.error(ErrorKind::Unavailable, request, message)
                .with_source(error.without_url())
        };
        let mut response = http.send().await.map_err(lost)?;
        let mut answer = Answer::begin(&response);
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                let reason = format!("it is larger than {LARGEST_ANSWER} bytes");
                return Err(self.confusing(request, &answer, &reason));
            }
            body.extend_from_slice(&chunk);
        }
        answer.body = body.freeze();
        Ok(answer)
    }

    /// What an answer that says no is about, as far as it can be read.
    fn refusal(&self, request: &Request, answer: &Answer) -> Refusal {
        let document = Element::parse(&answer.body).ok();
        let error = document.as_ref().filter(|root| root.name() == "Error");
        let value = |name| error.and_then(|error| error.value(name)).map(str::to_owned);
        // Without XML, the text itself is all there is.
        let text = || String::from_utf8_lossy(answer.body.get(..2048).unwrap_or(&answer.body));
        let message = match &document {
            Some(_) => value("Message").unwrap_or_default(),
            None => text().into_owned(),
        };
        Refusal {
            operation: request.operation,
            queue: self.queue.clone(),
            status: answer.status.as_u16(),
            code: value("Code").unwrap_or_default(),
            message,
            request_id: answer.request_id.clone().or_else(|| value("RequestId")),
            retry_after: answer.retry_after,
            location: answer.location.clone(),
            document,
        }
    }

    /// The date is refused although it is the server's own.
    fn off(&self, mut refusal: Refusal) -> Failure {
        refusal.message = format!(
            "{}, and a request with the date corrected by that is refused, too",
            self.clock.fault()
        );
        Failure::Refused(Box::new(refusal))
    }

    fn error(&self, kind: ErrorKind, request: &Request, message: impl Into<String>) -> Error {
        Error::new(kind, request.operation, message).with_context("queue", &self.queue)
    }
}

impl Answer {
    fn begin(response: &Response) -> Self {
        let headers = response.headers();
        let date = text(headers, DATE.as_str()).and_then(|date| parse_http_date(date).ok());
        Self {
            status: response.status(),
            date,
            request_id: text(headers, "x-mns-request-id").map(str::to_owned),
            retry_after: text(headers, RETRY_AFTER.as_str())
                .and_then(|after| retry_after(after, date)),
            location: text(headers, LOCATION.as_str())
                .filter(|_| response.status().is_redirection())
                .map(str::to_owned),
            body: Bytes::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.status == StatusCode::NO_CONTENT
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Seconds, or a date by the server's clock.
fn retry_after(value: &str, date: Option<SystemTime>) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = parse_http_date(value.trim()).ok()?;
    until.duration_since(date?).ok()
}

/// The cause behind all that wraps it: `connection refused` rather than `error sending request`.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    one_line(&error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = parse_http_date("Tue, 03 Jun 2025 11:23:48 GMT").ok();
        assert_eq!(retry_after(" 7 ", None), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after("Tue, 03 Jun 2025 11:24:48 GMT", date),
            Some(Duration::from_secs(60))
        );
        for (value, date) in [
            ("Tue, 03 Jun 2025 11:24:48 GMT", None),
            ("Tue, 03 Jun 2025 11:22:48 GMT", date),
            ("soon", date),
            ("-1", date),
        ] {
            assert_eq!(retry_after(value, date), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_wait_that_is_asked_for_is_no_harm(
            value in "[0-9]{0,30}|[A-Z][a-z]{2}, [0-9]{1,2} (Jan|Dec) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT|.{0,30}",
            date in option::of(any::<u32>()),
        ) {
            let date = date.map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at.into()));
            let error = Error::new(ErrorKind::Throttled, "x", "x");
            if let Some(after) = retry_after(&value, date) {
                // As it is followed: never so long that it can't be added to an instant.
                let after = error.with_retry_after(after).retry_after().unwrap();
                prop_assert!(after <= Duration::from_secs(86_400 * 366), "{after:?}");
            }
        }
    }
}
