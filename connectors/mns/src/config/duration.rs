//! Durations in configuration files: `500ms`, `10s`, `2m`, `1h`; a bare number is seconds.
//!
//! Fractions are fine (`1.5s`); what the service takes in whole seconds is rounded up where it is
//! sent.

use std::{fmt, time::Duration};

use serde::{Deserializer, de};

/// For `#[serde(deserialize_with)]` on a `Duration`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as 500ms, 10s, 2m or 1h")
        }

        fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
            Ok(Duration::from_secs(seconds))
        }

        // TOML knows no other integers.
        fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
            let positive = u64::try_from(seconds);
            let wrong = |_| E::invalid_value(de::Unexpected::Signed(seconds), &self);
            positive.map(Duration::from_secs).map_err(wrong)
        }

        fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
            Duration::try_from_secs_f64(seconds).map_err(E::custom)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    input.deserialize_any(Visitor)
}

/// `None` if it is no such text, is negative, or is longer than a `Duration`.
fn parse(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let text = text.trim();
    let (number, seconds) = UNITS
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)))
        .unwrap_or((text, 1.0));
    let number: f64 = number.trim_end().parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_them_like_this() {
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
        for text in ["", "s", "-1s", "1d", "1e400s", "ten", "nan"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
