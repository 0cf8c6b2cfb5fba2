//! The default transport: a pool of its own for plain HTTP/1.1, hyper-util's client for the rest.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::net::TcpStream;
use tower_service::Service;

use super::{
    ResponseBody, TransportError, TransportErrorKind,
    config::{HttpSinkConfig, Protocol},
    pool::Pool,
    target::Target,
    tls,
};
use crate::Result;

type BoxError = Box<dyn StdError + Send + Sync>;

/// An HTTP/2 connection over which nothing comes for so long, while a response is awaited, is asked
/// whether it lives. Otherwise a network that swallows packets would take all requests with it
/// until TCP gives up.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// A timer can't be set arbitrarily far.
const MAX_IDLE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone)]
pub(super) enum HyperClient {
    /// `http://` without HTTP/2.
    Pool(Arc<Pool>),
    /// Where TLS settles the version, or HTTP/2 is asked for.
    Legacy(Box<Client<Connector, Full<Bytes>>>),
}

impl HyperClient {
    /// # Errors
    /// `Config` if TLS can't be set up. Nothing is connected yet.
    pub(super) fn new(config: &HttpSinkConfig, target: &Target) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        // Shared among the addresses of a name, so that one which hangs leaves time for the others.
        tcp.set_connect_timeout(Some(config.connect_timeout));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(&config.tls, target)?)
            .https_or_http();
        let https = match config.protocol {
            Protocol::Auto => https.enable_all_versions().wrap_connector(tcp),
            Protocol::Http1 => https.enable_http1().wrap_connector(tcp),
            Protocol::Http2 => https.enable_http2().wrap_connector(tcp),
        };
        let connector = Connector {
            https,
            to: target.uri.clone(),
            within: config.connect_timeout,
        };
        let idle_timeout = config.idle_timeout.min(MAX_IDLE_TIMEOUT);
        let max_idle = config.max_idle_connections;
        if !target.is_https() && config.protocol != Protocol::Http2 {
            let pool = Pool::new(connector, &target.uri, idle_timeout, max_idle);
            return Ok(Self::Pool(pool));
        }
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle_timeout)
            .pool_max_idle_per_host(max_idle)
            .http2_only(config.protocol == Protocol::Http2)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(connector);
        Ok(Self::Legacy(Box::new(client)))
    }

    /// Sends a request. hyper sends it again only if it was never begun on its connection.
    pub(super) async fn send(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let request = request.map(Full::new);
        let response = match self {
            Self::Pool(pool) => pool.send(request).await,
            Self::Legacy(client) => {
                let response = client.request(request).await;
                response.map_err(|error| classify(&error, error.is_connect()))
            }
        };
        response.map(|response| response.map(ResponseBody::from))
    }
}

impl fmt::Debug for HyperClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HyperClient")
    }
}

/// Connects to the configured URL whatever host the request names, in bounded time.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector>,
    to: Uri,
    within: Duration,
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connection = self.https.call(self.to.clone());
        let within = self.within;
        Box::pin(async move {
            match tokio::time::timeout(within, connection).await {
                Ok(connection) => connection,
                Err(_) => Err(format!("no usable connection within {within:?}").into()),
            }
        })
    }
}

/// Finds the one cause in a chain of wrappers that says what happened.
pub(super) fn classify(error: &(dyn StdError + 'static), connecting: bool) -> TransportError {
    let fallback = if connecting {
        TransportErrorKind::Connect
    } else {
        TransportErrorKind::Reset
    };
    let kind = kind(error, connecting).unwrap_or(fallback);
    let mut message = describe(error);
    if unknown_authority(error) {
        message.push_str(": if the receiver's authority is your own, set `tls.ca`");
    }
    TransportError::new(kind, message)
}

/// The kind, where the chain of causes says one.
pub(super) fn kind(
    error: &(dyn StdError + 'static),
    connecting: bool,
) -> Option<TransportErrorKind> {
    chain(error).find_map(|cause| {
        if cause.is::<rustls::Error>() {
            return Some(TransportErrorKind::Tls);
        }
        let hyper = cause.downcast_ref::<hyper::Error>()?;
        // Of what ends an HTTP/2 connection only the text is left.
        if describe(cause).contains("received fatal alert") {
            Some(TransportErrorKind::Tls)
        } else if hyper.is_parse() {
            Some(TransportErrorKind::Protocol)
        } else if hyper.is_timeout() {
            Some(TransportErrorKind::Timeout)
        } else if hyper.is_user() && !connecting {
            Some(TransportErrorKind::Other)
        } else {
            None
        }
    })
}

/// Whether TLS failed because nobody we trust has signed the certificate: then advice helps.
fn unknown_authority(error: &(dyn StdError + 'static)) -> bool {
    use rustls::{CertificateError::UnknownIssuer, Error::InvalidCertificate};
    chain(error).any(|cause| {
        matches!(
            cause.downcast_ref(),
            Some(InvalidCertificate(UnknownIssuer))
        )
    })
}

/// The error and what it is caused by, also where an `io::Error` hides it: that skips what it
/// wraps.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(inner) = io.get_ref()
        {
            return Some(inner);
        }
        error.source()
    })
}

/// All causes in one line, outermost first, each said once.
pub(super) fn describe(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for cause in chain(error) {
        let cause = cause.to_string();
        // `client error (Connect)` says nothing that the kind doesn't.
        if cause.starts_with("client error (") || text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}
