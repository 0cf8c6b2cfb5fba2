//! Which headers a request has, besides those of the HTTP binding.
//!
//!
//! Three sources, in this order; what is there already is never replaced by a later one: the
//! configuration ([`configured`]), the allow-list of extension attributes ([`Forwarder`]), the
//! trace ([`add_trace`]). An event comes from strangers, so whatever of it becomes a header outside
//! `ce-`, the trace apart, has to pass [`steers`] first.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{HOST, USER_AGENT},
    uri::Authority,
};
use secrecy::ExposeSecret;

use super::{
    config::{Forward, HttpSinkConfig, mistake},
    target::has_sound_port,
};
use crate::{
    Result,
    event::{Event, Value, http::header_value},
};

const AGENT: &str = concat!("eventlane/", env!("CARGO_PKG_VERSION"));

/// Headers that configuration doesn't set, for what sets them.
const NOT_CONFIGURED: &[(&str, &str)] = &[
    ("content-type", "the mode and the event decide it"),
    ("content-length", "the body decides it"),
    ("content-encoding", "use `gzip`"),
    ("transfer-encoding", "the connection decides it"),
    ("connection", "the connection decides it"),
    ("keep-alive", "the connection decides it"),
    ("proxy-connection", "the connection decides it"),
    ("te", "the connection decides it"),
    ("trailer", "there are none"),
    ("upgrade", "the connection decides it"),
    ("expect", "the connection decides it"),
];

/// What configuration says of headers.
pub(super) struct Configured {
    /// Of every request, without `host`.
    pub(super) headers: HeaderMap,
    /// What to say instead of the URL's host and port.
    pub(super) host: Option<Authority>,
}

///
/// # Errors
/// `Config` for a name or value that no header can have, or a header that something else decides.
pub(super) fn configured(config: &HttpSinkConfig) -> Result<Configured> {
    let mut headers = HeaderMap::with_capacity(16);
    let mut host = None;
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (text, value) in &config.headers {
        let Ok(name) = text.parse::<HeaderName>() else {
            return Err(mistake(format!("{text:?} is not a header name")));
        };
        if let Some((_, why)) = NOT_CONFIGURED.iter().find(|(denied, _)| name == *denied) {
            return Err(mistake(format!("the header {name} can't be set: {why}")));
        }
        if name.as_str().starts_with("ce-") {
            return Err(mistake(format!(
                "the header {name} can't be set: the event decides it"
            )));
        }
        if name == "authorization" && config.auth.is_some() {
            return Err(mistake(
                "both `auth` and the header authorization are set: remove one",
            ));
        }
        let Ok(mut value) = HeaderValue::from_str(value.expose_secret()) else {
            return Err(mistake(format!(
                "the value of the header {name} holds a character that none can"
            )));
        };
        if name == HOST {
            let authority = value.to_str().ok().and_then(|text| text.parse().ok());
            let valid = |authority: &Authority| {
                !authority.as_str().contains('@') && has_sound_port(authority)
            };
            host =
                Some(authority.filter(valid).ok_or_else(|| {
                    mistake("the header Host is none: write a host, or host:port")
                })?);
            continue;
        }
        value.set_sensitive(name == "authorization" || name == "proxy-authorization");
        headers.insert(name, value);
    }
    Ok(Configured { headers, host })
}

/// Whether a header of this name could steer a request: where it goes, how it is read, on whose
/// behalf it acts.
fn steers(name: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "accept",
        "access-control-",
        "ce-",
        "content-",
        "if-",
        "proxy-",
        "sec-",
        "x-envoy-",
        "x-forwarded",
        "x-http-method",
        "x-method",
        "x-original-",
        "x-rewrite-",
    ];
    const NAMES: &[&str] = &[
        "authorization",
        "connection",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "origin",
        "prefer",
        "range",
        "referer",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-real-ip",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Makes headers of extension attributes that pass the allow-list.
#[derive(Debug)]
pub(super) struct Forwarder {
    exact: Vec<(String, HeaderName)>,
    families: Vec<String>,
    prefix: String,
}

impl Forwarder {
    /// # Errors
    /// `Config` for what is no attribute name, or would become a header that [`steers`]. Of a
    /// family (`tenant*`) the names are not known yet: they are checked with each event.
    pub(super) fn new(forward: Forward) -> Result<Self> {
        let prefix = forward.prefix.to_ascii_lowercase();
        let mut exact = Vec::new();
        let mut families = Vec::new();
        for name in forward.extensions {
            let stem = name.strip_suffix('*').unwrap_or(&name);
            let valid = stem
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
            if !valid || name.is_empty() {
                return Err(mistake(format!(
                    "{name:?} in `forward.extensions` is no attribute name: only a-z and 0-9",
                )));
            }
            if name.len() != stem.len() {
                families.push(stem.to_owned());
                continue;
            }
            let header = format!("{prefix}{name}");
            if steers(&header) {
                return Err(mistake(format!(
                    "the attribute {name} can't become the header {header}: set a `forward.prefix`",
                )));
            }
            let header = header.parse().map_err(|_| wrong_prefix(&prefix))?;
            exact.push((name, header));
        }
        if !prefix.is_empty() && prefix.parse::<HeaderName>().is_err() {
            return Err(wrong_prefix(&prefix));
        }
        Ok(Self {
            exact,
            families,
            prefix,
        })
    }

    /// Adds the headers. One that is there already stays as it is.
    pub(super) fn add(&self, event: &Event, headers: &mut HeaderMap) {
        for (extension, header) in &self.exact {
            if let Some(value) = event.extension(extension)
                && !headers.contains_key(header)
            {
                headers.insert(header.clone(), header_value(&value.as_str()));
            }
        }
        if self.families.is_empty() {
            return;
        }
        for (extension, value) in event.extensions() {
            if !self
                .families
                .iter()
                .any(|stem| extension.starts_with(stem.as_str()))
            {
                continue;
            }
            let header = format!("{}{extension}", self.prefix);
            if !steers(&header)
                && !headers.contains_key(&header)
                && let Ok(header) = HeaderName::try_from(header)
            {
                headers.insert(header, header_value(&value.as_str()));
            }
        }
    }
}

fn wrong_prefix(prefix: &str) -> crate::Error {
    mistake(format!(
        "{prefix:?} in `forward.prefix` can't begin a header's name"
    ))
}

/// Carries the trace of the event on: W3C Trace Context, from the extension attributes of the same
/// names.
pub(super) fn add_trace(event: &Event, headers: &mut HeaderMap) {
    const PARENT: HeaderName = HeaderName::from_static("traceparent");
    const STATE: HeaderName = HeaderName::from_static("tracestate");
    const LONGEST_STATE: usize = 512;

    let Some(Value::String(parent)) = event.extension("traceparent") else {
        return;
    };
    if !is_traceparent(parent.as_bytes()) || headers.contains_key(PARENT) {
        return;
    }
    let Ok(parent) = HeaderValue::from_str(parent) else {
        return;
    };
    headers.insert(PARENT, parent);
    if let Some(Value::String(state)) = event.extension("tracestate")
        && state.len() <= LONGEST_STATE
        && state.is_ascii()
        && !headers.contains_key(STATE)
        && let Ok(state) = HeaderValue::from_str(state)
    {
        headers.insert(STATE, state);
    }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`; later versions may append more.
fn is_traceparent(text: &[u8]) -> bool {
    let Some((head, tail)) = text.split_at_checked(55) else {
        return false;
    };
    let well_formed = head.iter().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    let end = tail.is_empty() || tail.starts_with(b"-") && !head.starts_with(b"00");
    well_formed && end && text.len() <= 256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<Configured> {
        configured(&HttpSinkConfig::new("http://a").with_header(name, value))
    }

    #[test]
    fn configured_headers_are_checked() {
        assert_eq!(with("X-Team", "a").unwrap().headers["x-team"], "a");
        assert_eq!(with("X-Team", "a").unwrap().headers["user-agent"], AGENT);
        assert_eq!(with("User-Agent", "a").unwrap().headers["user-agent"], "a");
        assert_eq!(with("Host", "a.b:81").unwrap().host.unwrap(), "a.b:81");
        for (name, value) in [
            ("a b", "c"),
            ("", "c"),
            ("ce-id", "c"),
            ("Content-Type", "c"),
            ("Transfer-Encoding", "c"),
            ("Connection", "close"),
            ("x-a", "secret\r\nx-b: c"),
            ("host", "secret a"),
            ("host", "a@secret"),
            ("host", ""),
            ("host", "secret:99999"),
        ] {
            let error = with(name, value)
                .err()
                .unwrap_or_else(|| panic!("{name}: {value}"));
            assert_eq!(error.kind(), crate::ErrorKind::Config);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn forward_is_checked() {
        let forwarder = |extensions: &[&str], prefix: &str| {
            let extensions = extensions.iter().map(|&name| name.to_owned()).collect();
            Forwarder::new(Forward {
                extensions,
                prefix: prefix.to_owned(),
            })
        };
        assert!(forwarder(&["tenant", "kafka*", "*"], "X-Event-").is_ok());
        for (extension, prefix) in [
            ("authorization", ""),
            ("host", ""),
            ("host", "secret:99999"),
            ("id", "ce-"),
            ("length", "content-"),
            ("for", "x-forwarded-"),
            ("override", "X-HTTP-Method-"),
            ("tenant-id", "x-"),
            ("Tenant", "x-"),
            ("", "x-"),
            ("tenant", "x y"),
            ("kafka*", "x\r\n"),
        ] {
            assert!(
                forwarder(&[extension], prefix).is_err(),
                "{prefix}{extension}"
            );
        }
    }

    #[test]
    fn a_traceparent_is_recognised() {
        let good = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        assert!(is_traceparent(
            b"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"
        ));
        assert!(!is_traceparent(
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"
        ));
        assert!(!is_traceparent(
            b"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        ));
        assert!(!is_traceparent(
            b"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        ));
        assert!(!is_traceparent(&good[..54]));
        assert!(!is_traceparent(b""));
    }
}
