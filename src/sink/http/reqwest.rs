//! A `reqwest::Client` of the user's own as the transport.
//!
//!
//! What the user configured there (proxy, TLS, timeouts) holds. Two things don't: a redirect that
//! was followed is found out by the response's URL, and the URL is taken out of every error.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};

use super::{
    ResponseBody, Transport, TransportError, TransportErrorKind as Kind,
    client::{describe, kind},
};

/// Cheap to clone inside; the connections are the client's own.
pub(super) struct ReqwestTransport(pub(super) reqwest::Client);

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(classify)?;
        let url = request.url().clone();
        let response = self.0.execute(request).await.map_err(classify)?;
        // A POST that is redirected may arrive as a GET without the event, and be answered 200.
        if response.url() != &url {
            return Err(TransportError::new(Kind::Redirected, REDIRECTED));
        }
        Ok(Response::from(response).map(ResponseBody::new))
    }
}

const REDIRECTED: &str = "the client followed a redirect: build it with `redirect::Policy::none()`";

/// hyper's and rustls's causes first, as for the default transport; then what reqwest says itself.
fn classify(error: reqwest::Error) -> TransportError {
    // The URL may hold a token.
    let error = error.without_url();
    if error.is_redirect() {
        return TransportError::new(Kind::Redirected, REDIRECTED);
    }
    let kind = kind(&error, false).unwrap_or_else(|| {
        if error.is_timeout() {
            Kind::Timeout
        } else if error.is_connect() {
            Kind::Connect
        } else if error.is_builder() {
            Kind::Other
        } else {
            Kind::Reset
        }
    });
    TransportError::new(kind, describe(&error))
}
