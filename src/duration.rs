//! Durations in configuration, as people write them: `500ms`, `10s`, `2m`, `1h`; a bare number is
//! seconds. For the configurations of connectors and sinks, so that all read the same.
//!
//! ```
//! use std::time::Duration;
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     #[serde(deserialize_with = "eventlane::duration::deserialize")]
//!     timeout: Duration,
//!     #[serde(default, deserialize_with = "eventlane::duration::optional::deserialize")]
//!     linger: Option<Duration>,
//! }
//!
//! let config: Config = serde_json::from_str(r#"{ "timeout": "1.5s" }"#)?;
//! assert_eq!((config.timeout, config.linger), (Duration::from_millis(1500), None));
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::{fmt, time::Duration};

use serde::{
    Deserializer,
    de::{Error, Visitor},
};

/// For `#[serde(deserialize_with)]` on a [`Duration`]. Fractions are allowed.
///
/// # Errors
/// A unit that is not known, no number, a negative one, or one that no `Duration` can hold.
pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    input.deserialize_any(Text)
}

/// The same for a setting that may be left out.
pub mod optional {
    use super::{Deserializer, Duration};

    /// For `#[serde(default, deserialize_with)]` on an `Option<Duration>`.
    ///
    /// # Errors
    /// As [`deserialize`](super::deserialize).
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
        super::deserialize(input).map(Some)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 500ms, 10s, 2m or 1h")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_secs(seconds))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        u64::try_from(seconds)
            .map(Duration::from_secs)
            .map_err(|_| E::custom("a duration can't be negative"))
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
        Duration::try_from_secs_f64(seconds).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

/// `None` for an unknown unit, no number, a negative or one that no [`Duration`] can hold.
fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.trim().parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in [
            ("500ms", 500),
            ("10s", 10_000),
            (" 2 m ", 120_000),
            ("1h", 3_600_000),
            ("3", 3000),
            ("1.5s", 1500),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1d", "1e400s", "ten"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_duration_or_an_error(
            text in "[ -]?[0-9.]{0,30}(e[0-9-]{1,4})? ?(ms|s|m|h|d|)|.{0,20}",
            seconds: f64,
        ) {
            let json = |value: String| {
                let value: serde_json::Value = serde_json::from_str(&value).unwrap();
                deserialize(value)
            };
            let quoted = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(json(quoted).ok(), parse(&text));
            if seconds.is_finite() {
                let read = json(format!("{seconds:?}"));
                prop_assert_eq!(read.ok(), Duration::try_from_secs_f64(seconds).ok());
            }
        }
    }
}
