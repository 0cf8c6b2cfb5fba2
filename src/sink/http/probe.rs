//! A look at an endpoint without an event.

use bytes::Bytes;
use http::{Method, StatusCode, header::AUTHORIZATION};

use super::{Client, HttpSink, response};
use crate::{Error, ErrorKind, Result};

const OPERATION: &str = "probe HTTP sink";

impl HttpSink {
    /// Asks the endpoint for its `OPTIONS`, with the headers and credentials that events come with,
    /// and returns the status of its answer. No event is sent. What the status says of events is
    /// the caller's to judge: many endpoints answer 404 or 405 and take events all the same.
    ///
    /// Waits for as long as the endpoint takes to answer: put a timeout around it.
    ///
    /// # Errors
    /// `Unavailable` if there is no answer: no connection, TLS, a connection that breaks.
    /// `Unauthorized` for 401, 403 and 407.
    pub async fn probe(&self) -> Result<StatusCode> {
        let mut request = http::Request::new(Bytes::new());
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().clone_from(&self.headers);
        if let Some(auth) = &self.auth {
            let header = auth.current().await;
            request.headers_mut().insert(AUTHORIZATION, header);
        }
        let sent = match &self.client {
            Client::Hyper(client) => client.send(request).await,
            Client::Other(transport) => transport.send(request).await,
        };
        let answer = sent.map_err(|error| {
            let reason = format!("{}: {}", error.kind().as_str(), error.message());
            Error::new(ErrorKind::Unavailable, OPERATION, reason).with_context("url", &self.url)
        })?;
        let (head, body) = answer.into_parts();
        response::read(body, 0).await;
        match head.status.as_u16() {
            401 | 403 | 407 => {
                let reason = format!("the endpoint answers {}", head.status);
                Err(Error::new(ErrorKind::Unauthorized, OPERATION, reason)
                    .with_context("url", &self.url))
            }
            _ => Ok(head.status),
        }
    }
}
