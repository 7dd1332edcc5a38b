//! Moments in strings: `2015-09-11T00:46:58.771Z` as the number of its smallest units since 1970.

use super::text::{parse_digits, print_digits};

/// How a moment is spelled: a date, `T` or a space, the time of day, and digits of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeFormat {
    /// Whether a space stands between the date and the time; otherwise `T`.
    pub(super) is_spaced: bool,
    /// Digits after the point, which is only there if they are; at most [`TimeFormat::FRACTION_MAX`].
    pub(super) fraction: u8,
}

const SECONDS_OF_DAY: i64 = 86_400;
/// Bytes up to the seconds.
const BYTES_MIN: usize = 19;

impl TimeFormat {
    /// Most digits of a fraction: a moment of year 9999 in such units fits an `i64`.
    pub(super) const FRACTION_MAX: u8 = 6;

    /// The format of the moment that `text` begins with, and its length in bytes.
    pub(super) fn find(text: &[u8]) -> Option<(Self, usize)> {
        let head = text.first_chunk::<BYTES_MIN>()?;
        let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        let is_separator = |at: usize| separators.iter().any(|(place, _)| *place == at) || at == 10;
        if separators.iter().any(|(at, byte)| head[*at] != *byte) || !matches!(head[10], b'T' | b' ') {
            return None;
        }
        if head.iter().enumerate().any(|(at, byte)| !is_separator(at) && !byte.is_ascii_digit()) {
            return None;
        }
        let rest = &text[BYTES_MIN..];
        let digits = match rest.first() {
            Some(b'.') => rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
            _ => 0,
        };
        let fraction = u8::try_from(digits).ok().filter(|digits| *digits <= Self::FRACTION_MAX)?;
        let len = BYTES_MIN + if digits > 0 { digits + 1 } else { 0 };
        let format = Self { is_spaced: head[10] == b' ', fraction };
        // A leap second or the 30th of February would be printed otherwise.
        let mut again = Vec::with_capacity(len);
        format.print(format.parse(&text[..len]), &mut again);
        (again == text[..len] && !rest.get(len - BYTES_MIN).is_some_and(u8::is_ascii_digit)).then_some((format, len))
    }

    /// The units since 1970 of a text in this format.
    pub(super) fn parse(self, text: &[u8]) -> i64 {
        let number = |from: usize, to: usize| parse_digits(&text[from..to]);
        let days = days_of(number(0, 4), number(5, 7), number(8, 10));
        let seconds = days * SECONDS_OF_DAY + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
        let fraction = if self.fraction > 0 { parse_digits(&text[BYTES_MIN + 1..]) } else { 0 };
        seconds * self.units() + fraction
    }

    /// Prints the moment `value`; what lies outside the years 0 to 9999 as the nearest that doesn't.
    pub(super) fn print(self, value: i64, out: &mut Vec<u8>) {
        let seconds = value.div_euclid(self.units()).clamp(-62_167_219_200, 253_402_300_799);
        let (year, month, day) = date_of(seconds.div_euclid(SECONDS_OF_DAY));
        let of_day = seconds.rem_euclid(SECONDS_OF_DAY);
        print_digits(year, 4, out);
        let separator = if self.is_spaced { b' ' } else { b'T' };
        let fields = [(b'-', month), (b'-', day), (separator, of_day / 3600), (b':', of_day / 60 % 60)];
        for (before, number) in fields.into_iter().chain([(b':', of_day % 60)]) {
            out.push(before);
            print_digits(number, 2, out);
        }
        if self.fraction > 0 {
            out.push(b'.');
            print_digits(value.rem_euclid(self.units()), usize::from(self.fraction), out);
        }
    }

    fn units(self) -> i64 {
        10i64.pow(u32::from(self.fraction.min(Self::FRACTION_MAX)))
    }
}

/// Days since 1970 of a date of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date so many days after 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_back_and_what_is_none_is_left_alone() {
        for text in [
            "1970-01-01T00:00:00",
            "2015-09-11 00:46:58.771",
            "0000-01-01T00:00:00.000001",
            "9999-12-31T23:59:59.999999",
            "2024-02-29T12:00:00.5",
        ] {
            let (format, len) = TimeFormat::find(text.as_bytes()).unwrap();
            assert_eq!(len, text.len());
            let mut out = Vec::new();
            format.print(format.parse(text.as_bytes()), &mut out);
            assert_eq!(out, text.as_bytes());
        }
        for text in [
            "2023-02-29T12:00:00",
            "2024-01-01T24:00:00",
            "2024-01-01T23:59:60",
            "2024-13-01T00:00:00",
            "2024-01-01T00:00:0",
            "2024-01-01T00:00:00.1234567",
        ] {
            assert_eq!(TimeFormat::find(text.as_bytes()), None, "{text}");
        }
        let format = TimeFormat { is_spaced: false, fraction: 6 };
        for value in [i64::MIN, i64::MAX] {
            format.print(value, &mut Vec::new());
        }
    }
}
