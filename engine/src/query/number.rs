//! Numbers by their exact value, whichever type of MessagePack holds them.

use std::cmp::Ordering;

/// Significant digits of the double that needs most of them.
const DOUBLE_DIGITS_MAX: usize = 767;

/// Digits before the point of the largest double.
const DOUBLE_POINT_MAX: usize = 309;

/// Exponents of decimals stop counting here.
const EXPONENT_CAP: i64 = 1 << 60;

/// Largest exponent of a number in a condition, well below those that are told apart no more.
const EXPONENT_MAX: u64 = 1_000_000_000_000_000;

/// A number. Equal values are equal, however they were written: there is one form for each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Number {
    /// An integer from -2⁶³ to 2⁶⁴ - 1.
    Int(i128),
    /// A double that is no such integer: with a fraction, larger, infinite, or not a number at all.
    Float(f64),
    /// What is neither.
    Decimal(Decimal),
}

impl Number {
    /// The value of a double.
    pub(crate) fn of_f64(value: f64) -> Self {
        let is_int = value.trunc() == value && value >= i64::MIN as f64 && value < 2.0f64.powi(64);
        if is_int { Self::Int(value as i128) } else { Self::Float(value) }
    }

    /// The value of a JSON number; `None` if `token` is none.
    pub(crate) fn of_token(token: &[u8]) -> Option<Self> {
        let decimal = Decimal::of_token(token)?;
        if let Some(value) = decimal.to_int() {
            return Some(Self::Int(value));
        }
        let nearest = std::str::from_utf8(token).ok().and_then(|text| text.parse::<f64>().ok());
        match nearest.filter(|value| value.is_finite() && decimal.is_exactly(*value)) {
            Some(value) => Some(Self::Float(value)),
            None => Some(Self::Decimal(decimal)),
        }
    }

    /// What stands in a log for the JSON number `token`, by the number rule of docs/format.md, "JSON": a token that is
    /// no integer is the double that is printed like it, if there is one.
    pub(crate) fn of_literal(token: &[u8]) -> Option<Self> {
        let exact = Self::of_token(token)?;
        if token.iter().any(|byte| b".eE".contains(byte))
            && let Some(value) = std::str::from_utf8(token).ok().and_then(|text| text.parse::<f64>().ok())
            && value.is_finite()
            && Decimal::of_token(token) == Decimal::of_token(format!("{value:e}").as_bytes())
        {
            return Some(Self::of_f64(value));
        }
        Some(exact)
    }

    /// Whether its exponent is one that a condition may have.
    pub(crate) fn has_possible_exponent(&self) -> bool {
        !matches!(self, Self::Decimal(decimal) if decimal.point.unsigned_abs() > EXPONENT_MAX)
    }

    /// Whether it is a value at all: not a number is none.
    pub(crate) fn is_nan(&self) -> bool {
        matches!(self, Self::Float(value) if value.is_nan())
    }

    /// Which of the two is less; `None` if one is not a number.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Int(int), Self::Float(float)) => compare_int(*int, *float),
            (Self::Float(float), Self::Int(int)) => compare_int(*int, *float).map(Ordering::reverse),
            (Self::Float(float), _) | (_, Self::Float(float)) if float.is_nan() => None,
            (Self::Float(float), _) if float.is_infinite() => Some(float.total_cmp(&0.0)),
            (_, Self::Float(float)) if float.is_infinite() => Some(0.0f64.total_cmp(float)),
            (a, b) => Some(a.to_decimal().compare(&b.to_decimal())),
        }
    }

    /// The double with exactly this value, if there is one.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64).filter(|float| *float as i128 == *value),
            Self::Float(value) => Some(*value),
            Self::Decimal(_) => None,
        }
    }

    /// The double next to it; infinite beyond all others.
    pub(crate) fn nearest(&self) -> f64 {
        match self {
            Self::Int(value) => *value as f64,
            Self::Float(value) => *value,
            Self::Decimal(decimal) => decimal.scientific().parse().unwrap_or(0.0),
        }
    }

    /// Bytes of memory besides its own.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Decimal(decimal) => decimal.digits.len(),
            Self::Int(_) | Self::Float(_) => 0,
        }
    }

    /// The decimal with exactly this value, which is finite.
    fn to_decimal(&self) -> Decimal {
        let of = |text: String| Decimal::of_token(text.as_bytes()).unwrap_or_default();
        match self {
            Self::Int(value) => of(value.to_string()),
            Self::Float(value) => of(format!("{value:.DOUBLE_DIGITS_MAX$e}")),
            Self::Decimal(decimal) => decimal.clone(),
        }
    }

    /// Appends bytes that are the same for equal numbers only, after a tag.
    pub(crate) fn term(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(value) => {
                out.push(TAG_INT);
                // Every integer but one of 65 bits fits; their sign is the tag's lowest bit of the last byte.
                out.extend_from_slice(&value.to_le_bytes()[..9]);
            }
            Self::Float(value) => {
                out.push(TAG_FLOAT);
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            Self::Decimal(decimal) => {
                out.extend_from_slice(&[TAG_DECIMAL, u8::from(decimal.negative)]);
                out.extend_from_slice(&decimal.point.to_le_bytes());
                out.extend_from_slice(&decimal.digits);
            }
        }
    }

    /// The number that has this term.
    pub(crate) fn of_term(term: &[u8]) -> Option<Self> {
        let (tag, rest) = term.split_first()?;
        match *tag {
            TAG_INT => {
                let bytes: [u8; 9] = rest.try_into().ok()?;
                let mut wide = [if bytes[8] & 0x80 == 0 { 0 } else { 0xFF }; 16];
                wide[..9].copy_from_slice(&bytes);
                let value = i128::from_le_bytes(wide);
                (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(Self::Int(value))
            }
            TAG_FLOAT => {
                let value = f64::from_bits(u64::from_le_bytes(rest.try_into().ok()?));
                Some(Self::of_f64(value)).filter(|number| matches!(number, Self::Float(_)) && !number.is_nan())
            }
            TAG_DECIMAL => {
                let (sign, rest) = rest.split_first()?;
                let (point, digits) = rest.split_first_chunk()?;
                let is_sound = *sign < 2
                    && digits.iter().all(u8::is_ascii_digit)
                    && digits.first().is_some_and(|digit| *digit != b'0')
                    && digits.last() != Some(&b'0');
                let point =
                    Some(i64::from_le_bytes(*point)).filter(|point| point.abs_diff(0) <= EXPONENT_CAP as u64)?;
                is_sound.then(|| Self::Decimal(Decimal { negative: *sign == 1, digits: digits.into(), point }))
            }
            _ => None,
        }
    }
}

/// Tags of terms; those of other values are in `value.rs`.
const TAG_INT: u8 = 3;
const TAG_FLOAT: u8 = 4;
const TAG_DECIMAL: u8 = 5;

impl std::fmt::Display for Number {
    /// A JSON number with this value; what is infinite or no number has none and prints as a word.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Decimal(decimal) => {
                let text = decimal.scientific();
                // With an exponent, it may be read as a double that is printed like it. An integer isn't.
                let is_other = || Self::of_literal(text.as_bytes()).as_ref() != Some(self);
                match decimal.zeros().filter(|_| is_other()) {
                    Some(zeros) => {
                        let sign = if decimal.negative { "-" } else { "" };
                        write!(f, "{sign}{}{}", String::from_utf8_lossy(&decimal.digits), "0".repeat(zeros))
                    }
                    None => f.write_str(&text),
                }
            }
        }
    }
}

/// An integer and a double that is none of the integers of [`Number::Int`].
fn compare_int(int: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Beyond the range the cast saturates, far from every integer here.
    Some(match int.cmp(&(float.floor() as i128)) {
        // The double has a fraction, which is on top.
        Ordering::Equal => Ordering::Less,
        other => other,
    })
}

/// A decimal: its digits, without zeros at either end, after a point that is moved `point` places to the right.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Decimal {
    negative: bool,
    digits: Box<[u8]>,
    point: i64,
}

impl Decimal {
    /// The decimal that a JSON number spells; `None` if `token` is none.
    pub(crate) fn of_token(token: &[u8]) -> Option<Self> {
        let (negative, rest) = match token {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let digits_of = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (whole, rest) = rest.split_at(digits_of(rest));
        if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
            return None;
        }
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => rest.split_at(digits_of(rest)),
            rest => (&[][..], rest),
        };
        if fraction.is_empty() && token.contains(&b'.') {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => {
                let (down, rest) = match rest {
                    [b'-', rest @ ..] => (true, rest),
                    [b'+', rest @ ..] | rest => (false, rest),
                };
                if rest.is_empty() || digits_of(rest) != rest.len() {
                    return None;
                }
                let add = |value: i64, digit: &u8| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_CAP / 16);
                let value = rest.iter().fold(0, add);
                if down { -value } else { value }
            }
            _ => return None,
        };
        let mut digits = [whole, fraction].concat();
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Self::default());
        }
        digits.drain(..leading);
        Some(Self { negative, digits: digits.into(), point: whole.len() as i64 - leading as i64 + exponent })
    }

    /// A JSON number with this value, whatever its exponent.
    fn scientific(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}0.{}e{}", String::from_utf8_lossy(&self.digits), self.point)
    }

    /// How many zeros follow the digits of an integer that is not beyond all doubles; `None` for all else.
    fn zeros(&self) -> Option<usize> {
        let point = usize::try_from(self.point).ok().filter(|point| *point <= DOUBLE_POINT_MAX)?;
        point.checked_sub(self.digits.len())
    }

    fn compare(&self, other: &Self) -> Ordering {
        let sign = |decimal: &Self| match (decimal.digits.is_empty(), decimal.negative) {
            (true, _) => 0,
            (false, negative) => 1 - 2 * i32::from(negative),
        };
        let magnitude = || self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => magnitude(),
            _ => magnitude().reverse(),
        })
    }

    /// The integer with this value, if it is one of [`Number::Int`].
    fn to_int(&self) -> Option<i128> {
        let zeros = usize::try_from(self.point).ok()?.checked_sub(self.digits.len()).filter(|_| self.point <= 20)?;
        let digits = self.digits.iter().chain(std::iter::repeat_n(&b'0', zeros));
        let value = digits.fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'));
        let value = if self.negative { -value } else { value };
        (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
    }

    fn is_exactly(&self, value: f64) -> bool {
        self.digits.len() <= DOUBLE_DIGITS_MAX && *self == Number::Float(value).to_decimal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(text: &str) -> Number {
        Number::of_token(text.as_bytes()).unwrap()
    }

    #[test]
    fn one_value_has_one_form() {
        for text in ["5", "5.0", "0.5e1", "50e-1", "5e0"] {
            assert_eq!(token(text), Number::Int(5), "{text}");
        }
        assert_eq!((token("-0"), token("0e99")), (Number::Int(0), Number::Int(0)));
        assert_eq!(token("18446744073709551615"), Number::Int(u64::MAX.into()));
        assert_eq!(token("18446744073709551616"), Number::of_f64(2f64.powi(64)));
        assert_eq!(token("0.5"), Number::Float(0.5));
        assert!(matches!(token("0.1"), Number::Decimal(_)));
        assert_eq!(Number::of_literal(b"0.1"), Some(Number::Float(0.1)));
        assert_eq!(Number::of_literal(b"1e3"), Some(Number::Int(1000)));
        for bad in ["", "-", "01", "1.", ".5", "1e", "1e+", "+1", "1x", "NaN", "1.5e1.0"] {
            assert_eq!(Number::of_token(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn order_is_that_of_the_exact_values() {
        let ascending = [
            Number::Float(f64::NEG_INFINITY),
            token("-1e400"),
            token("-1e30"),
            token("-1.5"),
            token("-1"),
            token("-0.1"),
            token("0"),
            token("1e-400"),
            token("0.1"),
            Number::Float(0.1),
            token("0.11"),
            token("9007199254740992"),
            token("9007199254740993"),
            Number::Float(1e23),
            token("100000000000000000000000"),
            Number::Float(f64::INFINITY),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.compare(b), Some(i.cmp(&j)), "{a} and {b}");
            }
        }
        assert_eq!(Number::Float(f64::NAN).compare(&token("1")), None);
        assert_eq!(token("1e400").compare(&Number::Float(f64::NAN)), None);
    }

    #[test]
    fn decimals_print_as_themselves_however_small_or_large() {
        // A double is printed like these, and has another value.
        for (text, printed, nearest) in [("0.1", "0.1e0", 0.1), ("-12.3", "-0.123e2", -12.3), ("1e23", "1", 1e23)] {
            let number = token(text);
            assert!(matches!(number, Number::Decimal(_)), "{text}");
            assert!(number.to_string().starts_with(printed), "{number}");
            assert_eq!((token(&number.to_string()), number.nearest()), (number, nearest), "{text}");
        }
        // Beyond the exponents that are told apart.
        for text in ["1e99999999999999999999", "-5e99999999999999999999", "1e-99999999999999999999"] {
            let number = token(text);
            assert!(number.to_string().len() < 40, "{text}");
            let expected = if text.contains("e-") { 0.0 } else { f64::INFINITY.copysign(text.parse().unwrap()) };
            assert_eq!(number.nearest(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn integers_and_doubles_agree_with_their_exact_decimals(int in any::<i64>(), bits in any::<u64>(), near in -2i64..3) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            for other in [int, int.saturating_add(near), (float as i64).saturating_add(near)] {
                let (a, b) = (Number::Int(other.into()), Number::of_f64(float));
                let naive = a.to_decimal().compare(&b.to_decimal());
                prop_assert_eq!(a.compare(&b), Some(naive));
                prop_assert_eq!(b.compare(&a), Some(naive.reverse()));
                prop_assert_eq!(a == b, naive == Ordering::Equal);
            }
        }

        #[test]
        fn what_is_printed_is_the_same_number(whole in any::<i128>(), bits in any::<u64>(), scale in -40i32..40) {
            let float = Number::of_f64(f64::from_bits(bits));
            prop_assume!(!float.is_nan() && float != Number::Float(f64::INFINITY) && float != Number::Float(f64::NEG_INFINITY));
            prop_assert_eq!(Number::of_literal(float.to_string().as_bytes()), Some(float));
            let decimal = token(&format!("{whole}e{scale}"));
            prop_assert_eq!(token(&decimal.to_decimal_text()), decimal);
        }

        #[test]
        fn any_bytes_are_a_number_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            Number::of_token(&bytes);
        }
    }

    impl Number {
        fn to_decimal_text(&self) -> String {
            Number::Decimal(self.to_decimal()).to_string()
        }
    }
}
