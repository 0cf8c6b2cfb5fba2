//! Durations as ISO 8601 writes them: `PT0.2S`, `PT2M`, `P1DT12H`.

use std::time::Duration;

use serde::de::{
    Deserialize, Deserializer, Error, IntoDeserializer,
    value::{self, StrDeserializer},
};

/// A duration. Not with years and months, whose length nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period(pub(super) Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).map(Self).ok_or_else(|| {
            let like = "expected an ISO 8601 duration such as PT0.5S, PT2M or P1D";
            D::Error::custom(match ours(&text) {
                Some(duration) => format!("{like}; here PT{}S", duration.as_secs_f64()),
                None => like.to_owned(),
            })
        })
    }
}

/// What a configuration would write: `500ms`.
fn ours(text: &str) -> Option<Duration> {
    let text: StrDeserializer<'_, value::Error> = text.into_deserializer();
    eventlane::duration::deserialize(text).ok()
}

fn parse(text: &str) -> Option<Duration> {
    const DAY: f64 = 86_400.0;
    let text = text.trim().strip_prefix('P')?;
    let (days, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let days = units(days, &[('W', 7.0 * DAY), ('D', DAY)])?;
    let time = units(time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)])?;
    Duration::try_from_secs_f64(days + time).ok()
}

/// Numbers, each with its unit, in this order.
fn units(mut text: &str, mut units: &[(char, f64)]) -> Option<f64> {
    let mut seconds = 0.0;
    while !text.is_empty() {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')?;
        let (number, rest) = text.split_at(end);
        let unit = rest.chars().next()?;
        let at = units.iter().position(|(name, _)| *name == unit)?;
        let number: f64 = number.replace(',', ".").parse().ok()?;
        seconds += number * units[at].1;
        (units, text) = (&units[at + 1..], &rest[1..]);
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read() {
        for (text, seconds) in [
            ("PT0.2S", 0.2),
            ("PT0,25S", 0.25),
            ("PT2M", 120.0),
            ("PT1H30M", 5400.0),
            ("P1D", 86_400.0),
            ("P1DT12H", 129_600.0),
            ("P2W", 1_209_600.0),
            ("PT0S", 0.0),
        ] {
            assert_eq!(
                parse(text),
                Some(Duration::from_secs_f64(seconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "P",
            "PT",
            "1S",
            "PT1",
            "PTS",
            "P1S",
            "PT1D",
            "P1M",
            "P1Y",
            "PT1S1M",
            "-PT1S",
            "PT-1S",
            "PT.S",
            "PT1e3S",
            "PT1Sx",
            "PT1.2.3S",
            "PT99999999999999999999999S",
            "PTéS",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
