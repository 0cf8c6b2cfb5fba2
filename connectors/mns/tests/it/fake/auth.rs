//! Who may in: the signature is computed again from what came over the wire, without anything of
//! the client's.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, Method, Uri};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

use super::FakeOptions;

/// Status and code of a refusal.
pub(super) type Refused = (u16, &'static str);

const MISMATCH: Refused = (403, "SignatureDoesNotMatch");

pub(super) fn check(
    options: &FakeOptions,
    time: SystemTime,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Refused> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let date = header("date").ok_or((400, "MissingDateHeader"))?;
    let sent = httpdate::parse_http_date(date).map_err(|_| (400, "InvalidDateHeader"))?;
    let apart = match time.duration_since(sent) {
        Ok(late) => late,
        Err(early) => early.duration(),
    };
    if apart > Duration::from_secs(15 * 60) {
        return Err((408, "TimeExpired"));
    }
    if header("x-mns-version") != Some("2015-06-06") {
        return Err((400, "MissingVersionHeader"));
    }
    let authorization = header("authorization").ok_or((400, "MissingAuthorizationHeader"))?;
    let (scheme, rest) = authorization.split_once(' ').ok_or(MISMATCH)?;
    let wire = Wire {
        method: method.as_str(),
        target: uri.path_and_query().ok_or(MISMATCH)?.as_str(),
        headers,
        date,
    };
    match scheme {
        "MNS" => {
            let (id, signature) = rest.split_once(':').ok_or(MISMATCH)?;
            known(options, id)?;
            equal(signature, &wire.v2(&options.key.1))?;
        }
        "MNS4-HMAC-SHA256" | "APSARA-MNS4-HMAC-SHA256" => {
            let rest = rest.strip_prefix("Credential=").ok_or(MISMATCH)?;
            let (credential, signature) = rest.split_once(",Signature=").ok_or(MISMATCH)?;
            let (id, _) = credential.split_once('/').ok_or(MISMATCH)?;
            known(options, id)?;
            let expected = wire.v4(options);
            equal(credential, &format!("{id}/{}", expected.0))?;
            equal(scheme, expected.1)?;
            equal(signature, &expected.2)?;
        }
        _ => return Err(MISMATCH),
    }
    match (header("security-token"), options.token.as_deref()) {
        (given, wanted) if given == wanted => Ok(()),
        (None, Some(_)) => Err((403, "AccessDenied")),
        _ => Err((403, "InvalidSecurityToken")),
    }
}

fn known(options: &FakeOptions, id: &str) -> Result<(), Refused> {
    match id == options.key.0 {
        true => Ok(()),
        false => Err((403, "InvalidAccessKeyId")),
    }
}

fn equal(given: &str, expected: &str) -> Result<(), Refused> {
    match given == expected {
        true => Ok(()),
        false => Err(MISMATCH),
    }
}

struct Wire<'a> {
    method: &'a str,
    target: &'a str,
    headers: &'a HeaderMap,
    date: &'a str,
}

impl Wire<'_> {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .trim()
    }

    /// The names of a header map are in lower case.
    fn lines(&self, also: &[&str]) -> String {
        let names = self.headers.keys().map(|name| name.as_str());
        let mut names: Vec<_> = names
            .filter(|name| name.starts_with("x-mns-") || also.contains(name))
            .collect();
        names.sort_unstable();
        let line = |name: &str| format!("{name}:{}\n", self.header(name));
        names.into_iter().map(line).collect()
    }

    fn v2(&self, secret: &str) -> String {
        let text = format!(
            "{}\n{}\n{}\n{}\n{}{}",
            self.method,
            self.header("content-md5"),
            self.header("content-type"),
            self.date,
            self.lines(&[]),
            self.target,
        );
        let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any key");
        mac.update(text.as_bytes());
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    }

    /// Scope, algorithm, signature.
    fn v4(&self, options: &FakeOptions) -> (String, &'static str, String) {
        let (algorithm, key, end) = match options.apsara {
            true => ("APSARA-MNS4-HMAC-SHA256", "apsara_v4", "apsara_v4_request"),
            false => ("MNS4-HMAC-SHA256", "aliyun_v4", "aliyun_v4_request"),
        };
        let (day, clock) = compact(self.date);
        let scope = format!("{day}/{}/mns/{end}", options.region);
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let mut params: Vec<_> = query.split('&').filter(|param| !param.is_empty()).collect();
        params.sort_by_key(|param| param.to_ascii_lowercase());
        let params: Vec<_> = params
            .into_iter()
            .map(|param| match param.split_once('=') {
                None | Some((_, "")) => encode(&decode(param.trim_end_matches('=')).to_lowercase()),
                Some((name, value)) => format!(
                    "{}={}",
                    encode(&decode(name).to_lowercase()),
                    encode(&decode(value))
                ),
            })
            .collect();
        let segments: Vec<_> = path.split('/').map(|part| encode(&decode(part))).collect();
        let text = format!(
            "{algorithm}\n{day}T{clock}Z\n{scope}\n{}\n{}\n{}\n{}\n",
            self.method,
            segments.join("/"),
            params.join("&"),
            self.lines(&["content-type", "content-md5"]),
        );
        let key = format!("{key}{}", options.key.1).into_bytes();
        let key = sha256(&key, &day);
        let key = sha256(&key, &options.region);
        let key = sha256(&key, "mns");
        let key = sha256(&key, end);
        let signature = sha256(&key, &text);
        let signature = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        (scope, algorithm, signature)
    }
}

fn sha256(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `20250603` and `105235` of `Tue, 03 Jun 2025 10:52:35 GMT`.
fn compact(date: &str) -> (String, String) {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let parts: Vec<_> = date.split(' ').collect();
    let month = MONTHS.find(parts[2]).expect("a month") / 3 + 1;
    let day = format!("{}{month:02}{}", parts[3], parts[1]);
    (day, parts[4].replace(':', ""))
}

pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) if first == b'%' => {
                bytes.push(code);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
