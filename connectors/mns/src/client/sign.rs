//! Signatures, of both versions.
//!
//! V2 signs the request line as it is sent. V4 signs what it says, decoded and encoded again in one
//! fixed way, under a key that is derived from the secret for the day and the region.
//!
//! Pure functions of request, time and key, so that they can be tested against signatures made
//! elsewhere. What is signed has to be what is sent: `request` makes both from one URL. Nothing
//! here is logged; texts to be signed hold no secret, keys do.

use std::{borrow::Cow, time::SystemTime};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use eventlane::event::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::Sha256;

/// What RFC 3986 calls unreserved is all that stays as it is.
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
const ENCODED_IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// A request, as far as it is signed. Only the headers that count need to be in it; others do no
/// harm.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToSign<'a> {
    pub(super) method: &'a str,
    /// Path and query as on the request line.
    pub(super) target: &'a str,
    /// The path, decoded.
    pub(super) path: &'a str,
    /// The query, decoded.
    pub(super) params: &'a [(Cow<'a, str>, Cow<'a, str>)],
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// The value of the header `Date`.
    pub(super) date: &'a str,
}

/// The values that differ between the public and the private clouds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// The first word of the header, and the first line of what is signed.
    algorithm: &'static str,
    /// What stands before the secret in the first key.
    secret: &'static str,
    /// The end of the scope, and the last part of the key.
    scope: &'static str,
}

pub(super) const PUBLIC: Dialect = Dialect {
    algorithm: "MNS4-HMAC-SHA256",
    secret: "aliyun_v4",
    scope: "aliyun_v4_request",
};
pub(super) const APSARA: Dialect = Dialect {
    algorithm: "APSARA-MNS4-HMAC-SHA256",
    secret: "apsara_v4",
    scope: "apsara_v4_request",
};

/// The header `Authorization` of version 2: `MNS id:signature`, HMAC-SHA1 in base64.
pub(super) fn v2(request: &ToSign<'_>, id: &str, secret: &str) -> String {
    let signature = BASE64_STANDARD.encode(hmac_sha1(secret, &v2_text(request)));
    format!("MNS {id}:{signature}")
}

/// The header `Authorization` of version 4. `time` has to be that of the header `Date`; its day, in
/// UTC, is part of the key.
pub(super) fn v4(
    request: &ToSign<'_>,
    time: SystemTime,
    region: &str,
    dialect: Dialect,
    id: &str,
    secret: &str,
) -> String {
    let Dialect { algorithm, .. } = dialect;
    let time = compact(time);
    let day = time.get(..8).unwrap_or_default();
    let scope = format!("{day}/{region}/mns/{}", dialect.scope);
    let text = format!("{algorithm}\n{time}\n{scope}\n{}", v4_text(request));
    let mut key = format!("{}{secret}", dialect.secret).into_bytes();
    for part in [day, region, "mns", dialect.scope] {
        key = hmac_sha256(&key, part);
    }
    let signature = hex(&hmac_sha256(&key, &text));
    format!("{algorithm} Credential={id}/{scope},Signature={signature}")
}

/// What is signed: method, `Content-MD5`, `Content-Type`, `Date`, the headers `x-mns-…` in order,
/// and the target, each on a line of its own. A header that is missing leaves its line empty.
fn v2_text(request: &ToSign<'_>) -> String {
    let header = |wanted: &str| {
        let mut headers = request.headers.iter();
        headers
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map_or("", |(_, value)| value.trim())
    };
    let mut text = [
        request.method,
        header("content-md5"),
        header("content-type"),
        request.date,
        "",
    ]
    .join("\n");
    push_headers(&mut text, request, |name| name.starts_with("x-mns-"));
    text.push_str(request.target);
    text
}

/// What is signed, without the lines before it that name algorithm, time and scope: method, path,
/// query in the order of its names, headers. A parameter without a value has no `=`.
fn v4_text(request: &ToSign<'_>) -> String {
    let path = request.path.trim_start_matches('/');
    let path = utf8_percent_encode(path, ENCODED_IN_PATH);
    let mut params: Vec<_> = request
        .params
        .iter()
        .map(|(key, value)| (key.trim().to_lowercase(), value))
        .collect();
    params.sort();
    let query: Vec<_> = params
        .into_iter()
        .map(|(key, value)| {
            let key = utf8_percent_encode(&key, ENCODED);
            match value.is_empty() {
                true => key.to_string(),
                false => format!("{key}={}", utf8_percent_encode(value, ENCODED)),
            }
        })
        .collect();
    let mut text = format!("{}\n/{path}\n{}\n", request.method, query.join("&"));
    push_headers(&mut text, request, |name| {
        name.starts_with("x-mns-") || name == "content-type" || name == "content-md5"
    });
    text.push('\n');
    text
}

/// `name:value` lines in the order of the names.
fn push_headers(text: &mut String, request: &ToSign<'_>, counts: impl Fn(&str) -> bool) {
    let mut headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .filter(|(name, _)| counts(name))
        .collect();
    headers.sort();
    for (name, value) in headers {
        text.extend([&name, ":", value, "\n"]);
    }
}

/// `20250603T105235Z`
fn compact(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_secs().saturating_mul(1000);
    let time = Timestamp::from_unix_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    let text = time.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    let mut text: String = seconds.chars().filter(|c| !"-:".contains(*c)).collect();
    text.push('Z');
    text
}

fn hmac_sha1(key: &str, text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("a key of any length will do");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
