use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Carries a request to where its URI says and brings the head of the response.
///
/// * **Once.** A request is sent again only if no byte of it has left.
/// * **As it is.** No redirect is followed; method, headers and body stay unchanged.
/// * **Cancellation.** The future is dropped when an attempt times out. What it holds is freed
///   then; a connection that is in the middle of an exchange isn't used again.
///
/// The default transport is hyper-util's client.
/// [`HttpSink::with_transport`](super::HttpSink::with_transport) takes another.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends the request.
    async fn send(&self, request: Request<Bytes>)
    -> Result<Response<ResponseBody>, TransportError>;
}

fn _object_safe(_: &dyn Transport) {}

/// The body of a response, as it comes in.
pub struct ResponseBody(Inner);

enum Inner {
    Hyper(Incoming),
    Other(UnsyncBoxBody<Bytes, BoxError>),
}

impl ResponseBody {
    /// Any body.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self(Inner::Other(body.map_err(Into::into).boxed_unsync()))
    }
}

impl From<Incoming> for ResponseBody {
    fn from(body: Incoming) -> Self {
        Self(Inner::Hyper(body))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Inner::Hyper(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Inner::Other(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Hyper(body) => body.is_end_stream(),
            Inner::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Hyper(body) => body.size_hint(),
            Inner::Other(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseBody")
    }
}

/// What kept a request from being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// No connection came about: name, route, port.
    Connect,
    /// The TLS handshake failed, or TLS broke: certificates above all.
    Tls,
    /// It took too long.
    Timeout,
    /// The connection went away before the response was there.
    Reset,
    /// What came back was no HTTP.
    Protocol,
    /// The transport followed a redirect, so the event may have gone astray. It must not.
    Redirected,
    /// Anything else.
    Other,
}

impl TransportErrorKind {
    /// The kind as a metric label, and as the [reason](crate::sink::Failure::reason) of a failure.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Redirected => "redirected",
            Self::Other => "transport",
        }
    }
}

/// Why a request was not answered. Its message is one line, without the URL and without secrets.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", kind.as_str())]
pub struct TransportError {
    kind: TransportErrorKind,
    message: String,
}

impl TransportError {
    /// An error of this kind.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What kept the request from being answered.
    pub fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    /// The cause, for people.
    pub fn message(&self) -> &str {
        &self.message
    }
}
