//! Durations in configuration, as people write them: `500ms`, `10s`, `2m`, `1h`; a bare number is
//! seconds. For the configurations of connectors and sinks, so that all read the same.
//!
//! ```
//! use std::time::Duration;
//!
//! #[derive(serde::Deserialize, serde::Serialize)]
//! struct Config {
//!     #[serde(with = "eventlane::duration")]
//!     timeout: Duration,
//!     #[serde(default, with = "eventlane::duration::optional")]
//!     linger: Option<Duration>,
//! }
//!
//! let config: Config = serde_json::from_str(r#"{ "timeout": "1.5s" }"#)?;
//! assert_eq!((config.timeout, config.linger), (Duration::from_millis(1500), None));
//! assert_eq!(serde_json::to_string(&config)?, r#"{"timeout":"1500ms","linger":null}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::{fmt, time::Duration};

use serde::{
    Deserializer, Serializer,
    de::{Error, Visitor},
};

/// For `#[serde(with)]` on a [`Duration`]. Fractions are allowed.
///
/// # Errors
/// A unit that is not known, no number, a negative one, or one that no `Duration` can hold.
pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    input.deserialize_any(Text)
}

/// Writes a duration in the largest unit in which it is a whole number; what is finer than a
/// millisecond is left off.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&Written(*duration))
}

/// The same for a setting that may be left out.
pub mod optional {
    use super::{Deserializer, Duration, Error, Serializer, Text, Visitor, Written, fmt};

    /// For `#[serde(default, with)]` on an `Option<Duration>`.
    ///
    /// # Errors
    /// As [`deserialize`](super::deserialize).
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
        input.deserialize_option(Perhaps)
    }

    /// As [`serialize`](super::serialize).
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => to.collect_str(&Written(*duration)),
            None => to.serialize_none(),
        }
    }

    struct Perhaps;

    impl<'de> Visitor<'de> for Perhaps {
        type Value = Option<Duration>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Text.expecting(f)
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
            super::deserialize(input).map(Some)
        }
    }
}

/// A duration as it is written in configuration. Its `Display` is what [`deserialize`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written(pub Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
        let (size, unit) = units
            .into_iter()
            .find(|(size, _)| millis >= *size && millis.is_multiple_of(*size))
            .unwrap_or((1, "s"));
        write!(f, "{}{unit}", millis / size)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Written {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "number"],
            "minimum": 0,
            "pattern": r"^\s*[0-9]+(\.[0-9]*)?\s*(ms|s|m|h)?\s*$",
            "description": "A duration such as 500ms, 10s, 2m or 1h; a bare number is seconds.",
        })
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
    let number = number.trim();
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    // Whole numbers exactly: a fraction of a second such as 0.799 has no exact `f64`.
    let whole = number.parse().ok();
    if let Some(total) = whole.and_then(|whole: u64| whole.checked_mul(millis)) {
        return Some(Duration::from_millis(total));
    }
    let seconds = number.parse::<f64>().ok()? * (millis as f64 / 1000.0);
    Duration::try_from_secs_f64(seconds).ok()
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

    #[test]
    fn is_written_as_it_is_read() {
        for text in ["0s", "1ms", "1500ms", "45s", "90s", "2m", "12h", "8760h"] {
            assert_eq!(Written(parse(text).unwrap()).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0u64..1 << 40) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&Written(duration).to_string()), Some(duration));
        }

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
                // serde_json may read another number than was written, by the last digit.
                let written = format!("{seconds:?}");
                let seconds = serde_json::from_str(&written).unwrap();
                let read = json(written);
                prop_assert_eq!(read.ok(), Duration::try_from_secs_f64(seconds).ok());
            }
        }
    }
}
