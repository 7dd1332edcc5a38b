//! What the numbers at one place have in common: how they are printed, and about how many bits they take.

use super::entry::Print;
use super::{keys, text};

/// What numbers at one place have in common.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    min: i64,
    max: i64,
    last: i64,
    pub(super) count: u32,
    delta_bits: f64,
    pub(super) is_decimal: bool,
    digits_min: usize,
    digits_max: usize,
    has_zeros: bool,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self {
            min: i64::MAX,
            max: i64::MIN,
            last: 0,
            count: 0,
            delta_bits: 0.0,
            is_decimal: false,
            digits_min: usize::MAX,
            digits_max: 0,
            has_zeros: false,
        }
    }

    pub(super) fn add(&mut self, number: i64) {
        if self.count > 0 {
            self.delta_bits += (number.wrapping_sub(self.last).unsigned_abs() as f64 + 1.0).log2() + 1.0;
        }
        self.count += 1;
        self.last = number;
        self.min = self.min.min(number);
        self.max = self.max.max(number);
    }

    pub(super) fn add_digits(&mut self, digits: &[u8]) {
        self.is_decimal = true;
        self.digits_min = self.digits_min.min(digits.len());
        self.digits_max = self.digits_max.max(digits.len());
        self.has_zeros |= digits.len() > 1 && digits[0] == b'0';
        self.add(text::parse_digits(digits));
    }

    /// About how many bits one takes.
    pub(super) fn bits(&self) -> f64 {
        if self.count < 2 {
            return 8.0;
        }
        let range = (self.max.wrapping_sub(self.min) as u64 as f64 + 1.0).log2();
        range.min(self.delta_bits / f64::from(self.count - 1))
    }

    pub(super) fn print(&self) -> Print {
        match () {
            () if !self.has_zeros => Print::Decimal,
            () if self.digits_min == self.digits_max => Print::Padded(self.digits_max as u8),
            () => Print::Tagged,
        }
    }
}

/// The power of ten that makes integers of most of `doubles`, and whether some are left.
pub(super) fn scale_of(doubles: &[f64]) -> (Option<u8>, bool) {
    /// How many are looked at.
    const LOOKED_AT: usize = 512;
    if doubles.is_empty() {
        return (None, false);
    }
    let step = doubles.len().div_ceil(LOOKED_AT);
    let fits = |scale| doubles.iter().step_by(step).filter(|double| keys::scaled(**double, scale).is_some()).count();
    let counts: Vec<usize> = (0..=super::dictionary::SCALE_MAX).map(fits).collect();
    let most = counts.iter().copied().max().unwrap_or(0);
    let enough = counts.iter().position(|count| count * 100 >= most * 99).unwrap_or(0) as u8;
    let scale = (most * step * 2 > doubles.len()).then_some(enough);
    let is_left = |double: &f64| scale.is_none_or(|scale| keys::scaled(*double, scale).is_none());
    (scale, doubles.iter().any(is_left))
}
