//! Sums without error, in whatever order: integers as such, doubles as one fixed-point number with all of their digits.

use crate::fields::{Fields, put_signed_varint};
use crate::query::Number;

/// Digits of 32 bits of the fixed-point number: from 2⁻¹⁰⁸⁸, below the smallest double, to 2¹⁰⁸⁸, above 2⁶³ of the largest.
const DIGITS: usize = 68;

/// The weight of the lowest digit is 2 to the power of minus this.
const POINT: usize = 1088;

/// After so many additions carries are moved on: each changes a digit by less than 2³².
const ADDS_MAX: u32 = 1 << 30;

/// How far above the lowest bit of a window a double may begin. With 53 bits of its own and [`WINDOW_ADDS`] others, it has 121.
const WINDOW_BITS: usize = 48;
const WINDOW_ADDS: usize = 1 << 20;

const FLAG_FLOATS: u8 = 1;
const FLAG_ROUNDED: u8 = 2;
const FLAG_INFINITE: u8 = 4;
const FLAG_MINUS_INFINITE: u8 = 8;

/// A sum of numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Sum {
    /// At most 2⁶³ integers of 65 bits: never more than 128.
    ints: i128,
    floats: Option<Box<Floats>>,
    /// A number was neither a double nor an integer of 64 bits, and is in the sum as the nearest double.
    is_rounded: bool,
    infinite: bool,
    minus_infinite: bool,
}

impl Sum {
    pub(super) fn add(&mut self, number: &Number) {
        match number {
            Number::Int(value) => self.ints = self.ints.saturating_add(*value),
            Number::Float(value) => self.add_float(*value),
            Number::Decimal(_) => {
                self.is_rounded = true;
                self.add_float(number.nearest());
            }
        }
    }

    /// Adds finite doubles.
    pub(super) fn add_floats(&mut self, values: &[f64]) {
        values.chunks(WINDOW_ADDS).for_each(|values| self.add_window(values));
    }

    /// Adds at most [`WINDOW_ADDS`] finite doubles: those that are about as large as the first as one fixed-point number of 128 bits.
    fn add_window(&mut self, values: &[f64]) {
        let (mut ints, mut sum, mut adds) = (0i128, 0i128, 0);
        let low = values.first().map_or(0, |value| parts(*value).1.saturating_sub(WINDOW_BITS / 2));
        for value in values {
            let (mantissa, at) = parts(*value);
            // Of an integer the mantissa ends with as many zeros as it has bits behind the point; those here fit 64 bits.
            if mantissa == 0 {
                continue;
            } else if mantissa.trailing_zeros() as usize + at >= POINT && at < POINT + 10 {
                ints += i128::from(*value as i64);
            } else if at.wrapping_sub(low) <= WINDOW_BITS && at < POINT {
                sum += i128::from(if *value < 0.0 { -mantissa } else { mantissa }) << (at - low);
                adds += 1;
            } else {
                self.add(&Number::of_f64(*value));
            }
        }
        self.ints = self.ints.saturating_add(ints);
        if adds > 0 {
            self.floats.get_or_insert_default().add_wide(sum, low);
        }
    }

    fn add_float(&mut self, value: f64) {
        match value {
            f64::INFINITY => self.infinite = true,
            f64::NEG_INFINITY => self.minus_infinite = true,
            value => self.floats.get_or_insert_default().add(value),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.ints = self.ints.saturating_add(other.ints);
        if let Some(floats) = &other.floats {
            self.floats.get_or_insert_default().merge(floats);
        }
        self.is_rounded |= other.is_rounded;
        self.infinite |= other.infinite;
        self.minus_infinite |= other.minus_infinite;
    }

    /// Whether nothing was rounded but the sum itself.
    pub(super) fn is_exact(&self) -> bool {
        !self.is_rounded
    }

    /// The sum: an integer if all numbers are, otherwise the double next to it. `None` for what has no sum: infinities of both
    /// signs.
    pub(super) fn value(&self) -> Option<Number> {
        match (self.infinite, self.minus_infinite) {
            (true, true) => None,
            (true, false) => Some(Number::Float(f64::INFINITY)),
            (false, true) => Some(Number::Float(f64::NEG_INFINITY)),
            (false, false) => Some(match &self.floats {
                None => Number::Int(self.ints),
                Some(floats) => Number::of_f64(floats.with(self.ints).round()),
            }),
        }
    }

    /// Bytes of memory besides its own.
    pub(super) fn bytes(&self) -> usize {
        self.floats.as_ref().map_or(0, |_| size_of::<Floats>())
    }

    /// Adds its bytes to `out`. docs/format.md, "Statistics file".
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.push(
            flag(self.floats.is_some(), FLAG_FLOATS)
                | flag(self.is_rounded, FLAG_ROUNDED)
                | flag(self.infinite, FLAG_INFINITE)
                | flag(self.minus_infinite, FLAG_MINUS_INFINITE),
        );
        out.extend_from_slice(&self.ints.to_le_bytes());
        if let Some(floats) = &self.floats {
            let mut floats = floats.clone();
            floats.carry();
            let used = || floats.digits.iter().enumerate().filter(|(_, digit)| **digit != 0).map(|(at, _)| at);
            let (from, to) = (used().next().unwrap_or(0), used().next_back().map_or(0, |last| last + 1));
            out.extend([from as u8, (to - from) as u8]);
            floats.digits[from..to].iter().for_each(|digit| put_signed_varint(out, *digit));
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let flags = fields.u8().filter(|flags| *flags < 16)?;
        let ints = i128::from_le_bytes(fields.array()?);
        let mut floats = None;
        if flags & FLAG_FLOATS != 0 {
            let (from, count) = (usize::from(fields.u8()?), usize::from(fields.u8()?));
            let mut sum = Floats::default();
            for digit in sum.digits.get_mut(from..from + count)? {
                *digit = fields.signed_varint().filter(|digit| digit.unsigned_abs() < 1 << 33)?;
            }
            floats = Some(Box::new(sum));
        }
        let has = |flag| flags & flag != 0;
        let (infinite, minus_infinite) = (has(FLAG_INFINITE), has(FLAG_MINUS_INFINITE));
        Some(Self { ints, floats, is_rounded: has(FLAG_ROUNDED), infinite, minus_infinite })
    }
}

/// The magnitude of a finite double: a number of 53 bits, which counts 2 to the power of the second less [`POINT`].
fn parts(value: f64) -> (i64, usize) {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7FF) as usize, (bits & ((1 << 52) - 1)) as i64);
    match exponent {
        0 => (fraction, POINT - 1074),
        exponent => (fraction | 1 << 52, exponent + POINT - 1075),
    }
}

/// A sum of finite doubles. Digits may be of either sign and larger than 32 bits, until carries are moved on.
#[derive(Debug, Clone)]
struct Floats {
    digits: [i64; DIGITS],
    adds: u32,
}

impl Default for Floats {
    fn default() -> Self {
        Self { digits: [0; DIGITS], adds: 1 }
    }
}

impl Floats {
    fn add(&mut self, value: f64) {
        let (mantissa, at) = parts(value);
        self.add_at(mantissa.unsigned_abs().into(), at, value.is_sign_negative());
    }

    /// Adds `value` times 2 to the power of `at - POINT`.
    fn add_wide(&mut self, value: i128, at: usize) {
        let magnitude = value.unsigned_abs();
        self.add_at(magnitude & u128::from(u64::MAX), at, value < 0);
        self.add_at(magnitude >> 64, at + 64, value < 0);
    }

    /// Adds `value` times 2 to the power of `at - POINT`, of at most 97 bits.
    fn add_at(&mut self, value: u128, at: usize, is_negative: bool) {
        let mut shifted = value << (at % 32);
        for digit in &mut self.digits[at / 32..] {
            if shifted == 0 {
                break;
            }
            let part = (shifted & 0xFFFF_FFFF) as i64;
            *digit += if is_negative { -part } else { part };
            shifted >>= 32;
        }
        self.count(1);
    }

    fn merge(&mut self, other: &Self) {
        // Neither has more than `ADDS_MAX` additions, so no digit overflows before carries are moved on.
        self.digits.iter_mut().zip(&other.digits).for_each(|(own, digit)| *own += digit);
        self.count(other.adds);
    }

    fn count(&mut self, adds: u32) {
        self.adds = self.adds.saturating_add(adds);
        if self.adds >= ADDS_MAX {
            self.carry();
        }
    }

    /// Leaves digits from 0 to 2³² - 1, but for the last one, which has the sign.
    fn carry(&mut self) {
        let mut carry = 0;
        for digit in &mut self.digits[..DIGITS - 1] {
            let value = *digit + carry;
            (*digit, carry) = (value & 0xFFFF_FFFF, value >> 32);
        }
        self.digits[DIGITS - 1] += carry;
        self.adds = 1;
    }

    /// This sum and an integer.
    fn with(&self, int: i128) -> Self {
        let mut sum = self.clone();
        sum.add_wide(int, POINT);
        sum
    }

    /// The double next to it, of two the even one.
    fn round(mut self) -> f64 {
        self.carry();
        let is_negative = self.digits[DIGITS - 1] < 0;
        if is_negative {
            self.digits.iter_mut().for_each(|digit| *digit = -*digit);
            self.carry();
        }
        let Some(top) = self.digits.iter().rposition(|digit| *digit != 0) else { return 0.0 };
        let digit = |below: usize| top.checked_sub(below).map_or(0, |at| self.digits[at] as u128);
        let high = (0..4).fold(0u128, |high, below| high << 32 | digit(below));
        // What lies below these 97 bits or more only decides to which side a tie falls.
        let is_more = self.digits[..top.saturating_sub(3)].iter().any(|digit| *digit != 0);
        let rounded = (high | u128::from(is_more)) as f64;
        // In two steps, of which none leaves the range of doubles before the result does. A subnormal result is exact.
        let scale = 32 * (top as i32 - 3) - POINT as i32;
        let value = rounded * 2f64.powi(scale / 2) * 2f64.powi(scale - scale / 2);
        if is_negative { -value } else { value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Sum {
        let mut sum = Sum::default();
        values.iter().for_each(|value| sum.add(&Number::of_f64(*value)));
        sum
    }

    fn rounded(values: &[f64]) -> f64 {
        match of(values).value().unwrap() {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
            Number::Decimal(_) => unreachable!("sums are integers or doubles"),
        }
    }

    fn finite() -> impl Strategy<Value = f64> {
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite())
    }

    #[test]
    fn what_cancels_out_leaves_nothing_behind() {
        assert_eq!(rounded(&[1e300, 1.5, -1e300]), 1.5);
        assert_eq!(rounded(&[0.1; 10]), 1.0);
        assert_eq!(rounded(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(rounded(&[5e-324, 5e-324]), 1e-323);
        assert_eq!(rounded(&[9007199254740992.5_f64, 0.5, -0.25]), 9007199254740992.0);
        assert_eq!(of(&[f64::MAX, f64::MAX]).value(), Some(Number::Float(f64::INFINITY)));
    }

    #[test]
    fn infinities_are_told() {
        assert_eq!(of(&[f64::INFINITY, 1.0]).value(), Some(Number::Float(f64::INFINITY)));
        assert_eq!(of(&[f64::INFINITY, f64::NEG_INFINITY]).value(), None);
    }

    #[test]
    fn integers_stay_exact() {
        let mut sum = Sum::default();
        (0..3).for_each(|_| sum.add(&Number::Int(u64::MAX.into())));
        sum.add(&Number::Int(-1));
        assert_eq!(sum.value(), Some(Number::Int(i128::from(u64::MAX) * 3 - 1)));
    }

    proptest! {
        #[test]
        fn a_sum_of_two_is_that_of_the_processor(a in finite(), b in finite()) {
            prop_assert_eq!(rounded(&[a, b]), a + b);
        }

        #[test]
        fn order_and_parts_change_nothing(values in prop::collection::vec(finite(), 0..40), at: prop::sample::Index) {
            let whole = of(&values).value();
            let (first, second) = values.split_at(at.index(values.len() + 1));
            let (mut parts, mut bytes) = (of(second), Vec::new());
            of(first).encode(&mut bytes);
            parts.merge(&Sum::decode(&mut Fields(&bytes)).unwrap());
            prop_assert_eq!(&parts.value(), &whole);
            let reversed: Vec<f64> = values.iter().rev().copied().collect();
            prop_assert_eq!(of(&reversed).value(), whole);
        }

        #[test]
        fn many_at_once_are_as_one_by_one(values in prop::collection::vec(finite(), 0..40), near in prop::collection::vec(any::<i64>(), 0..40), scale in -1100i32..960) {
            let near = near.iter().map(|value| (*value >> (value & 31)) as f64 * 2f64.powi(scale / 2) * 2f64.powi(scale - scale / 2));
            let small = near.clone().map(|value| (value as i32) as f64);
            for values in [values.clone(), near.clone().collect(), near.chain(values).chain(small).collect()] {
                let (mut batch, mut bytes, mut wanted) = (Sum::default(), Vec::new(), Vec::new());
                batch.add_floats(&values);
                batch.encode(&mut bytes);
                of(&values).encode(&mut wanted);
                prop_assert_eq!(bytes, wanted);
            }
        }

        #[test]
        fn any_bytes_are_a_sum_or_none(bytes: Vec<u8>) {
            if let Some(sum) = Sum::decode(&mut Fields(&bytes)) {
                sum.value();
            }
        }
    }
}
