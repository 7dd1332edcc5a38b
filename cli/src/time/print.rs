//! Moments as text: RFC 3339 in UTC with six digits after the point.

use std::fmt;

use annals::Timestamp;

/// Displays a timestamp as `2024-03-09T16:00:00.123456Z`. Years outside 0 to 9999 have a sign and six digits
/// (ISO 8601, expanded), so that every timestamp has a text.
pub(crate) struct Rfc3339(pub(crate) Timestamp);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let (year, month, day) = civil_from_days(self.0.utc_day());
        let of_day = micros.rem_euclid(86_400_000_000);
        let (second, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
        match year {
            0..=9999 => write!(f, "{year:04}")?,
            _ => write!(f, "{year:+07}")?,
        }
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
    }
}

/// Year, month and day of the proleptic Gregorian calendar, from days since 1970-01-01. Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: jiff's calendar ends at the year 9999, timestamps don't.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(micros: i64) -> String {
        Rfc3339(Timestamp::from_micros(micros)).to_string()
    }

    #[test]
    fn known_moments() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(text(1_709_164_800_000_000), "2024-02-29T00:00:00.000000Z");
        assert_eq!(text(i64::MAX), "+294247-01-10T04:00:54.775807Z");
        assert_eq!(text(i64::MIN), "-290308-12-21T19:59:05.224192Z");
    }

    #[test]
    fn agrees_with_jiff_wherever_jiff_goes() {
        let day: i64 = 86_400_000_000;
        // Every 11th day and some from the year 0 to the year 9999.
        for micros in
            (-62_167_219_200_000_000i64..253_402_207_200_000_000).step_by((11 * day + 12_345_678_901) as usize)
        {
            let expected = jiff::Timestamp::from_microsecond(micros).expect("in range");
            assert_eq!(text(micros), format!("{expected:.6}"), "{micros}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for micros in [0, -1, 1_521_911_721_123_456, -62_135_596_800_000_000, 253_402_207_200_000_000 - 1] {
            let read = super::super::parse_moment(&text(micros)).map(Timestamp::as_micros);
            assert_eq!(read, Ok(micros));
        }
    }
}
