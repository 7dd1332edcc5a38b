//! Sets of records of a segment, counted from its first.

/// A set of records, in whichever form is smaller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// In order.
    Few(Vec<u32>),
    /// A bit each.
    Many(Vec<u64>),
}

impl Default for Records {
    fn default() -> Self {
        Self(Form::Few(Vec::new()))
    }
}

impl Records {
    /// A set of some of `of` records: those in `records`, in any order.
    pub fn new(mut records: Vec<u32>, of: u32) -> Self {
        records.sort_unstable();
        records.dedup();
        let mut builder = RecordsBuilder::new(records.len(), of);
        records.into_iter().filter(|record| *record < of).for_each(|record| builder.push(record));
        builder.finish()
    }

    /// The set that a bitmap tells, a bit for each record from the lowest of each byte on.
    pub(super) fn of_bitmap(bytes: &[u8]) -> Self {
        let word = |chunk: &[u8]| u64::from_le_bytes(std::array::from_fn(|i| chunk.get(i).copied().unwrap_or(0)));
        Self(Form::Many(bytes.chunks(8).map(word).collect()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Few(records) => records.len(),
            Form::Many(bits) => bits.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.next(0).is_none()
    }

    /// Whether `record` is among them.
    pub fn contains(&self, record: u32) -> bool {
        self.next(record) == Some(record)
    }

    /// The first that is `from` or later.
    pub fn next(&self, from: u32) -> Option<u32> {
        match &self.0 {
            Form::Few(records) => records.get(records.partition_point(|record| *record < from)).copied(),
            Form::Many(bits) => {
                let first = from as usize / 64;
                let masked = bits.get(first)? & (u64::MAX << (from % 64));
                let later = || bits.iter().enumerate().skip(first + 1).find(|(_, word)| **word != 0);
                let (n, word) = if masked != 0 { (first, masked) } else { later().map(|(n, word)| (n, *word))? };
                Some(n as u32 * 64 + word.trailing_zeros())
            }
        }
    }

    /// The last that is `to` or earlier.
    pub fn previous(&self, to: u32) -> Option<u32> {
        match &self.0 {
            Form::Few(records) => records[..records.partition_point(|record| *record <= to)].last().copied(),
            Form::Many(bits) => {
                let last = (to as usize / 64).min(bits.len().checked_sub(1)?);
                let mask = if to as usize / 64 > last { u64::MAX } else { u64::MAX >> (63 - to % 64) };
                let masked = bits[last] & mask;
                let earlier = || bits[..last].iter().enumerate().rev().find(|(_, word)| **word != 0);
                let (n, word) = if masked != 0 { (last, masked) } else { earlier().map(|(n, word)| (n, *word))? };
                Some(n as u32 * 64 + 63 - word.leading_zeros())
            }
        }
    }

    /// Those that are in one of the sets, or in both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(match (self.0, other.0) {
            (Form::Few(mut a), Form::Few(b)) => {
                a.extend(b);
                a.sort_unstable();
                a.dedup();
                Form::Few(a)
            }
            (Form::Many(mut bits), Form::Few(few)) | (Form::Few(few), Form::Many(mut bits)) => {
                for record in few {
                    let word = record as usize / 64;
                    if word >= bits.len() {
                        bits.resize(word + 1, 0);
                    }
                    bits[word] |= 1 << (record % 64);
                }
                Form::Many(bits)
            }
            (Form::Many(a), Form::Many(b)) => {
                let (mut long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
                long.iter_mut().zip(short).for_each(|(a, b)| *a |= b);
                Form::Many(long)
            }
        })
    }

    /// Those that are in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(match (self.0, other.0) {
            (Form::Many(mut a), Form::Many(b)) => {
                a.truncate(b.len());
                a.iter_mut().zip(b).for_each(|(a, b)| *a &= b);
                Form::Many(a)
            }
            (Form::Few(mut few), form) | (form, Form::Few(mut few)) => {
                let other = Self(form);
                few.retain(|record| other.contains(*record));
                Form::Few(few)
            }
        })
    }
}

/// Puts a set together in the form that it will have, so that it takes no more memory meanwhile.
#[derive(Debug)]
pub(super) struct RecordsBuilder(Form);

impl RecordsBuilder {
    /// For a set of `count` of `of` records.
    pub(super) fn new(count: usize, of: u32) -> Self {
        Self(match count < of as usize / 32 {
            true => Form::Few(Vec::with_capacity(count)),
            false => Form::Many(vec![0; (of as usize).div_ceil(64)]),
        })
    }

    /// Adds a record, which is one of those, and later than those before it.
    pub(super) fn push(&mut self, record: u32) {
        match &mut self.0 {
            Form::Few(records) => records.push(record),
            Form::Many(bits) => bits[record as usize / 64] |= 1 << (record % 64),
        }
    }

    pub(super) fn finish(self) -> Records {
        Records(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn all(records: &Records) -> Vec<u32> {
        let mut found = Vec::new();
        while let Some(record) = records.next(found.last().map_or(0, |last| last + 1)) {
            found.push(record);
        }
        found
    }

    fn sets() -> impl Strategy<Value = (u32, BTreeSet<u32>, BTreeSet<u32>)> {
        (1..300u32).prop_flat_map(|of| {
            let set = || {
                prop_oneof![
                    proptest::collection::btree_set(0..of, 0..5),
                    proptest::collection::btree_set(0..of, 0..200)
                ]
            };
            (Just(of), set(), set())
        })
    }

    proptest! {
        #[test]
        fn sets_are_sets((of, a, b) in sets(), at in 0..400u32) {
            let set = |naive: &BTreeSet<u32>| Records::new(naive.iter().copied().rev().collect(), of);
            let (x, y) = (set(&a), set(&b));
            prop_assert_eq!(all(&x), a.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!((x.len(), x.is_empty(), x.contains(at)), (a.len(), a.is_empty(), a.contains(&at)));
            prop_assert_eq!(x.next(at), a.range(at..).next().copied());
            prop_assert_eq!(x.previous(at), a.range(..=at).next_back().copied());
            prop_assert_eq!(all(&x.clone().union(y.clone())), a.union(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(all(&x.intersection(y)), a.intersection(&b).copied().collect::<Vec<_>>());
        }
    }
}
