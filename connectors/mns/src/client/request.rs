//! A request: what it says, and how it goes onto the wire.
//!
//! The target is encoded by us, once, and then parsed; what the parser has made of it is both
//! signed and sent. That is why a handle with any character in it and an endpoint with any path
//! have a signature that is right.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use eventlane::{Error, ErrorKind, Result};
use httpdate::fmt_http_date;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue},
};
use secrecy::ExposeSecret;
use url::Url;

use super::sign::{self, ENCODED, ToSign};
use crate::config::{Credentials, MnsConfig, Signing};

/// Sent with every request, also without a body: what the service's own SDK does.
const XML: &str = "text/xml;charset=UTF-8";
const VERSION: &str = "2015-06-06";

/// What is asked of a queue.
#[derive(Debug)]
pub(super) struct Request {
    /// For errors.
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// The queue itself, or its messages.
    pub(super) messages: bool,
    /// Not encoded, in the order in which they are sent.
    pub(super) params: Vec<(&'static str, String)>,
    pub(super) body: Option<String>,
    /// How long the server is asked to wait.
    pub(super) wait: Duration,
}

impl Request {
    pub(super) fn new(operation: &'static str, method: Method, messages: bool) -> Self {
        Self {
            operation,
            method,
            messages,
            params: Vec::new(),
            body: None,
            wait: Duration::ZERO,
        }
    }

    pub(super) fn with_param(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.params.push((name, value.into()));
        self
    }

    pub(super) fn with_body(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }
}

/// Where requests go, and how they are signed.
#[derive(Debug)]
pub(super) struct Addressee {
    /// The URL of the queue.
    queue: String,
    signing: Signing,
    region: String,
}

impl Addressee {
    pub(super) fn new(config: &MnsConfig) -> Result<Self> {
        let base = config.base()?;
        let base = base.as_str().trim_end_matches('/');
        Ok(Self {
            queue: format!("{base}/queues/{}", config.queue),
            signing: config.signing(),
            region: config.region.clone().unwrap_or_default(),
        })
    }

    /// The URL of the queue.
    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// URL and headers of a request, signed as exactly that. Headers with secrets are marked as
    /// sensitive, so that nothing shows them. The body is not signed: no digest of it is sent.
    ///
    /// # Errors
    /// `Config`: no URL comes of the endpoint, or the credentials can't stand in a header.
    pub(super) fn sign(
        &self,
        request: &Request,
        credentials: &Credentials,
        now: SystemTime,
    ) -> Result<(Url, HeaderMap)> {
        let url = self.url(request)?;
        // What the parser made of it, since that is what will be sent.
        let target = match url.query() {
            Some(query) => Cow::Owned(format!("{}?{query}", url.path())),
            None => Cow::Borrowed(url.path()),
        };
        let params: Vec<_> = request
            .params
            .iter()
            .map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(value.as_str())))
            .collect();
        let date = fmt_http_date(now);
        let to_sign = ToSign {
            method: request.method.as_str(),
            target: &target,
            path: &percent_decode_str(url.path()).decode_utf8_lossy(),
            params: &params,
            headers: &[("content-type", XML), ("x-mns-version", VERSION)],
            date: &date,
        };
        let id = &credentials.access_key_id;
        let secret = credentials.access_key_secret.expose_secret();
        let authorization = match self.signing {
            Signing::V2 => sign::v2(&to_sign, id, secret),
            Signing::V4 => sign::v4(&to_sign, now, &self.region, sign::PUBLIC, id, secret),
            Signing::ApsaraV4 => sign::v4(&to_sign, now, &self.region, sign::APSARA, id, secret),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(XML));
        headers.insert("x-mns-version", HeaderValue::from_static(VERSION));
        headers.insert(DATE, header(&date, false)?);
        headers.insert(AUTHORIZATION, header(&authorization, true)?);
        if let Some(token) = &credentials.security_token {
            headers.insert("security-token", header(token.expose_secret(), true)?);
        }
        Ok((url, headers))
    }

    fn url(&self, request: &Request) -> Result<Url> {
        let mut url = self.queue.clone();
        if request.messages {
            url.push_str("/messages");
        }
        for (at, (name, value)) in request.params.iter().enumerate() {
            let value = utf8_percent_encode(value, ENCODED).to_string();
            url.extend([if at == 0 { "?" } else { "&" }, name, "=", &value]);
        }
        Url::parse(&url).map_err(|error| {
            let message = format!("the endpoint makes no URL: {error}");
            Error::new(ErrorKind::Config, request.operation, message)
        })
    }
}

fn header(value: &str, secret: bool) -> Result<HeaderValue> {
    let refused = |_| {
        let message = "the credentials can't stand in a header";
        Error::new(ErrorKind::Config, "sign a request", message)
    };
    let mut value = HeaderValue::from_str(value).map_err(refused)?;
    value.set_sensitive(secret);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(endpoint: &str, request: &Request) -> (Url, HeaderMap) {
        let config = MnsConfig::new(endpoint, "orders");
        let credentials = Credentials::new("id", "hush").with_security_token("token");
        let now = httpdate::parse_http_date("Tue, 03 Jun 2025 11:23:48 GMT").unwrap();
        let addressee = Addressee::new(&config).unwrap();
        addressee.sign(request, &credentials, now).unwrap()
    }

    #[test]
    fn handles_are_escaped_once() {
        let handle = "1-ODU4==-2+/&?#%é";
        let request = Request::new("x", Method::DELETE, true).with_param("ReceiptHandle", handle);
        let (url, _) = signed("http://h:1", &request);
        assert_eq!(
            url.as_str(),
            "http://h:1/queues/orders/messages?ReceiptHandle=1-ODU4%3D%3D-2%2B%2F%26%3F%23%25%C3%A9"
        );
        let (_, value) = url.query_pairs().next().unwrap();
        assert_eq!(value, handle);
    }

    #[test]
    fn prefixes_of_endpoints_are_kept() {
        let request = Request::new("x", Method::GET, false);
        for (endpoint, path) in [
            ("http://h", "/queues/orders"),
            ("http://h/", "/queues/orders"),
            ("http://h/a b//", "/a%20b/queues/orders"),
            ("http://h/a/../b", "/b/queues/orders"),
        ] {
            assert_eq!(signed(endpoint, &request).0.path(), path, "{endpoint}");
        }
    }

    #[test]
    fn headers_do_not_show_secrets() {
        let request = Request::new("x", Method::GET, false);
        let (_, headers) = signed("http://h", &request);
        assert_eq!(headers[DATE], "Tue, 03 Jun 2025 11:23:48 GMT");
        assert_eq!(headers["security-token"], "token");
        let shown = format!("{headers:?}");
        assert!(
            !shown.contains(": \"token\"") && !shown.contains("MNS id"),
            "{shown}"
        );
    }
}
