//! Moments on the command line: `--since 2024-05-01`, `--until -2h`.

use std::time::Duration;

use annals::Timestamp;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo};

use super::value;

/// Reads a moment: RFC 3339, a date (midnight UTC), an epoch number, `now`, or a span before now such as `-2h` or `-1d12h`.
pub(crate) fn parse_moment(text: &str) -> Result<Timestamp, String> {
    parse_moment_at(text, jiff::Timestamp::now())
}

fn parse_moment_at(text: &str, now: jiff::Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if text == "now" {
        return Ok(Timestamp::from_micros(now.as_microsecond()));
    }
    if let Some(moment) = value::from_text(text) {
        return Ok(moment.timestamp);
    }
    if text.starts_with('-') || text.ends_with("ago") {
        let relative = text.parse::<Span>().ok().and_then(|span| now.to_zoned(TimeZone::UTC).checked_add(span).ok());
        if let Some(moment) = relative {
            return Ok(Timestamp::from_micros(moment.timestamp().as_microsecond()));
        }
    }
    Err("expected a date (2024-05-01), a date and time (2024-05-01T10:00:00Z; without a zone it is UTC), seconds, ms, \
         µs or ns since 1970, `now`, or a span before now (-2h, -30m, -7d)"
        .to_owned())
}

/// Reads a span as an age: `90d`, `12h`, `2 weeks`. Days and months are those of UTC, counted back from now.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    parse_age_at(text, jiff::Timestamp::now())
}

fn parse_age_at(text: &str, now: jiff::Timestamp) -> Result<Duration, String> {
    let zoned = now.to_zoned(TimeZone::UTC);
    let then = text.trim().parse::<Span>().ok().and_then(|span| zoned.checked_sub(span).ok());
    let micros = then.map(|then| now.as_microsecond() - then.timestamp().as_microsecond());
    let age = micros.and_then(|micros| u64::try_from(micros).ok()).filter(|_| !text.contains("ago"));
    age.map(Duration::from_micros).ok_or_else(|| "expected an age such as 90d, 12h, 2 weeks or 1 year".to_owned())
}

/// Reads a span of fixed length: `1h`, `15m`, `1d`, `1 week`. A day has 24 hours.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let span = text.trim().parse::<Span>().ok().filter(|_| !text.contains("ago"));
    let span = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let span = span.and_then(|span| Duration::try_from(span).ok()).filter(|span| span.as_micros() > 0);
    span.ok_or_else(|| {
        "expected a span such as 1h, 15m, 30s, 1d or 1 week; months and years differ in length".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_noon(text: &str) -> Result<i64, String> {
        let now = "2024-03-01T12:00:00Z".parse().expect("a moment");
        parse_moment_at(text, now).map(Timestamp::as_micros)
    }

    #[test]
    fn absolute_moments() {
        assert_eq!(at_noon("2024-03-01"), Ok(1_709_251_200_000_000));
        assert_eq!(at_noon("2024-03-01T01:00:00+01:00"), Ok(1_709_251_200_000_000));
        assert_eq!(at_noon("1709251200"), Ok(1_709_251_200_000_000));
        assert_eq!(at_noon("1709251200000"), Ok(1_709_251_200_000_000));
        assert_eq!(at_noon("now"), Ok(1_709_294_400_000_000));
    }

    #[test]
    fn spans_before_now() {
        assert_eq!(at_noon("-12h"), Ok(1_709_251_200_000_000));
        assert_eq!(at_noon("-1d12h"), Ok(1_709_164_800_000_000));
        assert_eq!(at_noon("-1 month"), Ok(1_706_788_800_000_000));
        assert_eq!(at_noon("2h ago"), Ok(1_709_287_200_000_000));
    }

    #[test]
    fn ages() {
        let now = "2024-03-01T12:00:00Z".parse().expect("a moment");
        let seconds = |text| parse_age_at(text, now).map(|age| age.as_secs());
        assert_eq!((seconds("90d"), seconds("12h")), (Ok(90 * 86_400), Ok(43_200)));
        assert_eq!((seconds("2 weeks"), seconds("1 month")), (Ok(14 * 86_400), Ok(29 * 86_400)));
        for text in ["", "-1d", "2h ago", "90", "soon"] {
            assert!(seconds(text).is_err_and(|error| error.contains("90d")), "{text}");
        }
    }

    #[test]
    fn spans() {
        let seconds = |text| parse_span(text).map(|span| span.as_secs());
        assert_eq!((seconds("1h"), seconds("15m"), seconds("1d")), (Ok(3_600), Ok(900), Ok(86_400)));
        assert_eq!((seconds("1 week"), parse_span("5us")), (Ok(604_800), Ok(Duration::from_micros(5))));
        for text in ["", "-1h", "0s", "1h ago", "1 month", "60"] {
            assert!(seconds(text).is_err_and(|error| error.contains("15m")), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_examples() {
        for text in ["", "yesterday", "2h", "-2 parsecs", "2024-02-30"] {
            assert!(at_noon(text).is_err_and(|error| error.contains("-2h")), "{text}");
        }
    }
}
