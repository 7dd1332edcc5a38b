//! Where the entries of a raw segment's records begin. Records that are missing take no memory, however many a frame after
//! them tells of.

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Its entry begins at this offset.
    At(u32),
    /// It could not be read.
    Missing,
}

/// The positions of records by their number in the segment, from 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct Positions {
    /// Of the records that were found.
    found: Vec<u32>,
    /// Runs of missing records, in order.
    gaps: Vec<Gap>,
}

#[derive(Debug, Clone, Copy)]
struct Gap {
    first: u64,
    end: u64,
    /// How many records before `end` were found.
    found: usize,
}

impl Positions {
    /// How many records there are, missing ones included.
    pub(crate) fn len(&self) -> u64 {
        self.gaps.last().map_or(self.found.len() as u64, |gap| gap.end + (self.found.len() - gap.found) as u64)
    }

    /// Adds the next record.
    pub(crate) fn push(&mut self, position: u32) {
        self.found.push(position);
    }

    /// Adds the next records.
    pub(crate) fn extend(&mut self, positions: &[u32]) {
        self.found.extend_from_slice(positions);
    }

    /// Notes that the next records, up to but not including number `end`, are missing.
    pub(crate) fn skip_to(&mut self, end: u64) {
        let first = self.len();
        if end > first {
            self.gaps.push(Gap { first, end, found: self.found.len() });
        }
    }

    /// Where record `number` is; `None` if there is none of that number.
    pub(crate) fn get(&self, number: u64) -> Option<Position> {
        let before = self.gaps.partition_point(|gap| gap.first <= number);
        let (end, found) = match before.checked_sub(1).map(|n| self.gaps[n]) {
            Some(gap) if number < gap.end => return Some(Position::Missing),
            Some(gap) => (gap.end, gap.found),
            None => (0, 0),
        };
        let index = usize::try_from(number - end).ok()?.checked_add(found)?;
        self.found.get(index).copied().map(Position::At)
    }

    /// The runs of records in `first..end` that were found.
    pub(crate) fn runs(&self, first: u64, end: u64) -> Vec<(u64, u64)> {
        let end = end.min(self.len());
        let mut runs = Vec::new();
        let mut at = first;
        for gap in self.gaps.iter().filter(|gap| gap.end > first && gap.first < end) {
            runs.push((at, gap.first));
            at = gap.end;
        }
        runs.push((at, end));
        runs.retain(|(from, to)| from < to);
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_a_vector_of_all_of_them(steps in proptest::collection::vec((any::<bool>(), 0u64..5), 0..20)) {
            let (mut positions, mut naive) = (Positions::default(), Vec::new());
            for (n, (is_gap, count)) in steps.into_iter().enumerate() {
                for _ in 0..count {
                    naive.push(if is_gap { Position::Missing } else { Position::At(n as u32) });
                }
                match is_gap {
                    true => positions.skip_to(naive.len() as u64),
                    false => positions.extend(&vec![n as u32; count as usize]),
                }
            }
            prop_assert_eq!(positions.len(), naive.len() as u64);
            for number in 0..naive.len() + 3 {
                prop_assert_eq!(positions.get(number as u64), naive.get(number).copied());
            }
            for first in 0..naive.len() {
                let seqs = positions.runs(first as u64, u64::MAX).into_iter().flat_map(|(from, to)| from..to);
                let is_found = |n: &usize| naive[*n] != Position::Missing;
                let expected = (first..naive.len()).filter(is_found).map(|n| n as u64);
                prop_assert_eq!(seqs.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn records_that_are_missing_take_no_memory() {
        let mut positions = Positions::default();
        positions.skip_to(1 << 40);
        positions.push(7);
        assert_eq!((positions.len(), positions.get(1 << 40)), ((1 << 40) + 1, Some(Position::At(7))));
        assert_eq!(positions.get(5), Some(Position::Missing));
        assert_eq!(positions.get((1 << 40) + 1), None);
    }
}
