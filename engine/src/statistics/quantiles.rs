//! Quantiles: of a few values the values themselves, of more how many are in each bucket of nearly equal ones.
//!
//! A bucket has all doubles with the same sign, exponent and first eight bits of the fraction, so that its middle is within
//! 2⁻⁹ of each. What is kept follows from the values alone, in whatever order and parts they came.

use crate::fields::{Fields, put_varint};
use crate::query::Number;
use std::cmp::Ordering;

/// Of so many values quantiles are exact.
pub(super) const VALUES_EXACT: usize = 4096;

/// Bits of a double that a bucket leaves open.
const OPEN_BITS: u32 = 44;
/// Buckets of a page: those of one exponent.
const PAGE: usize = 256;
/// Pages there can be: one for each sign and exponent.
const PAGES_MAX: usize = 1 << 12;

/// A set of values, as far as quantiles need it.
#[derive(Debug, Clone)]
pub(super) enum Quantiles {
    /// All values: those that are doubles, and those that aren't.
    Values(Vec<f64>, Vec<Number>),
    /// How many values each bucket has.
    Buckets(Pages),
}

/// Counts of buckets, by sign and exponent, in order.
type Pages = Vec<(u16, Box<[u64; PAGE]>)>;

impl Default for Quantiles {
    fn default() -> Self {
        Self::Values(Vec::new(), Vec::new())
    }
}

impl Quantiles {
    pub(super) fn add(&mut self, number: &Number) {
        match self {
            Self::Values(floats, others) => {
                match number.as_f64() {
                    Some(value) => floats.push(value),
                    None => others.push(number.clone()),
                }
                if floats.len() + others.len() > VALUES_EXACT {
                    self.fall_into_buckets();
                }
            }
            Self::Buckets(pages) => count(pages, bucket(number.nearest()), 1),
        }
    }

    /// Adds doubles, of which none is not a number.
    pub(super) fn add_floats(&mut self, values: &[f64]) {
        if let Self::Values(floats, others) = self {
            // The sum has no negative zero: the number 0 has one form.
            floats.extend(values.iter().map(|value| value + 0.0));
            if floats.len() + others.len() > VALUES_EXACT {
                self.fall_into_buckets();
            }
            return;
        }
        let Self::Buckets(pages) = self else { return };
        // Neighbours are mostly in pages that were used just now: of four that are next to each other, each has a place.
        let mut places = [0; 4];
        for value in values {
            let bucket = bucket(value + 0.0);
            let page = (bucket / PAGE as u32) as u16;
            let place = &mut places[usize::from(page % 4)];
            if pages.get(*place).is_none_or(|(own, _)| *own != page) {
                *place = place_of(pages, page);
            }
            let count = &mut pages[*place].1[bucket as usize % PAGE];
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        match other {
            Self::Values(floats, others) => {
                self.add_floats(&floats);
                others.iter().for_each(|number| self.add(number));
            }
            Self::Buckets(others) => {
                self.fall_into_buckets();
                let Self::Buckets(pages) = self else { return };
                for (page, counts) in others {
                    let place = place_of(pages, page);
                    pages[place].1.iter_mut().zip(&counts[..]).for_each(|(own, n)| *own = own.saturating_add(*n));
                }
            }
        }
    }

    fn fall_into_buckets(&mut self) {
        let Self::Values(floats, others) = self else { return };
        let (floats, others) = (std::mem::take(floats), std::mem::take(others));
        *self = Self::Buckets(Pages::new());
        self.add_floats(&floats);
        others.iter().for_each(|number| self.add(number));
    }

    pub(super) fn is_exact(&self) -> bool {
        matches!(self, Self::Values(..))
    }

    /// How many values there are.
    fn count(&self) -> u64 {
        match self {
            Self::Values(floats, others) => (floats.len() + others.len()) as u64,
            Self::Buckets(pages) => {
                pages.iter().flat_map(|(_, page)| page.iter()).fold(0, |sum, n| sum.saturating_add(*n))
            }
        }
    }

    /// For each of `percents`, the smallest value that at least so many of a hundred values don't exceed; or the middle of its bucket.
    /// `None` without values.
    pub(super) fn at<const N: usize>(&self, percents: [u64; N]) -> Option<[Number; N]> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let ranks = percents.map(|percent| (u128::from(count) * u128::from(percent)).div_ceil(100).max(1) as u64);
        match self {
            Self::Values(floats, others) => {
                let sorted = sorted(floats, others);
                Some(ranks.map(|rank| sorted[rank as usize - 1].clone()))
            }
            Self::Buckets(pages) => Some(ranks.map(|rank| Number::of_f64(middle(bucket_at(pages, rank))))),
        }
    }

    /// Bytes of memory besides its own.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Values(floats, others) => {
                let digits: usize = others.iter().map(Number::heap_bytes).sum();
                floats.capacity() * 8 + others.capacity() * size_of::<Number>() + digits
            }
            Self::Buckets(pages) => pages.len() * (PAGE * 8 + 16),
        }
    }

    /// Adds its bytes to `out`. docs/format.md, "Statistics file".
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Values(floats, others) => {
                put_varint(out, 2 * floats.len() as u64);
                floats.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
                put_varint(out, others.len() as u64);
                others.iter().for_each(|number| super::codec::put_number(number, out));
            }
            Self::Buckets(pages) => {
                put_varint(out, 2 * pages.len() as u64 + 1);
                for (page, counts) in pages {
                    out.extend_from_slice(&page.to_le_bytes());
                    let used = || counts.iter().enumerate().filter(|(_, count)| **count > 0);
                    out.push(used().count().saturating_sub(1) as u8);
                    for (slot, count) in used() {
                        out.push(slot as u8);
                        put_varint(out, *count);
                    }
                }
            }
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let head = fields.varint()?;
        let count = usize::try_from(head / 2).ok()?;
        if head % 2 == 0 {
            let bytes = fields.take(count.checked_mul(8).filter(|_| count <= VALUES_EXACT)?)?;
            let floats: Vec<f64> =
                bytes.as_chunks().0.iter().map(|bytes| f64::from_bits(u64::from_le_bytes(*bytes))).collect();
            let others = usize::try_from(fields.varint()?).ok().filter(|others| others + count <= VALUES_EXACT)?;
            let others = (0..others).map(|_| super::codec::take_number(fields)).collect::<Option<_>>()?;
            return floats.iter().all(|value| !value.is_nan()).then_some(Self::Values(floats, others));
        }
        let mut pages = Pages::new();
        for _ in 0..Some(count).filter(|count| *count <= PAGES_MAX)? {
            let page = fields.array().map(u16::from_le_bytes).filter(|page| usize::from(*page) < PAGES_MAX)?;
            let place = place_of(&mut pages, page);
            for _ in 0..=fields.u8()? {
                let slot = usize::from(fields.u8()?);
                pages[place].1[slot] = fields.varint()?;
            }
        }
        Some(Self::Buckets(pages))
    }
}

fn sorted(floats: &[f64], others: &[Number]) -> Vec<Number> {
    let mut floats = floats.to_vec();
    floats.sort_unstable_by(f64::total_cmp);
    let mut sorted: Vec<Number> = floats.into_iter().map(Number::of_f64).chain(others.iter().cloned()).collect();
    if !others.is_empty() {
        sorted.sort_by(|a, b| a.compare(b).unwrap_or(Ordering::Equal));
    }
    sorted
}

/// The bucket of a double: buckets are in the order of their values.
fn bucket(value: f64) -> u32 {
    let bits = value.to_bits();
    let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    (ordered >> OPEN_BITS) as u32
}

/// The middle of a bucket: 0 and infinities are alone in theirs, but for the smallest numbers that there are.
fn middle(bucket: u32) -> f64 {
    let ordered = u64::from(bucket) << OPEN_BITS;
    let first =
        f64::from_bits(if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered & !((1 << OPEN_BITS) - 1) });
    match first {
        first if first == 0.0 || first.is_infinite() => first,
        first => f64::from_bits(first.to_bits() | 1 << (OPEN_BITS - 1)),
    }
}

fn count(pages: &mut Pages, bucket: u32, n: u64) {
    let place = place_of(pages, (bucket / PAGE as u32) as u16);
    let count = &mut pages[place].1[bucket as usize % PAGE];
    *count = count.saturating_add(n);
}

/// Where the page with this number is, which is added if it isn't there.
fn place_of(pages: &mut Pages, page: u16) -> usize {
    pages.binary_search_by_key(&page, |(own, _)| *own).unwrap_or_else(|place| {
        pages.insert(place, (page, Box::new([0; PAGE])));
        place
    })
}

/// The bucket of the value with this rank, the smallest's being 1.
fn bucket_at(pages: &Pages, rank: u64) -> u32 {
    let mut before = 0u64;
    for (page, counts) in pages {
        for (slot, count) in counts.iter().enumerate() {
            before = before.saturating_add(*count);
            if before >= rank {
                return u32::from(*page) * PAGE as u32 + slot as u32;
            }
        }
    }
    u32::MAX >> (32 - 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Quantiles {
        let mut quantiles = Quantiles::default();
        values.iter().for_each(|value| quantiles.add(&Number::of_f64(*value)));
        quantiles
    }

    #[test]
    fn the_nearest_rank_counts() {
        let values: Vec<f64> = (1..=10).map(f64::from).collect();
        let [p10, p50, p90, p100] = of(&values).at([10, 50, 90, 100]).unwrap();
        assert_eq!((p10, p50, p90, p100), (Number::Int(1), Number::Int(5), Number::Int(9), Number::Int(10)));
        assert!(of(&[]).at([50]).is_none());
    }

    proptest! {
        #[test]
        fn the_middle_of_a_bucket_is_near(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_normal());
            let found = middle(bucket(value));
            prop_assert!((found - value).abs() <= value.abs() / 512.0, "{} for {}", found, value);
            prop_assert_eq!(bucket(found), bucket(value));
        }

        #[test]
        fn buckets_are_in_the_order_of_values(a: u64, b: u64) {
            let (a, b) = (f64::from_bits(a), f64::from_bits(b));
            prop_assume!(a < b);
            prop_assert!(bucket(a) <= bucket(b));
        }

        #[test]
        fn parts_make_the_whole(values in prop::collection::vec(-1e3..1e3, 0..9000), at: prop::sample::Index) {
            let (first, second) = values.split_at(at.index(values.len() + 1));
            let mut bytes = Vec::new();
            of(first).encode(&mut bytes);
            let mut parts = Quantiles::decode(&mut Fields(&bytes)).unwrap();
            parts.merge(of(second));
            let whole = of(&values);
            prop_assert_eq!(parts.is_exact(), values.len() <= VALUES_EXACT);
            prop_assert_eq!(whole.is_exact(), parts.is_exact());
            prop_assert_eq!(parts.at([1, 50, 99, 100]), whole.at([1, 50, 99, 100]));
        }

        #[test]
        fn many_at_once_are_as_one_by_one(bits in prop::collection::vec(any::<u64>(), 0..60), ends: [bool; 4], times in 1usize..120) {
            let values = bits.iter().map(|bits| f64::from_bits(*bits)).chain([0.0, -0.0, 1.0, -1.5]);
            let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
            let (mut batch, mut single) = (Quantiles::default(), Quantiles::default());
            for n in 0..times {
                let part = if ends[n % 4] { &values[..] } else { &values[values.len() / 2..] };
                batch.add_floats(part);
                part.iter().for_each(|value| single.add(&Number::of_f64(*value)));
            }
            prop_assert_eq!(batch.is_exact(), single.is_exact());
            let (mut bytes, mut wanted) = (Vec::new(), Vec::new());
            batch.encode(&mut bytes);
            single.encode(&mut wanted);
            prop_assert_eq!(bytes, wanted);
        }

        #[test]
        fn any_bytes_are_values_or_none(bytes: Vec<u8>) {
            if let Some(quantiles) = Quantiles::decode(&mut Fields(&bytes)) {
                quantiles.at([50]);
            }
        }
    }
}
