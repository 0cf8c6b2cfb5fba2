//! Events to an HTTP endpoint.
//!
//! [`HttpSink`] posts events to one URL, as the HTTP binding of CloudEvents says: each by itself
//! (*binary* or *structured* mode), or several in one request (*batched*).
//!
//! # What an answer means
//!
//! The status decides; [`StatusSets`] shows the table, and changes it. Whatever keeps the request
//! from being answered (no connection, TLS, a connection that breaks) is tried again.
//! `Retry-After`, in seconds or as a date, is followed on every status that is tried again or holds
//! the destination. Redirects are not followed. Of a body, 1 KiB is kept for the dead letter; the
//! rest is read only so that the connection can be used again, up to 64 KiB and one second. If
//! replies are wanted ([`HttpSink::with_replies_to`]), the body of a delivery is read to its end.
//!
//! # What an event can't do
//!
//! URL, method, credentials and headers are configuration. Apart from the `ce-` headers and the
//! content type, only extension attributes on an allow-list become headers ([`Forward`]), and W3C's
//! `traceparent` and `tracestate`, which are passed on to the request where the event has
//! extensions of these names (single-event modes).
//!
//! # Example
//!
//! ```no_run
//! use eventlane::{Event, sink::{Batch, Sink, http::{Credentials, HttpSink, HttpSinkConfig}}};
//!
//! # async fn example() -> eventlane::Result<()> {
//! let sink = HttpSink::new(
//!     HttpSinkConfig::new("https://example.com/events")
//!         .with_auth(Credentials::bearer_file("/run/secrets/token")),
//! )?;
//! let event = Event::builder().id("1").source("/doc").ty("com.example.shown").build()?;
//! let outcome = sink.send(Batch::one(event)).await;
//! # Ok(())
//! # }
//! ```

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_LENGTH, HOST},
    uri::{Parts, Scheme},
};

use super::{Batch, Outcome, Sink, Verdict, Verdicts};
use crate::{
    Result,
    event::{
        Event,
        http::{Mode, write_batched, write_binary, write_structured},
    },
};

mod answer;
mod auth;
mod classify;
mod client;
mod compress;
mod config;
mod dead_letter;
mod headers;
mod pool;
mod probe;
mod replies;
mod reply_path;
#[cfg(feature = "reqwest")]
mod reqwest;
mod response;
mod retry_after;
mod secret;
mod target;
mod tls;
mod transport;

pub use auth::Credentials;
pub use classify::StatusSets;
pub use config::{Forward, Gzip, HttpSinkConfig, Protocol, Tls};
pub use dead_letter::HttpDeadLetter;
pub use replies::{Replies, Undecodable};
pub use secret::Secret;
pub use transport::{ResponseBody, Transport, TransportError, TransportErrorKind};

use auth::{Authorization, Followed};
use classify::{Meaning, Table};
use client::HyperClient;
use headers::{Configured, Forwarder};
use reply_path::ReplyPath;
use target::Target;

/// How much of the body of a failure is kept.
const KEPT_BODY: usize = 1024;

/// Posts events to a URL. See the [module](self) for what it promises, and [`HttpSinkConfig`] for
/// what can be set.
///
/// * **Order.** A batch of several events, in binary or structured mode, is posted event by event
///   in its order, the next one when the last was answered, whatever the answer: in those modes the
///   engine puts no two events of a lane together.
/// * **Cancellation.** Dropping the future of `send` gives the exchange up at once. An HTTP/1.1
///   connection in the middle of one is closed.
/// * **Time.** Only connecting has a limit of its own ([`HttpSinkConfig::connect_timeout`]).
pub struct HttpSink {
    client: Client,
    uri: Uri,
    url: String,
    mode: Mode,
    /// What every request begins with; credentials that don't change included.
    headers: HeaderMap,
    auth: Option<Followed>,
    forward: Forwarder,
    gzip: Option<Gzip>,
    statuses: Table,
    max_retry_after: Duration,
    replies: Replies,
    reply_path: Option<Box<ReplyPath>>,
}

enum Client {
    /// Called without a detour through `dyn`.
    Hyper(Box<HyperClient>),
    Other(Arc<dyn Transport>),
}

impl HttpSink {
    /// Posts as `config` says. Nothing is sent and no connection is made yet.
    ///
    /// # Errors
    /// `Config`, in one line that says what to do, if `config` can't work: URL, headers, files that
    /// can't be read, and so on. Reads the files that `config` names, so it blocks for as long as
    /// that takes.
    pub fn new(config: HttpSinkConfig) -> Result<Self> {
        let target = Target::parse(&config.url)?;
        let client = Client::Hyper(Box::new(HyperClient::new(&config, &target)?));
        Self::build(client, config, &target)
    }

    /// Posts through a transport of your own. What [`config`](HttpSinkConfig) says of connections
    /// is the transport's business then: `connect_timeout`, `idle_timeout` and
    /// `max_idle_connections` have no effect.
    ///
    /// # Errors
    /// As [`new`](Self::new), and if `tls` or `protocol` is set.
    pub fn with_transport(
        transport: impl Transport + 'static,
        config: HttpSinkConfig,
    ) -> Result<Self> {
        let target = Target::parse(&config.url)?;
        if config.tls.is_set() || config.protocol != Protocol::Auto {
            return Err(config::mistake(
                "`tls` and `protocol` can't be set with a client of your own: set them there",
            ));
        }
        Self::build(Client::Other(Arc::new(transport)), config, &target)
    }

    /// Posts through a `reqwest::Client` of your own: as [`with_transport`](Self::with_transport).
    ///
    /// Build it with `redirect::Policy::none()` (a redirect that it follows counts as a rejection),
    /// and without a retry policy or timeouts of its own: those are the engine's. A configured
    /// `Host` goes into the header of that name, in HTTP/2 too.
    ///
    /// # Errors
    /// As [`with_transport`](Self::with_transport).
    #[cfg(feature = "reqwest")]
    pub fn with_reqwest(client: ::reqwest::Client, config: HttpSinkConfig) -> Result<Self> {
        Self::with_transport(reqwest::ReqwestTransport(client), config)
    }

    fn build(client: Client, config: HttpSinkConfig, target: &Target) -> Result<Self> {
        let Configured { mut headers, host } = headers::configured(&config)?;
        let mut uri = target.uri.clone();
        match (&client, host) {
            (Client::Hyper(_), host) => {
                // The connector goes to the target whatever the URI says, so the URI says what the
                // receiver shall see: `:authority` is made of it.
                if let Some(host) = host {
                    let mut parts = Parts::from(uri);
                    parts.authority = Some(host);
                    uri = Uri::from_parts(parts).map_err(|cause| {
                        config::mistake("the header Host can't be used").with_source(cause)
                    })?;
                }
                // The connections of plain HTTP/1.1 send headers as they are. Over TLS it could
                // become HTTP/2, which has none.
                if !target.is_https() && config.protocol != Protocol::Http2 {
                    headers.insert(HOST, host_header(&uri)?);
                }
            }
            (Client::Other(_), Some(host)) => {
                let host = HeaderValue::from_str(host.as_str());
                headers.insert(
                    HOST,
                    host.map_err(|_| config::mistake("the header Host can't be used"))?,
                );
            }
            (Client::Other(_), None) => {}
        }
        let auth = match config.auth.map(Authorization::new).transpose()? {
            Some(Authorization::Fixed(header)) => {
                headers.insert(AUTHORIZATION, header);
                None
            }
            Some(Authorization::Followed(followed)) => Some(followed),
            None => None,
        };
        Ok(Self {
            client,
            uri,
            url: target.shown.clone(),
            mode: config.mode,
            headers,
            auth,
            forward: Forwarder::new(config.forward)?,
            gzip: config.gzip.map(compress::check).transpose()?,
            statuses: Table::new(&config.statuses)?,
            max_retry_after: config.max_retry_after,
            replies: config.replies.check()?,
            reply_path: None,
        })
    }

    /// Takes CloudEvents in answers for *replies*, and hands them to this sink: a Kafka topic, an
    /// endpoint, a function, any other.
    ///
    /// ```
    /// use eventlane::{Event, sink::{FunctionSink, HttpSink, HttpSinkConfig}};
    ///
    /// let replies = FunctionSink::new(|reply: Event| async move { println!("{}", reply.id()) });
    /// let sink = HttpSink::new(HttpSinkConfig::new("https://example.com/score"))?
    ///     .with_replies_to(replies);
    /// # Ok::<(), eventlane::Error>(())
    /// ```
    ///
    /// * **What a reply is.** The CloudEvent in an answer with a status from 200 to 299 but 202, in
    ///   binary or structured mode, or several in batched mode, whatever the mode of the request.
    ///   An empty body is none. What a 202 carries is none. It goes on as it is, but for the
    ///   extension attribute `eventlanehops`. A body that is not empty and can't be read:
    ///   [`Replies::undecodable`].
    /// * **No loss.** What was asked counts as delivered only when this sink has taken all replies
    ///   to it. While it doesn't, they are handed over again for [`Replies::timeout`]; then the
    ///   verdict about the event is this sink's, for [`Verdict::TooLarge`] `Reject`. What is tried
    ///   again is asked again: the receiver sees the event more than once, and replies are handed
    ///   over **at least once**.
    /// * **Order.** A lane waits until its replies are taken. The replies of one answer are handed
    ///   over in their order; if this sink answers for each event, no two with the same
    ///   `partitionkey` (or without) in one call.
    /// * **Loops.** A reply that comes back as an event has `eventlanehops`, which counts: at
    ///   [`Replies::max_hops`] the event is rejected when it is answered by yet another reply. Send
    ///   replies somewhere else than to where the events come from, all the same.
    /// * **Memory.** [`Replies::max_bytes`] for each request in flight.
    ///
    /// Requests say `Prefer: reply`, as those of Knative do, unless that header is configured.
    #[must_use]
    pub fn with_replies_to(mut self, sink: impl Sink + 'static) -> Self {
        const PREFER: HeaderName = HeaderName::from_static("prefer");
        let wish = HeaderValue::from_static("reply");
        self.headers.entry(PREFER).or_insert(wish);
        let path = ReplyPath::new(Arc::new(sink), self.replies, self.url.clone());
        self.reply_path = Some(Box::new(path));
        self
    }

    /// Where it posts to, without the query.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it posts.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Posts these events in one request, and hands over what they are answered by.
    async fn deliver(&self, events: &[Event]) -> Verdict {
        let replies = match self.ask(events).await {
            Ok(replies) => replies,
            Err(verdict) => return verdict,
        };
        match &self.reply_path {
            Some(path) if !replies.is_empty() => path.hand_over(events, replies).await,
            _ => Verdict::Delivered,
        }
    }

    /// Posts these events. The replies, if they were taken.
    async fn ask(&self, events: &[Event]) -> Result<Vec<Event>, Verdict> {
        let Some(auth) = &self.auth else {
            return self.exchange(events, None).await;
        };
        let used = auth.current().await;
        let answer = self.exchange(events, Some(used.clone())).await;
        if matches!(answer, Err(Verdict::Hold(_)))
            && let Some(renewed) = auth.renewed(&used).await
        {
            return self.exchange(events, Some(renewed)).await;
        }
        answer
    }

    async fn exchange(
        &self,
        events: &[Event],
        authorization: Option<HeaderValue>,
    ) -> Result<Vec<Event>, Verdict> {
        let request = self.request(events, authorization).await;
        let sent = match &self.client {
            Client::Hyper(client) => client.send(request).await,
            Client::Other(transport) => transport.send(request).await,
        };
        match sent {
            Ok(response) => self.judge(response).await,
            Err(error) => {
                let failure = Box::new(classify::unanswered(&self.url, &error));
                Err(match error.kind() {
                    TransportErrorKind::Redirected => Verdict::Reject(failure),
                    _ => Verdict::Retry(failure),
                })
            }
        }
    }

    async fn request(
        &self,
        events: &[Event],
        authorization: Option<HeaderValue>,
    ) -> Request<Bytes> {
        // A clone would have room for no more than these, and grow several times.
        let room = match (self.mode, events) {
            (Mode::Binary, [event]) => 10 + event.extensions().len(),
            _ => 4,
        };
        let mut headers = HeaderMap::with_capacity(self.headers.len() + room);
        let configured = self.headers.iter();
        headers.extend(configured.map(|(name, value)| (name.clone(), value.clone())));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let mut body = match (self.mode, events) {
            (Mode::Binary, [event]) => write_binary(event, &mut headers),
            (Mode::Structured, [event]) => write_structured(event, &mut headers),
            _ => write_batched(events, &mut headers),
        };
        if let (Mode::Binary | Mode::Structured, [event]) = (self.mode, events) {
            self.forward.add(event, &mut headers);
            headers::add_trace(event, &mut headers);
        }
        if let Some(gzip) = self.gzip {
            body = compress::compress(gzip, body, &mut headers).await;
        }
        if body.is_empty() {
            // hyper leaves it out then, and some servers answer 411.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }

    async fn judge(&self, response: Response<ResponseBody>) -> Result<Vec<Event>, Verdict> {
        let (head, body) = response.into_parts();
        let meaning = self.statuses.meaning(head.status);
        if meaning == Meaning::Delivered {
            return match &self.reply_path {
                // A 202 is never a reply: Knative's contract.
                Some(path) if head.status.is_success() && head.status != StatusCode::ACCEPTED => {
                    path.read(&head, body).await
                }
                _ => {
                    response::drain(body).await;
                    Ok(Vec::new())
                }
            };
        }
        let body = response::read(body, KEPT_BODY).await;
        Err(meaning.verdict(classify::answered(
            &self.url,
            head.status,
            &head.headers,
            body,
            self.max_retry_after,
            meaning,
        )))
    }
}

#[async_trait]
impl Sink for HttpSink {
    async fn send(&self, batch: Batch) -> Outcome {
        if self.mode == Mode::Batched || batch.events.len() == 1 {
            return Outcome::All(self.deliver(&batch.events).await);
        }
        let mut verdicts = Vec::with_capacity(batch.events.len());
        for event in &batch.events {
            verdicts.push(self.deliver(std::slice::from_ref(event)).await);
        }
        Outcome::Each(verdicts)
    }

    fn verdicts(&self) -> Verdicts {
        match self.mode {
            Mode::Batched => Verdicts::Whole,
            Mode::Binary | Mode::Structured => Verdicts::PerEvent,
        }
    }

    fn destination(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.url)
    }
}

impl fmt::Debug for HttpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSink")
            .field("url", &self.url)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// What the receiver is called: the port only if it isn't the scheme's own.
fn host_header(uri: &Uri) -> Result<HeaderValue> {
    let default = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        _ => 80,
    };
    let host = uri.host().unwrap_or_default();
    let text = match uri.port_u16() {
        Some(port) if port != default => format!("{host}:{port}"),
        _ => host.to_owned(),
    };
    HeaderValue::try_from(text)
        .map_err(|cause| config::mistake("the URL's host can't be used").with_source(cause))
}
