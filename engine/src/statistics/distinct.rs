//! How many different values there are: the smallest hashes of them, which are all as long as there are few.
//!
//! Hashes are uniform, so of the `k` smallest the largest tells how many there are in all: Bar-Yossef et al., "Counting
//! distinct elements in a data stream" (2002); the unbiased estimate is that of Beyer et al., "On synopses for distinct-value
//! estimation under multiset operations" (2007). What is kept follows from the values alone, in whatever order and parts.

use crate::fields::{Fields, put_varint};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Up to so many different values the count is exact; beyond, its standard error is 1 part in 100 (the root of this less 2).
pub(super) const DISTINCT_EXACT: usize = 10_000;

/// Bytes of memory of a hash in the set, about.
const HASH_BYTES: usize = 24;

/// The different values of a field, as far as counting needs them.
#[derive(Debug, Clone, Default)]
pub(super) struct Distinct {
    /// The smallest hashes: the first 128 bits of the SHA-256 of a value's term.
    hashes: BTreeSet<u128>,
    /// There were larger ones.
    is_cut: bool,
}

impl Distinct {
    pub(super) fn add(&mut self, term: &[u8]) {
        let hash = Sha256::digest(term);
        self.insert(hash.iter().take(16).fold(0, |hash, byte| hash << 8 | u128::from(*byte)));
    }

    fn insert(&mut self, hash: u128) {
        if self.hashes.len() < DISTINCT_EXACT {
            self.hashes.insert(hash);
            return;
        }
        let is_smaller = self.hashes.last().is_some_and(|last| hash < *last);
        if is_smaller && self.hashes.insert(hash) {
            self.hashes.pop_last();
            self.is_cut = true;
        } else if !is_smaller && self.hashes.last() != Some(&hash) {
            self.is_cut = true;
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.is_cut |= other.is_cut;
        other.hashes.into_iter().for_each(|hash| self.insert(hash));
    }

    pub(super) fn is_exact(&self) -> bool {
        !self.is_cut
    }

    /// How many different values there are, about if that isn't exact.
    pub(super) fn count(&self) -> u64 {
        match self.hashes.last().filter(|_| self.is_cut) {
            None => self.hashes.len() as u64,
            Some(last) => {
                let part = (*last as f64 + 1.0) / 2f64.powi(128);
                ((self.hashes.len() - 1) as f64 / part).round() as u64
            }
        }
    }

    /// Bytes of memory besides its own.
    pub(super) fn bytes(&self) -> usize {
        self.hashes.len() * HASH_BYTES
    }

    /// Adds its bytes to `out`. docs/format.md, "Statistics file".
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, 2 * self.hashes.len() as u64 + u64::from(self.is_cut));
        self.hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_be_bytes()));
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Option<Self> {
        let head = fields.varint()?;
        let count = usize::try_from(head / 2).ok().filter(|count| *count <= DISTINCT_EXACT)?;
        let is_cut = head % 2 == 1;
        let bytes = fields.take(count * 16)?;
        let hashes: BTreeSet<u128> = bytes.as_chunks().0.iter().map(|bytes| u128::from_be_bytes(*bytes)).collect();
        let is_sound = hashes.len() == count && (!is_cut || count == DISTINCT_EXACT);
        is_sound.then_some(Self { hashes, is_cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: std::ops::Range<u64>) -> Distinct {
        let mut distinct = Distinct::default();
        values.for_each(|value| distinct.add(&value.to_le_bytes()));
        distinct
    }

    fn again(distinct: &Distinct) -> Distinct {
        let mut bytes = Vec::new();
        distinct.encode(&mut bytes);
        Distinct::decode(&mut Fields(&bytes)).unwrap()
    }

    #[test]
    fn few_are_counted_exactly_and_many_nearly() {
        for (count, is_exact) in [(0, true), (1, true), (10_000, true), (10_001, false), (200_000, false)] {
            let distinct = of(0..count);
            assert_eq!(distinct.is_exact(), is_exact, "{count}");
            // Four standard errors: these values are always the same.
            let error = if is_exact { 0.0 } else { 0.04 * count as f64 };
            assert!((distinct.count() as f64 - count as f64).abs() <= error, "{} of {count}", distinct.count());
        }
    }

    #[test]
    fn what_comes_again_is_not_counted_again() {
        let mut distinct = of(0..10_000);
        distinct.merge(again(&of(0..10_000)));
        assert!(distinct.is_exact());
        assert_eq!(distinct.count(), 10_000);
    }

    #[test]
    fn parts_make_the_whole() {
        for (end, from) in [(6_000, 3_000), (12_000, 8_000), (20_000, 0)] {
            let mut parts = again(&of(0..end));
            parts.merge(again(&of(from..30_000)));
            let whole = of(0..30_000);
            assert_eq!((parts.count(), parts.is_exact()), (whole.count(), whole.is_exact()));
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for bytes in [&[2][..], &[3, 0], &[0xFF; 12]] {
            assert!(Distinct::decode(&mut Fields(bytes)).is_none());
        }
        let twice = [&[4][..], &[7; 32]].concat();
        assert!(Distinct::decode(&mut Fields(&twice)).is_none());
    }
}
