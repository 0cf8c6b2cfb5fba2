//! `Retry-After`: RFC 9110 §10.2.3.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap,
    header::{DATE, RETRY_AFTER},
};

/// How long the destination asks to be left alone, at most `max`; `None` if it doesn't say, says it
/// in no valid way, or asks for nothing (zero, a date in the past).
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime, max: Duration) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // More digits than a u64 holds is a long time, not an invalid one.
        text.parse().map_or(max, Duration::from_secs)
    } else {
        let until = httpdate::parse_http_date(text).ok()?;
        // The date is by the destination's clock, which its `Date` header shows.
        let now = headers
            .get(DATE)
            .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok())
            .unwrap_or(now);
        until.duration_since(now).ok()?
    };
    (!after.is_zero()).then(|| after.min(max))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: Duration = Duration::from_secs(300);

    fn now() -> SystemTime {
        httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap()
    }

    fn after(value: &[u8]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, http::HeaderValue::from_bytes(value).unwrap());
        retry_after(&headers, now(), MAX).map(|after| after.as_secs())
    }

    #[test]
    fn reads_seconds_and_dates() {
        for (value, expected) in [
            ("2", Some(2)),
            (" 120 ", Some(120)),
            ("300", Some(300)),
            ("301", Some(300)),
            ("18446744073709551615", Some(300)),
            ("18446744073709551616", Some(300)),
            ("99999999999999999999999999999999", Some(300)),
            ("0", None),
            ("000", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1s", None),
            ("soon", None),
            ("0x10", None),
            ("1, 2", None),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun Nov  6 08:49:47 1994", Some(10)),
            ("Sun, 06 Nov 1994 10:49:37 GMT", Some(300)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(300)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:36 GMT", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
            ("Sun, 99 Nov 1994 08:49:47 GMT", None),
            ("1994-11-06T08:49:47Z", None),
        ] {
            assert_eq!(after(value.as_bytes()), expected, "{value:?}");
        }
        assert_eq!(after(b"\xff"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now(), MAX), None);
    }

    #[test]
    fn counts_from_the_destinations_clock() {
        let mut headers = HeaderMap::new();
        headers.insert(
            RETRY_AFTER,
            "Sun, 06 Nov 1994 09:00:05 GMT".parse().unwrap(),
        );
        headers.insert(DATE, "Sun, 06 Nov 1994 09:00:00 GMT".parse().unwrap());
        assert_eq!(
            retry_after(&headers, now(), MAX),
            Some(Duration::from_secs(5))
        );
        headers.insert(DATE, "yesterday".parse().unwrap());
        headers.insert(
            RETRY_AFTER,
            "Sun, 06 Nov 1994 08:49:38 GMT".parse().unwrap(),
        );
        assert_eq!(
            retry_after(&headers, now(), MAX),
            Some(Duration::from_secs(1))
        );
    }

    proptest! {
        #[test]
        fn any_value_is_a_bounded_time_or_none(
            after in "[0-9]{0,40}|[A-Z][a-z]{2},? [0-9]{1,3} ?-?[A-Z][a-z]{2} ?-?[0-9]{1,5} [0-9:]{0,9} GMT|[ -~]{0,40}",
            date in "[A-Z][a-z]{2}, [0-9]{2} (Jan|Feb|Dec) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT|[ -~]{0,40}",
        ) {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, after.parse().unwrap());
            headers.insert(DATE, date.parse().unwrap());
            let after = retry_after(&headers, now(), MAX);
            prop_assert!(after.is_none_or(|after| !after.is_zero() && after <= MAX), "{after:?}");
        }
    }
}
