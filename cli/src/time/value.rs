//! Moments as text and numbers: RFC 3339 and its near relatives, and epochs in four units. Integer arithmetic
//! throughout; what is finer than a µs is rounded down, towards the past.

use annals::Timestamp;
use jiff::civil;

/// Integer digits a number needs to count ms, µs, ns since the epoch rather than seconds. Each unit so reaches from
/// March 1973 to the year 5138 (ns to 2262 and beyond).
const DIGITS_MIN_MILLIS: i64 = 12;
const DIGITS_MIN_MICROS: i64 = 15;
const DIGITS_MIN_NANOS: i64 = 18;
const EPOCH: civil::Date = civil::Date::constant(1970, 1, 1);

/// Beyond this many integer digits a number is no epoch in any unit.
const DIGITS_MAX: i64 = 20;

/// A moment, and whether it was written as a plain number, which might as well be something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) timestamp: Timestamp,
    pub(crate) is_number: bool,
}

/// Reads a moment from text: an epoch number, or a date and time.
pub(crate) fn from_text(text: &str) -> Option<Moment> {
    let text = text.trim_ascii();
    let number = |timestamp| Moment { timestamp, is_number: true };
    let date_time = |timestamp| Moment { timestamp, is_number: false };
    from_decimal(text).map(number).or_else(|| from_date_time(text).map(date_time))
}

/// Reads an epoch from a decimal number (digits, optionally a sign, a point, an exponent); its magnitude decides the
/// unit. Exact, whatever the number of digits.
pub(crate) fn from_decimal(text: &str) -> Option<Timestamp> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }

    // The number is 0.d₀d₁d₂… × 10^point, without leading zeros.
    let digits = || whole.bytes().chain(fraction.bytes()).map(|byte| i128::from(byte - b'0'));
    let leading_zeros = digits().take_while(|&digit| digit == 0).count();
    if leading_zeros == whole.len() + fraction.len() {
        return Some(Timestamp::from_micros(0));
    }
    let point = whole.len() as i64 - leading_zeros as i64 + i64::from(exponent);
    let shift = match point {
        _ if point < DIGITS_MIN_MILLIS => 6,
        _ if point < DIGITS_MIN_MICROS => 3,
        _ if point < DIGITS_MIN_NANOS => 0,
        _ if point <= DIGITS_MAX => -3,
        _ => return None,
    };
    // At most 23 digits are taken, so this can't overflow an i128.
    let taken = (point + shift).max(0) as usize;
    let significant = || digits().skip(leading_zeros);
    let micros = significant().chain(std::iter::repeat(0)).take(taken).fold(0i128, |sum, digit| sum * 10 + digit);
    let exact = significant().skip(taken).all(|digit| digit == 0);
    let micros = match (negative, exact) {
        (false, _) => micros,
        (true, true) => -micros,
        (true, false) => -micros - 1,
    };
    i64::try_from(micros).ok().map(Timestamp::from_micros)
}

/// Reads `YYYY-MM-DD`, or that and `hh:mm:ss` after `T` or a space, with an optional fraction of any length after a
/// point or comma and an optional zone (`Z`, `UTC`, `±hh:mm`, `±hhmm`, `±hh`). Without a zone it is UTC.
pub(crate) fn from_date_time(text: &str) -> Option<Timestamp> {
    let mut text = Cursor(text.as_bytes());
    let year = text.digits(4)?;
    text.one_of(b"-")?;
    let month = text.digits(2)?;
    text.one_of(b"-")?;
    let day = text.digits(2)?;
    let date = civil::Date::new(year as i16, month as i8, day as i8).ok()?;
    if text.0.is_empty() {
        return to_utc(date, 0, 0, 0, 0);
    }
    text.one_of(b"Tt ")?;
    let hour = text.digits(2)?;
    text.one_of(b":")?;
    let minute = text.digits(2)?;
    text.one_of(b":")?;
    let second = text.digits(2)?;
    // 60 is a leap second: as in POSIX time, it is the same moment as the second after it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let micros = match text.one_of(b".,") {
        Some(_) => text.fraction_micros()?,
        None => 0,
    };
    let offset_seconds = text.zone()?;
    to_utc(date, hour * 3600 + minute * 60 + second, micros, offset_seconds, text.0.len())
}

fn to_utc(date: civil::Date, second: i64, micros: i64, offset_seconds: i64, left_over: usize) -> Option<Timestamp> {
    if left_over > 0 {
        return None;
    }
    let midnight = date.duration_since(EPOCH).as_secs();
    Some(Timestamp::from_micros((midnight + second - offset_seconds) * 1_000_000 + micros))
}

/// What is left of the text.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Exactly `count` digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        taken.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    }

    fn one_of(&mut self, choices: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        choices.contains(&first).then(|| {
            self.0 = rest;
            first
        })
    }

    /// One or more digits after the decimal point, as µs rounded down.
    fn fraction_micros(&mut self) -> Option<i64> {
        let len = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(len);
        self.0 = rest;
        let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(6);
        (len > 0).then(|| padded.fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0')))
    }

    /// The zone's offset from UTC in seconds; 0 where none is given.
    fn zone(&mut self) -> Option<i64> {
        self.0 = self.0.strip_prefix(b" ").unwrap_or(self.0);
        if matches!(self.0, b"" | b"Z" | b"z" | b"UTC") {
            self.0 = b"";
            return Some(0);
        }
        let sign = if self.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.digits(2)?;
        let minutes = if self.0.is_empty() {
            0
        } else {
            let _ = self.one_of(b":");
            self.digits(2)?
        };
        (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Option<i64> {
        from_decimal(text).map(Timestamp::as_micros)
    }

    fn date_time(text: &str) -> Option<i64> {
        from_date_time(text).map(Timestamp::as_micros)
    }

    #[test]
    fn magnitude_decides_the_unit() {
        // The last of each unit and the first of the next: 11, 12, 14, 15, 17, 18, 20 and 21 integer digits.
        assert_eq!(decimal("99999999999"), Some(99_999_999_999_000_000));
        assert_eq!(decimal("100000000000"), Some(100_000_000_000_000));
        assert_eq!(decimal("99999999999999"), Some(99_999_999_999_999_000));
        assert_eq!(decimal("100000000000000"), Some(100_000_000_000_000));
        assert_eq!(decimal("99999999999999999"), Some(99_999_999_999_999_999));
        assert_eq!(decimal("100000000000000000"), Some(100_000_000_000_000));
        assert_eq!(decimal("99999999999999999999"), Some(99_999_999_999_999_999));
        assert_eq!(decimal("100000000000000000000"), None);
        // Leading zeros are no magnitude.
        assert_eq!(decimal("0000000000001521911721"), Some(1_521_911_721_000_000));
    }

    #[test]
    fn one_moment_in_four_units() {
        for text in ["1521911721", "1521911721000", "1521911721000000", "1521911721000000000", "1.521911721e9"] {
            assert_eq!(decimal(text), Some(1_521_911_721_000_000), "{text}");
        }
        for text in ["1521911721.123456", "1521911721123.456", "1521911721123456", "1521911721123456000"] {
            assert_eq!(decimal(text), Some(1_521_911_721_123_456), "{text}");
        }
    }

    #[test]
    fn nothing_is_rounded_through_a_double() {
        // 2^53 µs and one more; a fraction a double can't hold.
        assert_eq!(decimal("9007199254740993"), Some(9_007_199_254_740_993));
        assert_eq!(decimal("4102444800.000001"), Some(4_102_444_800_000_001));
        assert_eq!(decimal("1521911721.9999999999999999999999999999"), Some(1_521_911_721_999_999));
    }

    #[test]
    fn finer_than_a_microsecond_rounds_towards_the_past() {
        assert_eq!(decimal("1521911721123456999"), Some(1_521_911_721_123_456));
        assert_eq!(decimal("-0.0000001"), Some(-1));
        assert_eq!(decimal("-1.5"), Some(-1_500_000));
        assert_eq!(decimal("-1521911721123456001"), Some(-1_521_911_721_123_457));
        assert_eq!(decimal("-1521911721123456000"), Some(-1_521_911_721_123_456));
        assert_eq!(date_time("1969-12-31T23:59:59.9999999Z"), Some(-1));
    }

    #[test]
    fn zeros_small_numbers_and_exponents() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("-0.000"), Some(0));
        assert_eq!(decimal("0e999"), Some(0));
        assert_eq!(decimal("5"), Some(5_000_000));
        assert_eq!(decimal("1e-9"), Some(0));
        assert_eq!(decimal("-1e-400"), Some(-1));
        assert_eq!(decimal("1e400"), None);
        assert_eq!(decimal("1e99999999999"), None);
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".5", "+5", "1.2.3", "0x10", "12a", "NaN", "1 ", "--1", "1e", "e5"] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
        assert_eq!(decimal("5."), Some(5_000_000));
    }

    #[test]
    fn rfc_3339_and_its_relatives() {
        let moment = Some(1_710_000_000_123_456);
        for text in [
            "2024-03-09T16:00:00.123456Z",
            "2024-03-09t16:00:00.123456z",
            "2024-03-09 16:00:00.123456",
            "2024-03-09 16:00:00,123456789",
            "2024-03-09T16:00:00.123456999999999Z",
            "2024-03-09T16:00:00.123456 UTC",
            "2024-03-09T18:00:00.123456+02:00",
            "2024-03-09T18:00:00.123456 +0200",
            "2024-03-09T18:00:00.123456+02",
            "2024-03-09T10:30:00.123456-05:30",
            "2024-03-10T15:59:00.123456+23:59",
        ] {
            assert_eq!(date_time(text), moment, "{text}");
        }
        assert_eq!(date_time("2024-03-09T16:00:00Z"), Some(1_710_000_000_000_000));
        assert_eq!(date_time("2024-03-09"), Some(1_709_942_400_000_000));
    }

    #[test]
    fn the_calendar_is_respected() {
        assert_eq!(date_time("2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000));
        assert_eq!(date_time("2000-02-29T00:00:00Z"), Some(951_782_400_000_000));
        assert_eq!(date_time("2023-02-29T00:00:00Z"), None);
        assert_eq!(date_time("1900-02-29T00:00:00Z"), None);
        assert_eq!(date_time("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(date_time("1969-12-31T23:59:59Z"), Some(-1_000_000));
        assert_eq!(date_time("0001-01-01T00:00:00Z"), Some(-62_135_596_800_000_000));
        assert_eq!(date_time("9999-12-31T23:59:59.999999Z"), Some(253_402_300_799_999_999));
        // A leap second is the same moment as the second after it.
        assert_eq!(date_time("2016-12-31T23:59:60Z"), date_time("2017-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_date_and_time_is_none() {
        for text in [
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-01-32T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:61Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+1",
            "2024-01-01T00:00:00Zulu",
            "2024-01-01T00:00",
            "2024-01-01T",
            "2024-1-1",
            "today",
            "",
            "Sat Mar  9 16:00:00 2024",
            "２０２４-01-01",
        ] {
            assert_eq!(date_time(text), None, "{text:?}");
        }
    }

    #[test]
    fn text_says_whether_it_was_a_number() {
        let number = from_text(" 1521911721 ");
        assert_eq!(number, Some(Moment { timestamp: Timestamp::from_micros(1_521_911_721_000_000), is_number: true }));
        assert_eq!(from_text("1970-01-01"), Some(Moment { timestamp: Timestamp::from_micros(0), is_number: false }));
        assert_eq!(from_text("never"), None);
    }
}
