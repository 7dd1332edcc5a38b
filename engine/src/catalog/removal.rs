//! What retention removed: whole segments from the beginning of the log, and what has to be known of them afterwards.

use crate::Timestamp;
use crate::merkle::{Frontier, Hash, hex};
use std::sync::Arc;

/// Most removals that are told apart. When there are more, the oldest two become one.
pub(super) const REMOVALS_MAX: usize = 1 << 10;

/// Longest reason that is kept, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 1 << 10;

/// Records that retention removed, as the log's catalog says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Removal {
    /// The first seq that was removed.
    pub first_seq: u64,
    /// The first seq after those.
    pub end_seq: u64,
    /// How many records were removed. Less than the seqs if some of those were in gaps.
    pub records: u64,
    /// How many segments held them.
    pub segments: u64,
    /// How many bytes their files had.
    pub bytes: u64,
    /// The earliest time of the records; `None` if there was none.
    pub time_min: Option<Timestamp>,
    /// The latest time of the records.
    pub time_max: Option<Timestamp>,
    /// When they were removed.
    pub removed: Timestamp,
    /// How many runs of retention this stands for: more than one where the oldest of very many were put together.
    pub runs: u64,
    /// Why they were removed.
    pub reason: String,
    /// The root of the hash tree over all records of the log below `end_seq`. Displayed and serialized in hex.
    #[serde(serialize_with = "as_hex")]
    pub root: [u8; 32],
}

fn as_hex<S: serde::Serializer>(root: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(root))
}

impl Removal {
    /// Whether the record `seq` is one of those.
    pub(crate) fn has(&self, seq: u64) -> bool {
        (self.first_seq..self.end_seq).contains(&seq)
    }

    /// This one and `next`, which follows it, as one.
    fn merged(&self, next: &Self) -> Self {
        Self {
            first_seq: self.first_seq,
            records: self.records.saturating_add(next.records),
            segments: self.segments.saturating_add(next.segments),
            bytes: self.bytes.saturating_add(next.bytes),
            time_min: [self.time_min, next.time_min].into_iter().flatten().min(),
            time_max: self.time_max.max(next.time_max),
            runs: self.runs.saturating_add(next.runs),
            ..next.clone()
        }
    }
}

impl std::fmt::Display for Removal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.end_seq - self.first_seq {
            1 => write!(f, "record {} was", self.first_seq)?,
            _ => write!(f, "records {} to {} were", self.first_seq, self.end_seq - 1)?,
        }
        write!(f, " removed by retention, {} µs after 1970: {}", self.removed.as_micros(), self.reason)
    }
}

/// All that retention has removed, from seq 0 on, without a hole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Removed {
    removals: Vec<Arc<Removal>>,
    /// The hash tree over all of it: what follows is proven from there.
    frontier: Frontier,
}

impl Removed {
    /// Puts together what was written down; `None` if it contradicts itself.
    pub(super) fn of(removals: Vec<Arc<Removal>>, frontier: Frontier) -> Option<Self> {
        let mut next = 0;
        for removal in &removals {
            if removal.first_seq != next || removal.end_seq <= next {
                return None;
            }
            next = removal.end_seq;
        }
        let root = removals.last().map(|last| last.root);
        let agrees = frontier.size() == next && root.is_none_or(|root| root == frontier.root());
        (agrees && removals.len() <= REMOVALS_MAX).then_some(Self { removals, frontier })
    }

    /// This, and a removal that follows. The oldest two become one where there is no room for more.
    pub(super) fn with(&self, removal: Removal, frontier: Frontier) -> Self {
        let mut removals = self.removals.clone();
        removals.push(Arc::new(removal));
        if removals.len() > REMOVALS_MAX {
            let first = removals.remove(0);
            removals[0] = Arc::new(first.merged(&removals[0]));
        }
        Self { removals, frontier }
    }

    /// The first seq that was not removed: nothing is below it.
    pub(crate) fn end_seq(&self) -> u64 {
        self.frontier.size()
    }

    /// The hash tree over all that was removed.
    pub(crate) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The removals, in order.
    pub(crate) fn removals(&self) -> &[Arc<Removal>] {
        &self.removals
    }

    /// The removal that took the record `seq`.
    pub(crate) fn find(&self, seq: u64) -> Option<&Arc<Removal>> {
        let before = self.removals.partition_point(|removal| removal.end_seq <= seq);
        self.removals.get(before).filter(|removal| removal.has(seq))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn removal(first_seq: u64, end_seq: u64) -> Removal {
        Removal {
            first_seq,
            end_seq,
            records: end_seq - first_seq,
            segments: 1,
            bytes: 100,
            time_min: Some(Timestamp::from_micros(first_seq as i64)),
            time_max: Some(Timestamp::from_micros(end_seq as i64)),
            removed: Timestamp::from_micros(-4),
            runs: 1,
            reason: "at most 5 records".into(),
            root: frontier(end_seq).root(),
        }
    }

    pub(in super::super) fn frontier(size: u64) -> Frontier {
        let mut frontier = Frontier::new();
        for leaf in 0..size {
            frontier.push([leaf as u8; 32]);
        }
        frontier
    }

    pub(in super::super) fn removed(ends: &[u64]) -> Removed {
        let firsts = [0].iter().chain(ends);
        let removals = firsts.zip(ends).map(|(&first, &end)| Arc::new(removal(first, end))).collect();
        Removed::of(removals, frontier(ends.last().copied().unwrap_or(0))).unwrap()
    }

    #[test]
    fn a_record_is_found_in_its_removal() {
        let removed = removed(&[3, 10]);
        let found = |seq| removed.find(seq).map(|removal| removal.end_seq);
        assert_eq!([0, 2, 3, 9, 10].map(found), [Some(3), Some(3), Some(10), Some(10), None]);
        assert_eq!(Removed::default().find(0), None);
    }

    #[test]
    fn the_oldest_become_one_when_there_are_too_many() {
        let mut all = Removed::default();
        for n in 0..REMOVALS_MAX as u64 + 3 {
            all = all.with(Removal { reason: format!("{n}"), ..removal(n, n + 1) }, frontier(n + 1));
        }
        let first = &all.removals[0];
        assert_eq!((all.removals.len(), first.runs, first.records, first.end_seq), (REMOVALS_MAX, 4, 4, 4));
        assert_eq!((first.reason.as_str(), first.root), ("3", frontier(4).root()));
        assert_eq!(Removed::of(all.removals.clone(), all.frontier.clone()), Some(all));
    }

    #[test]
    fn holes_and_other_trees_are_refused() {
        let of =
            |removals: Vec<Removal>, size| Removed::of(removals.into_iter().map(Arc::new).collect(), frontier(size));
        assert!(of(vec![removal(0, 3), removal(3, 4)], 4).is_some());
        assert!(of(vec![removal(1, 3)], 3).is_none());
        assert!(of(vec![removal(0, 3), removal(4, 5)], 5).is_none());
        assert!(of(vec![removal(0, 3)], 4).is_none());
        assert!(of(vec![removal(0, 3), removal(3, 3)], 3).is_none());
        assert!(of(vec![Removal { root: [1; 32], ..removal(0, 3) }], 3).is_none());
        assert!(of(vec![], 1).is_none());
    }
}
