//! What every request says of who makes it, and the signature.
//!
//! | header | value |
//! |---|---|
//! | `x-mq-language`, `x-mq-protocol`, `x-mq-client-version` | what we are |
//! | `x-mq-client-id` | by which servers know a session, and what belongs to it |
//! | `x-mq-request-id` | another one for every request |
//! | `x-mq-namespace` | that of the instance, if it has one |
//! | `x-mq-session-token` | that of temporary credentials |
//! | `x-mq-date-time` | the time in UTC, which is what is signed |
//! | `authorization` | access key and signature |
//!
//! The signature covers nothing but the date, so it protects no request from being changed: that is
//! what TLS is for. Secrets are marked as sensitive, and `Debug` shows none.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use eventlane::{Error, ErrorKind, Result, event::Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha1::Sha1;
use tonic::{
    Request,
    metadata::{Ascii, MetadataMap, MetadataValue},
};

use super::identity;
use crate::config::{Credentials, RocketMqConfig};

type Value = MetadataValue<Ascii>;

/// From 5.0.3 on, servers answer with the codes that are documented.
pub(super) const VERSION: &str = "5.0.8";

const TOKEN: &str = "x-mq-session-token";

/// Who makes requests.
#[derive(Debug)]
pub(super) struct Identity {
    client_id: String,
    /// What is the same in every request.
    constant: MetadataMap,
    requests: AtomicU64,
}

impl Identity {
    /// Somebody new: servers tell clients apart by their id.
    pub(super) fn new(config: &RocketMqConfig) -> Result<Self> {
        let client_id = format!(
            "eventlane@{}@{:016x}",
            std::process::id(),
            fastrand::u64(..)
        );
        let mut constant = MetadataMap::new();
        let pairs = [
            ("x-mq-language", "RUST"),
            ("x-mq-protocol", "v2"),
            ("x-mq-client-version", VERSION),
            ("x-mq-client-id", &client_id),
            ("x-mq-namespace", &config.namespace),
        ];
        for (name, text) in pairs {
            if !text.is_empty() {
                constant.insert(name, value(name, text)?);
            }
        }
        Ok(Self {
            client_id,
            constant,
            requests: AtomicU64::new(0),
        })
    }

    /// A request in our name, signed if there are credentials.
    pub(super) fn request<T>(&self, message: T, identity: &identity::Identity) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.clone_from(&self.constant);
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number:x}", self.client_id);
        let date = stamp(unix_seconds());
        let credentials = identity.credentials.as_deref();
        let signed = credentials.map(|it| authorization(it, &date));
        let token = credentials.and_then(|it| it.session_token.as_ref());
        let token = token.map(|token| token.expose_secret().to_owned());
        let secret = [("authorization", signed), (TOKEN, token)];
        // All four are ASCII: the credentials have been checked.
        let varying = [
            ("x-mq-request-id", Some(id)),
            ("x-mq-date-time", Some(date)),
        ];
        for (name, text) in varying.into_iter().chain(secret) {
            if let Some(mut value) = text.and_then(|text| Value::try_from(text).ok()) {
                value.set_sensitive(matches!(name, "authorization" | TOKEN));
                metadata.insert(name, value);
            }
        }
        request
    }
}

fn value(name: &'static str, text: &str) -> Result<Value> {
    Value::try_from(text).map_err(|_| {
        let reason = "it has characters that no header can carry";
        Error::new(ErrorKind::Config, "configure RocketMQ", reason).with_context("header", name)
    })
}

/// The date is what is signed.
fn authorization(credentials: &Credentials, date: &str) -> String {
    let secret = credentials.secret_key.expose_secret().as_bytes();
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else {
        return String::new();
    };
    mac.update(date.as_bytes());
    let mut signature = String::with_capacity(40);
    for byte in mac.finalize().into_bytes() {
        signature.push_str(&format!("{byte:02X}"));
    }
    let key = &credentials.access_key;
    format!("MQv2-HMAC-SHA1 Credential={key}, SignedHeaders=x-mq-date-time, Signature={signature}")
}

pub(super) fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// Seconds since 1970 as `yyyyMMdd'T'HHmmss'Z'`.
fn stamp(seconds: u64) -> String {
    let millis = i64::try_from(seconds)
        .unwrap_or_default()
        .saturating_mul(1000);
    let text = Timestamp::from_unix_millis(millis);
    let digits: String = text
        .as_str()
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == 'T')
        .take(15)
        .collect();
    format!("{digits}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_compact() {
        assert_eq!(stamp(0), "19700101T000000Z");
        assert_eq!(stamp(1_709_210_096), "20240229T123456Z");
    }

    /// The signature was computed with `openssl dgst -sha1 -hmac`.
    #[test]
    fn the_date_is_signed() {
        let credentials = Credentials::new("eventlane", "eventlane-secret");
        assert_eq!(
            authorization(&credentials, "20240229T123456Z"),
            "MQv2-HMAC-SHA1 Credential=eventlane, SignedHeaders=x-mq-date-time, \
             Signature=178AB1A5E3170F00C6312F4BF8A156F6B7E27AEB"
        );
    }

    #[tokio::test]
    async fn requests_say_who_makes_them() {
        let credentials = Credentials::new("key", "hush").with_session_token("sts-7");
        let config = RocketMqConfig::new("a:1", "g")
            .with_namespace("ns")
            .with_credentials(credentials);
        let identity = Identity::new(&config).unwrap();
        let whom = identity::Identities::new(&config).current().await.unwrap();
        let (one, two) = (identity.request((), &whom), identity.request((), &whom));
        let get = |request: &Request<()>, name| {
            let value = request.metadata().get(name).expect(name);
            value.to_str().unwrap().to_owned()
        };
        for (name, expected) in [
            ("x-mq-language", "RUST"),
            ("x-mq-protocol", "v2"),
            ("x-mq-namespace", "ns"),
            ("x-mq-session-token", "sts-7"),
        ] {
            assert_eq!(get(&one, name), expected);
        }
        assert!(get(&one, "authorization").starts_with("MQv2-HMAC-SHA1 Credential=key, "));
        assert_eq!(get(&one, "x-mq-client-id"), get(&two, "x-mq-client-id"));
        assert_ne!(get(&one, "x-mq-request-id"), get(&two, "x-mq-request-id"));
        let shown = format!("{identity:?} {one:?}");
        assert!(
            !shown.contains("hush") && !shown.contains("sts-7"),
            "{shown}"
        );
    }
}
