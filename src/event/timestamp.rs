//! Time as text (RFC 3339), without a calendar library: most timestamps are only passed on.
//!
//! The usual form, UTC with milliseconds, is kept as a number of 8 bytes; every other text as it
//! is.

use std::{
    borrow::Cow,
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{InvalidEvent, Str};

/// A point in time as RFC 3339 writes it (CloudEvents §3.1.1, Timestamp).
///
/// Text that was received is kept and passed on as it is: offset, number of digits and case are
/// not normalised, and two timestamps are equal when their texts are.
///
/// ```
/// use eventlane::event::Timestamp;
///
/// let time = Timestamp::parse("2020-03-19T17:31:00.5+02:00")?;
/// assert_eq!(time.to_string(), "2020-03-19T17:31:00.5+02:00");
/// assert_eq!(time.unix_millis(), 1_584_631_860_500);
/// assert_eq!(Timestamp::from_unix_millis(1_584_631_860_500).to_string(), "2020-03-19T15:31:00.500Z");
/// # Ok::<(), eventlane::event::InvalidEvent>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp(Repr);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Repr {
    /// Within the years 0000 to 9999.
    Millis(i64),
    /// Checked text that `Millis` would not reproduce exactly.
    Text(Str),
}

const FIRST: i64 = -62_167_219_200_000;
const LAST: i64 = 253_402_300_799_999;
/// `2020-03-19T15:31:00.500Z`
const MILLIS_LEN: usize = 24;

impl Timestamp {
    /// Checks text against RFC 3339 §5.6 and keeps it as it is. Leap seconds (`:60`) pass.
    ///
    /// # Errors
    /// If the text is not an RFC 3339 date and time.
    pub fn parse(text: &str) -> Result<Self, InvalidEvent> {
        Self::new(text).ok_or_else(|| InvalidEvent::new("not an RFC 3339 timestamp"))
    }

    /// The same for the codecs, who know which attribute it is.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let millis = parse(text.as_bytes())?;
        // The usual form needs no allocation: it can be written again from the number.
        if text.len() == MILLIS_LEN && Buffer::write(millis).as_str() == text {
            return Some(Self(Repr::Millis(millis)));
        }
        Some(Self(Repr::Text(text.into())))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z. Written in UTC with three decimals. What lies
    /// outside the years 0000 to 9999, which RFC 3339 can't express, becomes the nearest that does.
    pub fn from_unix_millis(millis: i64) -> Self {
        Self(Repr::Millis(millis.clamp(FIRST, LAST)))
    }

    /// The system's clock.
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(LAST))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z; what is finer is cut off. A leap second counts as
    /// the first of the next minute.
    pub fn unix_millis(&self) -> i64 {
        match &self.0 {
            Repr::Millis(millis) => *millis,
            Repr::Text(text) => parse(text.as_bytes()).unwrap_or_default(),
        }
    }

    /// The text; borrowed if it was received as such.
    pub fn as_str(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Text(text) => Cow::Borrowed(text),
            Repr::Millis(millis) => Cow::Owned(Buffer::write(*millis).as_str().to_owned()),
        }
    }

    /// Hands the text over without an allocation.
    pub(crate) fn with_str<R>(&self, f: impl FnOnce(&str) -> R) -> R {
        match &self.0 {
            Repr::Text(text) => f(text),
            Repr::Millis(millis) => f(Buffer::write(*millis).as_str()),
        }
    }

    pub(crate) fn heap_size(&self) -> usize {
        match &self.0 {
            Repr::Millis(_) => 0,
            Repr::Text(text) => super::heap_size(text),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| f.write_str(text))
    }
}

impl FromStr for Timestamp {
    type Err = InvalidEvent;

    fn from_str(text: &str) -> Result<Self, InvalidEvent> {
        Self::parse(text)
    }
}

/// The usual form, on the stack.
struct Buffer([u8; MILLIS_LEN]);

impl Buffer {
    /// `millis` must lie between `FIRST` and `LAST`.
    fn write(millis: i64) -> Self {
        let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let mut out = *b"0000-00-00T00:00:00.000Z";
        put(&mut out[0..4], year);
        put(&mut out[5..7], month);
        put(&mut out[8..10], day);
        put(&mut out[11..13], rest / 3_600_000);
        put(&mut out[14..16], rest / 60_000 % 60);
        put(&mut out[17..19], rest / 1000 % 60);
        put(&mut out[20..23], rest % 1000);
        Self(out)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn put(digits: &mut [u8], mut number: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Years begin in March here,
/// so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The opposite of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// RFC 3339 §5.6, `date-time`.
fn parse(text: &[u8]) -> Option<i64> {
    let (head, mut rest) = text.split_at_checked(19)?;
    let number = |from: usize, to: usize| number(&head[from..to]);
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| head[*at] != *mark) || !matches!(head[10], b'T' | b't') {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        for at in 0..3 {
            let digit = fraction.get(at).filter(|_| at < digits);
            millis = millis * 10 + digit.map_or(0, |b| i64::from(b - b'0'));
        }
        rest = &fraction[digits..];
        if digits == 0 {
            return None;
        }
    }
    let offset = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (self::number(&[*h1, *h2])?, self::number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 60 + minutes;
            if *sign == b'+' { offset } else { -offset }
        }
        _ => return None,
    };
    let minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute - offset;
    Some((minutes * 60 + second) * 1000 + millis)
}

/// Only digits; a sign or a space is none.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, b| {
        b.is_ascii_digit()
            .then(|| number * 10 + i64::from(b - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_rfc_3339_allows() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2020-03-19T17:31:00.5+02:00", 1_584_631_860_500),
            ("2020-03-19t15:31:00.500999z", 1_584_631_860_500),
            ("2000-02-29T00:00:00-00:00", 951_782_400_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("0000-01-01T00:00:00Z", FIRST),
            ("9999-12-31T23:59:59.999Z", LAST),
            (
                "2024-01-01T00:00:00.123456789012345678901234567890Z",
                1_704_067_200_123,
            ),
        ] {
            let time = Timestamp::parse(text).unwrap();
            assert_eq!(time.unix_millis(), millis, "{text}");
            assert_eq!(time.to_string(), text);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "2020-03-19",
            "2020-03-19 15:31:00Z",
            "2020-03-19T15:31:00",
            "2020-03-19T15:31:00.Z",
            "2020-03-19T15:31Z",
            "2020-13-19T15:31:00Z",
            "2020-00-19T15:31:00Z",
            "2020-04-31T15:31:00Z",
            "2020-04-00T15:31:00Z",
            "1900-02-29T15:31:00Z",
            "2021-02-29T15:31:00Z",
            "2020-03-19T24:00:00Z",
            "2020-03-19T15:60:00Z",
            "2020-03-19T15:31:61Z",
            "2020-03-19T15:31:00+2:00",
            "2020-03-19T15:31:00+24:00",
            "2020-03-19T15:31:00+02:60",
            "2020-03-19T15:31:00+0200",
            "2020-03-19T15:31:00Zx",
            "+020-03-19T15:31:00Z",
            "2020-03-1９T15:31:0Z",
            "١٢٣٤-03-19T15:31:00Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_day_there_is_comes_back() {
        // 3,652,425 days; one in 97, which meets every day of the year and every leap rule.
        for day in (FIRST / 86_400_000..=LAST / 86_400_000).step_by(97) {
            let millis = day * 86_400_000 + 86_399_999;
            let text = Timestamp::from_unix_millis(millis).to_string();
            assert!(text.ends_with("T23:59:59.999Z"), "{text}");
            assert_eq!(
                Timestamp::parse(&text).unwrap().unix_millis(),
                millis,
                "{text}"
            );
        }
    }

    #[test]
    fn written_and_received_are_equal() {
        let written = Timestamp::from_unix_millis(1_584_631_860_500);
        assert_eq!(written, written.to_string().parse().unwrap());
        assert_eq!(written.heap_size(), 0);
        assert_ne!(written, "2020-03-19T15:31:00.5Z".parse().unwrap());
    }

    #[test]
    fn what_has_no_year_of_four_digits_is_clamped() {
        let first = Timestamp::from_unix_millis(i64::MIN).to_string();
        let last = Timestamp::from_unix_millis(i64::MAX).to_string();
        assert_eq!(
            (&*first, &*last),
            ("0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z")
        );
    }
}
