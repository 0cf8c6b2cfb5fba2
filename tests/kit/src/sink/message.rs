//! CloudEvents over HTTP, as far as a check needs them; written from the specification, not with
//! eventlane's codecs.

use std::{borrow::Cow, collections::BTreeMap};

use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An event of a request: its key and its number within the key, and its attributes if they were
/// asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) key: String,
    pub(super) seq: u64,
    pub(super) attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    seq: u64,
}

/// The events of a request in whatever mode, or what is wrong with it.
pub(super) fn parse(
    headers: &HeaderMap,
    body: &[u8],
    with_attributes: bool,
) -> Result<Vec<Message>, String> {
    let content_type = headers
        .get("content-type")
        .map(|value| value.to_str().unwrap_or_default())
        .unwrap_or_default();
    if content_type.starts_with("application/cloudevents-batch+json") {
        let events: Vec<&RawValue> = json(body)?;
        events
            .into_iter()
            .map(|event| structured(event, with_attributes))
            .collect()
    } else if content_type.starts_with("application/cloudevents+json") {
        Ok(vec![structured(json(body)?, with_attributes)?])
    } else {
        Ok(vec![binary(headers, body, with_attributes)?])
    }
}

fn binary(headers: &HeaderMap, body: &[u8], with_attributes: bool) -> Result<Message, String> {
    for required in ["ce-specversion", "ce-id", "ce-source", "ce-type"] {
        if headers.get(required).is_none_or(|value| value.is_empty()) {
            return Err(format!("{required} is missing"));
        }
    }
    let mut attributes = BTreeMap::new();
    if with_attributes {
        for (name, value) in headers {
            let name = name.as_str();
            if let Some(name) = name
                .strip_prefix("ce-")
                .or((name == "content-type").then_some("datacontenttype"))
            {
                attributes.insert(name.to_owned(), percent_decoded(value.as_bytes())?);
            }
        }
    }
    message(body, attributes)
}

fn structured(event: &RawValue, with_attributes: bool) -> Result<Message, String> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        specversion: Cow<'a, str>,
        id: Cow<'a, str>,
        source: Cow<'a, str>,
        r#type: Cow<'a, str>,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    let envelope: Envelope<'_> = json(event.get().as_bytes())?;
    if envelope.specversion != "1.0"
        || [&envelope.id, &envelope.source, &envelope.r#type]
            .iter()
            .any(|v| v.is_empty())
    {
        return Err(format!("no valid event: {event}"));
    }
    let mut attributes = BTreeMap::new();
    if with_attributes {
        let members: BTreeMap<String, serde_json::Value> = json(event.get().as_bytes())?;
        attributes = members
            .into_iter()
            .filter(|(name, _)| name != "data")
            .map(|(name, value)| {
                (
                    name,
                    value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned),
                )
            })
            .collect();
    }
    message(
        envelope.data.map_or("", RawValue::get).as_bytes(),
        attributes,
    )
}

fn message(data: &[u8], attributes: BTreeMap<String, String>) -> Result<Message, String> {
    let Payload { key, seq } = json(data)?;
    Ok(Message {
        key: key.into_owned(),
        seq,
        attributes,
    })
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        let beginning = &bytes[..bytes.len().min(200)];
        format!("{error} in {}", String::from_utf8_lossy(beginning))
    })
}

fn percent_decoded(value: &[u8]) -> Result<String, String> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [byte, after @ ..] = rest {
        let escaped = after
            .get(..2)
            .filter(|_| *byte == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(escaped) => {
                decoded.push(escaped);
                rest = &after[2..];
            }
            None => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(decoded).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn reads_all_three_modes() {
        let binary = headers(&[
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("ce-note", "50%25 %C3%A9"),
        ]);
        let read = parse(&binary, br#"{"key":"a","seq":3,"pad":"x"}"#, true).unwrap();
        assert_eq!(
            (
                read[0].key.as_str(),
                read[0].seq,
                read[0].attributes["note"].as_str()
            ),
            ("a", 3, "50% é")
        );

        let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","n":7,"data":{"key":"a","seq":3}}"#;
        let read = parse(
            &headers(&[("content-type", "application/cloudevents+json")]),
            event.as_bytes(),
            true,
        )
        .unwrap();
        assert_eq!(
            (
                read[0].seq,
                read[0].attributes["n"].as_str(),
                read[0].attributes.contains_key("data")
            ),
            (3, "7", false)
        );

        let batch = format!("[{event},{event}]");
        let batched = headers(&[(
            "content-type",
            "application/cloudevents-batch+json; charset=utf-8",
        )]);
        assert_eq!(parse(&batched, batch.as_bytes(), false).unwrap().len(), 2);

        assert_eq!(
            parse(&headers(&[("ce-id", "1")]), b"{}", false).unwrap_err(),
            "ce-specversion is missing"
        );
        assert!(parse(&batched, b"[{}]", false).is_err());
    }
}
