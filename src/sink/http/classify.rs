//! What an answer means.

use std::{borrow::Cow, fmt, time::SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{TransportError, config::mistake, retry_after::retry_after};
use crate::{
    Result,
    sink::{Failure, Verdict},
};

/// What statuses mean, where the default doesn't fit. Each list holds statuses (`"404"`, in
/// configuration also the bare number) and classes (`"5xx"`); a status wins over its class, and
/// both over the default:
///
/// | meaning | by default |
/// |---|---|
/// | delivered | 2xx |
/// | retry | 404, 408, 409, 425, 429, 5xx but 501 and 505, whatever is no HTTP status |
/// | hold the destination | 401, 403, 407 |
/// | stop | 410 |
/// | too large | 413 |
/// | reject | the other 4xx, 1xx, 3xx, 501, 505 |
///
/// ```
/// use eventlane::sink::http::{HttpSink, HttpSinkConfig, StatusSets};
///
/// // This receiver answers 409 to what it has already.
/// let statuses = StatusSets::default().with_delivered(["409"]).with_retry(["5xx", "422"]);
/// let sink = HttpSink::new(HttpSinkConfig::new("http://localhost:8080").with_statuses(statuses))?;
/// # Ok::<(), eventlane::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StatusSets {
    /// Taken.
    #[serde(deserialize_with = "patterns")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Status>"))]
    pub delivered: Vec<String>,
    /// Try this event again: [`Verdict::Retry`].
    #[serde(deserialize_with = "patterns")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Status>"))]
    pub retry: Vec<String>,
    /// Hold the destination: [`Verdict::Hold`].
    #[serde(deserialize_with = "patterns")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Status>"))]
    pub hold: Vec<String>,
    /// Never try this event again: [`Verdict::Reject`].
    #[serde(deserialize_with = "patterns")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Status>"))]
    pub reject: Vec<String>,
    /// The request was too large: [`Verdict::TooLarge`].
    #[serde(deserialize_with = "patterns")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Status>"))]
    pub too_large: Vec<String>,
    /// Stop the pipeline: [`Verdict::Stop`].
    #[serde(deserialize_with = "patterns")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Status>"))]
    pub stop: Vec<String>,
}

impl StatusSets {
    /// Sets [`delivered`](Self::delivered).
    #[must_use]
    pub fn with_delivered<I: IntoIterator<Item: Into<String>>>(mut self, statuses: I) -> Self {
        self.delivered = statuses.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`retry`](Self::retry).
    #[must_use]
    pub fn with_retry<I: IntoIterator<Item: Into<String>>>(mut self, statuses: I) -> Self {
        self.retry = statuses.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`hold`](Self::hold).
    #[must_use]
    pub fn with_hold<I: IntoIterator<Item: Into<String>>>(mut self, statuses: I) -> Self {
        self.hold = statuses.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`reject`](Self::reject).
    #[must_use]
    pub fn with_reject<I: IntoIterator<Item: Into<String>>>(mut self, statuses: I) -> Self {
        self.reject = statuses.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`too_large`](Self::too_large).
    #[must_use]
    pub fn with_too_large<I: IntoIterator<Item: Into<String>>>(mut self, statuses: I) -> Self {
        self.too_large = statuses.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`stop`](Self::stop).
    #[must_use]
    pub fn with_stop<I: IntoIterator<Item: Into<String>>>(mut self, statuses: I) -> Self {
        self.stop = statuses.into_iter().map(Into::into).collect();
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Delivered,
    Retry,
    Hold,
    Reject,
    TooLarge,
    Stop,
}

impl Meaning {
    fn by_default(status: u16) -> Self {
        match status {
            200..=299 => Self::Delivered,
            401 | 403 | 407 => Self::Hold,
            404 | 408 | 409 | 425 | 429 => Self::Retry,
            410 => Self::Stop,
            413 => Self::TooLarge,
            501 | 505 => Self::Reject,
            500..=599 => Self::Retry,
            100..=499 => Self::Reject,
            // RFC 9110 §15: a status that is none is treated as a 5xx.
            _ => Self::Retry,
        }
    }

    pub(super) fn verdict(self, failure: Failure) -> Verdict {
        let failure = Box::new(failure);
        match self {
            Self::Delivered => Verdict::Delivered,
            Self::Retry => Verdict::Retry(failure),
            Self::Hold => Verdict::Hold(failure),
            Self::Reject => Verdict::Reject(failure),
            Self::TooLarge => Verdict::TooLarge(failure),
            Self::Stop => Verdict::Stop(failure),
        }
    }
}

/// The meaning of every status from 100 to 999.
pub(super) struct Table(Box<[Meaning]>);

impl Table {
    const FIRST: u16 = 100;

    pub(super) fn new(sets: &StatusSets) -> Result<Self> {
        let lists = [
            (&sets.delivered, Meaning::Delivered),
            (&sets.retry, Meaning::Retry),
            (&sets.hold, Meaning::Hold),
            (&sets.reject, Meaning::Reject),
            (&sets.too_large, Meaning::TooLarge),
            (&sets.stop, Meaning::Stop),
        ];
        let mut given: Vec<(Pattern, Meaning)> = Vec::new();
        for (list, meaning) in lists {
            for text in list {
                let pattern = Pattern::parse(text).ok_or_else(|| {
                    mistake(format!(
                        "{text:?} in `statuses` is neither a status (404) nor a class (5xx)"
                    ))
                })?;
                if given
                    .iter()
                    .any(|(other, other_meaning)| *other == pattern && *other_meaning != meaning)
                {
                    return Err(mistake(format!(
                        "{text} is in two lists of `statuses`: leave it in one"
                    )));
                }
                given.push((pattern, meaning));
            }
        }
        let meaning = |status: u16| {
            let of = |pattern| {
                given
                    .iter()
                    .find(|(other, _)| *other == pattern)
                    .map(|(_, meaning)| *meaning)
            };
            of(Pattern::Status(status))
                .or_else(|| of(Pattern::Class(status / 100)))
                .unwrap_or_else(|| Meaning::by_default(status))
        };
        Ok(Self((Self::FIRST..1000).map(meaning).collect()))
    }

    pub(super) fn meaning(&self, status: StatusCode) -> Meaning {
        let status = status.as_u16();
        let at = usize::from(status.saturating_sub(Self::FIRST));
        self.0
            .get(at)
            .copied()
            .unwrap_or_else(|| Meaning::by_default(status))
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Table")
    }
}

/// How a status or a class is written.
#[cfg(feature = "schema")]
struct Status;

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Status {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Status".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "integer"],
            "pattern": "^([1-9][0-9][0-9]|[1-9][xX][xX])$",
            "minimum": 100,
            "maximum": 999,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    Status(u16),
    Class(u16),
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let digits = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| text.parse().ok())?
        };
        if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
            return digits(class)
                .filter(|class| (1..=9).contains(class))
                .map(Self::Class);
        }
        digits(text)
            .filter(|status| (100..=999).contains(status))
            .map(Self::Status)
    }
}

fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Text(String);

    impl<'de> Deserialize<'de> for Text {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Visitor)
        }
    }

    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = Text;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a status such as 404 or a class such as \"5xx\"")
        }

        fn visit_u64<E: de::Error>(self, status: u64) -> Result<Text, E> {
            Ok(Text(status.to_string()))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
            Ok(Text(text.to_owned()))
        }
    }

    Vec::<Text>::deserialize(deserializer)
        .map(|list| list.into_iter().map(|Text(text)| text).collect())
}

/// The failure that a response other than a delivery makes.
pub(super) fn answered(
    url: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: Bytes,
    max_retry_after: std::time::Duration,
    meaning: Meaning,
) -> Failure {
    let code = status.as_u16();
    let hint = match code {
        300..=399 => ": redirects are not followed, configure the final URL",
        401 | 403 => ": check the credentials",
        407 => ": a proxy wants authentication",
        _ => "",
    };
    let words = status.canonical_reason().unwrap_or_default();
    let space = if words.is_empty() { "" } else { " " };
    let mut failure = Failure::new(
        format!("status_{code}"),
        format!("POST {url} answered {code}{space}{words}{hint}"),
    );
    failure.status = Some(code);
    failure.body = body;
    if matches!(meaning, Meaning::Retry | Meaning::Hold) {
        failure.retry_after = retry_after(headers, SystemTime::now(), max_retry_after);
    }
    failure.attributes = attributes(headers);
    failure
}

/// The failure of a request that got no response.
pub(super) fn unanswered(url: &str, error: &TransportError) -> Failure {
    let reason = error.kind().as_str();
    Failure::new(
        Cow::Borrowed(reason),
        format!("POST {url}: {reason}: {}", one_line(error.message())),
    )
}

fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.replace(char::is_control, " ").into()
    } else {
        text.into()
    }
}

/// `kne-*` response headers whose names, without the prefix, are names of extension attributes.
fn attributes(headers: &HeaderMap) -> Vec<(String, String)> {
    const MOST: usize = 32;
    const LONGEST: usize = 1024;
    const RESERVED: &[&str] = &[
        "data",
        "datacontenttype",
        "dataschema",
        "id",
        "source",
        "specversion",
        "subject",
        "time",
        "type",
    ];
    let mut attributes: Vec<(String, String)> = Vec::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("kne-") else {
            continue;
        };
        let valid = !name.is_empty()
            && name
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'))
            && !RESERVED.contains(&name);
        let Ok(value) = std::str::from_utf8(value.as_bytes()) else {
            continue;
        };
        if valid && value.len() <= LONGEST && !attributes.iter().any(|(other, _)| other == name) {
            attributes.push((name.to_owned(), value.to_owned()));
        }
        if attributes.len() == MOST {
            break;
        }
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(sets: &StatusSets, status: u16) -> Meaning {
        let status = StatusCode::from_u16(status).unwrap();
        Table::new(sets).unwrap().meaning(status)
    }

    #[test]
    fn every_status_has_its_default() {
        let table = Table::new(&StatusSets::default()).unwrap();
        for code in 100..1000 {
            let expected = match code {
                200..=299 => Meaning::Delivered,
                404 | 408 | 409 | 425 | 429 => Meaning::Retry,
                401 | 403 | 407 => Meaning::Hold,
                410 => Meaning::Stop,
                413 => Meaning::TooLarge,
                501 | 505 => Meaning::Reject,
                500.. => Meaning::Retry,
                _ => Meaning::Reject,
            };
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(table.meaning(status), expected, "{code}");
        }
    }

    #[test]
    fn a_status_wins_over_its_class_and_both_over_the_default() {
        let sets = StatusSets::default()
            .with_delivered(["409"])
            .with_retry(["5xx", "4XX"])
            .with_reject(["503"])
            .with_stop(["999", "2xx"]);
        assert_eq!(meaning(&sets, 409), Meaning::Delivered);
        assert_eq!(meaning(&sets, 501), Meaning::Retry);
        assert_eq!(meaning(&sets, 503), Meaning::Reject);
        assert_eq!(meaning(&sets, 410), Meaning::Retry);
        assert_eq!(meaning(&sets, 999), Meaning::Stop);
        assert_eq!(meaning(&sets, 204), Meaning::Stop);
        assert_eq!(meaning(&sets, 301), Meaning::Reject);
    }

    #[test]
    fn mistakes_are_named() {
        for text in [
            "", "xx", "0xx", "10xx", "x", "99", "1000", "+200", "4x", "-1", "2 00",
        ] {
            let error = Table::new(&StatusSets::default().with_retry([text])).unwrap_err();
            assert!(error.to_string().contains("neither a status"), "{error}");
        }
        let twice = StatusSets::default().with_retry(["418"]).with_hold(["418"]);
        assert!(
            Table::new(&twice)
                .unwrap_err()
                .to_string()
                .contains("two lists")
        );
        let harmless = StatusSets::default().with_retry(["418", "418"]);
        assert!(Table::new(&harmless).is_ok());
    }

    #[test]
    fn configuration_takes_numbers_and_text() {
        let sets: StatusSets =
            serde_json::from_str(r#"{"retry": [418, "5xx"], "hold": ["404"]}"#).unwrap();
        let same = StatusSets::default()
            .with_retry(["418", "5xx"])
            .with_hold(["404"]);
        assert_eq!(sets, same);
        for wrong in [
            r#"{"retry": [true]}"#,
            r#"{"retry": "404"}"#,
            r#"{"retires": []}"#,
        ] {
            assert!(
                serde_json::from_str::<StatusSets>(wrong).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn only_attribute_names_are_taken_from_headers() {
        let mut headers = HeaderMap::new();
        for name in [
            "kne-tenant",
            "KNE-Reason2",
            "kne-id",
            "kne-",
            "kne-a-b",
            "kne-a_b",
            "x-kne-a",
        ] {
            let name: http::HeaderName = name.parse().unwrap();
            headers.insert(name, "v".parse().unwrap());
        }
        headers.append("kne-tenant", "second".parse().unwrap());
        headers.insert("kne-long", "x".repeat(1025).parse().unwrap());
        headers.insert("kne-bytes", http::HeaderValue::from_bytes(b"\xff").unwrap());
        let mut attributes = attributes(&headers);
        attributes.sort();
        assert_eq!(
            attributes,
            [
                ("reason2".into(), "v".into()),
                ("tenant".into(), "v".into())
            ]
        );
    }
}
