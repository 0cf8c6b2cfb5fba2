//! Whether a message says that it is a CloudEvent.
//!
//! Only of one that does it matters whether it is a valid one: a body that happens to have a
//! `specversion` and nothing else of an event is as good as any other.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

/// Whether a content type is one of events.
pub(super) fn envelope(content_type: &str) -> bool {
    const START: &str = "application/cloudevents";
    let start = content_type.trim_start().get(..START.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(START))
}

/// Whether it is worth looking closer: bodies that are no events are not parsed for it.
pub(super) fn possible(body: &[u8]) -> bool {
    const KEY: &[u8] = b"\"specversion\"";
    body.trim_ascii_start().starts_with(b"{") && body.windows(KEY.len()).any(|part| part == KEY)
}

/// Whether a body is an object with `specversion` and another attribute that every event has.
pub(super) fn made_by(body: &[u8]) -> bool {
    serde_json::from_slice::<Claim>(body).is_ok_and(|claim| claim.version && claim.more)
}

/// What the keys of an object say: read to the end, since keys come in any order, without keeping
/// the values.
#[derive(Default)]
struct Claim {
    version: bool,
    more: bool,
}

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Claim;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claim, A::Error> {
                let mut claim = Claim::default();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    match key.as_str() {
                        "specversion" => claim.version = true,
                        "id" | "source" | "type" => claim.more = true,
                        _ => {}
                    }
                }
                Ok(claim)
            }
        }

        input.deserialize_map(Keys)
    }
}
