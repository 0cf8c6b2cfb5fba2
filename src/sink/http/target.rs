//! The URL that events are posted to.

use http::{
    Uri,
    uri::{Authority, Scheme},
};

use super::config::mistake;
use crate::Result;

/// A URL that has been checked, and how it is shown.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) uri: Uri,
    /// The query can hold an `access_token`, so it is never shown.
    pub(super) shown: String,
}

impl Target {
    /// # Errors
    /// `Config`, one line that says what to do, without the query and without a password.
    pub(super) fn parse(url: &str) -> Result<Self> {
        if url.is_empty() {
            return Err(mistake(
                "the URL is missing: set `url`, such as https://example.com/events",
            ));
        }
        if let Some((_, rest)) = url.split_once("://")
            && rest
                .split(['/', '?', '#'])
                .next()
                .is_some_and(|authority| authority.contains('@'))
        {
            // Not shown: what stands before the @ is a password.
            return Err(mistake(
                "the URL holds a user or password: move them to the credentials (`auth`)",
            ));
        }
        let shown = redact(url);
        let wrong = |why: &str| Err(mistake(format!("the URL {shown} {why}")));
        if url.contains('#') {
            return wrong("holds a fragment, which is never sent: remove it from # on");
        }
        let Ok(uri) = url.parse::<Uri>() else {
            return wrong(
                "is not valid: percent-encode it, and write it as https://host:port/path",
            );
        };
        if uri.host().is_none_or(str::is_empty) || uri.scheme().is_none() {
            return wrong("is not absolute: write it as https://host:port/path");
        }
        if uri
            .authority()
            .is_some_and(|authority| !has_sound_port(authority))
        {
            return wrong(
                "has a port that is none: write a number from 1 to 65535, or leave it out",
            );
        }
        if uri.scheme() != Some(&Scheme::HTTP) && uri.scheme() != Some(&Scheme::HTTPS) {
            return wrong("is neither http:// nor https://");
        }
        Ok(Self { uri, shown })
    }

    /// Whether TLS is spoken.
    pub(super) fn is_https(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }
}

/// `http::Uri` takes anything for a port.
pub(super) fn has_sound_port(authority: &Authority) -> bool {
    authority.as_str().len() == authority.host().len()
        || authority.port_u16().is_some_and(|port| port > 0)
}

/// The URL without the values in its query.
pub(super) fn redact(url: &str) -> String {
    match url.split_once('?') {
        None => url.to_owned(),
        Some((before, _)) => format!("{before}?..."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_absolute_http_urls() {
        for url in [
            "http://a",
            "https://a:8443/b/c?d=e",
            "http://[::1]:8080/",
            "HTTP://127.0.0.1",
        ] {
            assert!(Target::parse(url).is_ok(), "{url}");
        }
        assert!(Target::parse("https://a").unwrap().is_https());
        assert!(!Target::parse("http://a").unwrap().is_https());
    }

    #[test]
    fn says_what_is_wrong_in_one_line() {
        for (url, hint) in [
            ("", "missing"),
            ("/path", "not absolute"),
            ("localhost:8080", "not absolute"),
            ("ftp://a/b", "neither"),
            ("http://user:secret@a/b", "credentials"),
            ("http://a/b#c", "fragment"),
            ("http://a/ü b", "not valid"),
            ("http://", "not valid"),
            ("http:///a", "not valid"),
            ("http://a:99999/", "port"),
            ("http://a:0/", "port"),
            ("http://a:/", "port"),
            ("http://a:x/", "port"),
        ] {
            let error = Target::parse(url).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.kind(), crate::ErrorKind::Config);
            assert!(text.contains(hint), "{url}: {text}");
            assert!(!text.contains('\n') && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn hides_the_query() {
        assert_eq!(
            Target::parse("http://a/b?access_token=x").unwrap().shown,
            "http://a/b?..."
        );
    }
}
