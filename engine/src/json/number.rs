//! JSON numbers: which MessagePack type holds a number token exactly, and when none does.
//!
//! The rule, from docs/format.md: an integer token that fits 64 bits is an integer; any other token is a double if the
//! shortest decimal that reads back as that double has exactly the token's value; what is left stays a token.

use super::emit::Emitter;
use hifijson::SliceLexer;
use hifijson::num::{Lex as _, Parts};

/// No double needs more significant digits than this to be told from its neighbours.
const DIGITS_MAX: u32 = 17;

/// Every decimal of at most so many significant digits is the shortest one for its double, away from the ends of the
/// range (C's `DBL_DIG`).
const DIGITS_SAFE: u32 = 15;

/// Far inside the range of normal doubles, 2.2e-308 to 1.8e308.
const EXPONENT_SAFE: i64 = 290;

/// Exponents stop counting here: beyond the length of any token, so that no number of zeros can make up for it.
const EXPONENT_CAP: i64 = 1_000_000_000_000_000;

/// The powers of ten that are doubles exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Writes the number `token`, which is valid and has these `parts`.
#[inline]
pub(super) fn emit(token: &str, parts: &Parts, emitter: &mut Emitter<'_>) {
    if parts.is_int() {
        match integer(token.as_bytes()) {
            Some(Integer::Unsigned(value)) => return emitter.uint(value),
            Some(Integer::Negative(value)) => return emitter.sint(value),
            None => {}
        }
    } else if let Some(value) = double(token) {
        return emitter.f64(value);
    }
    emitter.json_token(token.as_bytes());
}

/// Whether `token` is one JSON number, and nothing else.
pub(super) fn is_token(token: &[u8]) -> bool {
    let mut lexer = SliceLexer::new(token);
    lexer.num_ignore().validate().is_ok() && lexer.as_slice().is_empty()
}

enum Integer {
    Unsigned(u64),
    Negative(i64),
}

/// `None` if it needs more than 64 bits, or is the negative zero that no integer type has.
fn integer(token: &[u8]) -> Option<Integer> {
    let (negative, digits) = match token {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // 19 digits always fit.
    let (first, more) = digits.split_at_checked(19).unwrap_or((digits, &[]));
    let first = first.iter().fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    let value =
        more.iter().try_fold(first, |value, digit| value.checked_mul(10)?.checked_add((digit - b'0').into()))?;
    match (negative, value) {
        (false, value) => Some(Integer::Unsigned(value)),
        (true, 0) => None,
        (true, value) => 0i64.checked_sub_unsigned(value).map(Integer::Negative),
    }
}

/// The double that is printed with exactly the value of `token`, if there is one.
fn double(token: &str) -> Option<f64> {
    let decimal = Decimal::of(token.as_bytes())?;
    let sign = if decimal.negative { -1.0 } else { 1.0 };
    if decimal.digits == 0 {
        return Some(0.0f64.copysign(sign));
    }
    if decimal.digit_count <= DIGITS_SAFE && decimal.magnitude().abs() <= EXPONENT_SAFE {
        // Both operands are exact and IEEE 754 rounds the one operation correctly (Clinger 1990).
        let digits = decimal.digits as f64 * sign;
        return match usize::try_from(decimal.exponent.unsigned_abs()).ok().and_then(|power| POWERS_OF_TEN.get(power)) {
            Some(power) if decimal.exponent < 0 => Some(digits / power),
            Some(power) => Some(digits * power),
            None => token.parse().ok(),
        };
    }
    if decimal.magnitude().abs() > 400 {
        return None;
    }
    let value: f64 = token.parse().ok()?;
    let exact = value.is_finite() && Decimal::of(zmij::Buffer::new().format_finite(value).as_bytes()) == Some(decimal);
    exact.then_some(value)
}

/// A decimal number, `digits` times ten to the `exponent`, without trailing zeros; so equal values are equal here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: u64,
    digit_count: u32,
    exponent: i64,
}

impl Decimal {
    /// The value of a number token; `None` if it has more than [`DIGITS_MAX`] significant digits. One pass, whatever
    /// the token says.
    fn of(token: &[u8]) -> Option<Self> {
        let (negative, token) = match token {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mut decimal = Self { negative, digits: 0, digit_count: 0, exponent: 0 };
        let mut zeros = 0u32;
        let mut after_point = false;
        for (index, &byte) in token.iter().enumerate() {
            match byte {
                b'.' => after_point = true,
                b'e' | b'E' => {
                    decimal.exponent += explicit_exponent(&token[index + 1..]);
                    break;
                }
                b'0' => {
                    zeros += u32::from(decimal.digits != 0);
                    decimal.exponent -= i64::from(after_point);
                }
                digit => {
                    decimal.push(digit - b'0', zeros)?;
                    decimal.exponent -= i64::from(after_point);
                    zeros = 0;
                }
            }
        }
        decimal.exponent = if decimal.digits == 0 { 0 } else { decimal.exponent + i64::from(zeros) };
        Some(decimal)
    }

    /// Appends `zeros` zeros and a digit that is none.
    #[inline]
    fn push(&mut self, digit: u8, zeros: u32) -> Option<()> {
        self.digit_count = self.digit_count.checked_add(zeros)?.checked_add(1).filter(|&count| count <= DIGITS_MAX)?;
        self.digits = self.digits * 10u64.pow(zeros + 1) + u64::from(digit);
        Some(())
    }

    /// The exponent if the point stood before the first digit.
    fn magnitude(&self) -> i64 {
        self.exponent + i64::from(self.digit_count)
    }
}

/// What follows the `e` of a number token.
fn explicit_exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let exponent = digits.iter().fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_CAP));
    if negative { -exponent } else { exponent }
}
