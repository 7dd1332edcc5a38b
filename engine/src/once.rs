//! The idempotency keys of the newest records: hash of a key → seq.
//!
//! A hash alone is never trusted: whoever looks a key up compares it with that of the record itself. Memory is bounded by the
//! window, which is a number of records; records that are too old don't count either.

use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, VecDeque};

/// A key that was appended.
#[derive(Debug, Clone, Copy)]
struct Known {
    seq: u64,
    hash: u64,
    /// The record's time, in µs since 1970.
    time: i64,
}

/// Which keys count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// The first seq that counts.
    pub(crate) first_seq: u64,
    /// The earliest time that counts, in µs since 1970.
    pub(crate) since: i64,
}

/// The keys of the newest records.
#[derive(Debug, Default)]
pub(crate) struct OnceTable {
    /// Hashes and seqs: of one hash there may be several.
    known: BTreeSet<(u64, u64)>,
    /// The same in the order of seqs.
    order: VecDeque<Known>,
    /// The keys of records that can't be read yet, in the order of seqs.
    pending: VecDeque<(u64, Box<[u8]>)>,
    /// Whether the log has been read for keys.
    pub(crate) is_built: bool,
}

impl OnceTable {
    /// Adds the key of a record, which has the highest seq so far.
    pub(crate) fn add(&mut self, seq: u64, time: i64, key: &[u8]) {
        let hash = hash(key);
        self.known.insert((hash, seq));
        self.order.push_back(Known { seq, hash, time });
    }

    /// As [`OnceTable::add`], for a record that nobody can read yet.
    pub(crate) fn add_pending(&mut self, seq: u64, time: i64, key: &[u8]) {
        self.add(seq, time, key);
        self.pending.push_back((seq, key.into()));
    }

    /// Forgets what is not in `window` any more, and the keys that can be read from records: those below `visible_seq`.
    pub(crate) fn forget(&mut self, window: Window, visible_seq: u64) {
        // Times need not grow, so one that is too old may stay behind a younger one; it is left out when it is looked up.
        while let Some(first) = self.order.front().filter(|first| !window.has(first)) {
            self.known.remove(&(first.hash, first.seq));
            self.order.pop_front();
        }
        while self.pending.front().is_some_and(|(seq, _)| *seq < visible_seq) {
            self.pending.pop_front();
        }
    }

    /// The seqs in `window` of which the key may be `key`, the first in front, each with the key where that is known.
    pub(crate) fn candidates(&self, key: &[u8], window: Window) -> Vec<(u64, Option<Box<[u8]>>)> {
        let hash = hash(key);
        let found = self.known.range((hash, window.first_seq)..=(hash, u64::MAX)).map(|(_, seq)| *seq);
        let in_time = |seq: &u64| {
            let at = self.order.binary_search_by_key(seq, |known| known.seq);
            at.is_ok_and(|at| window.has(&self.order[at]))
        };
        let key_of = |seq: u64| {
            let at = self.pending.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
            Some(self.pending[at].1.clone())
        };
        found.filter(in_time).map(|seq| (seq, key_of(seq))).collect()
    }
}

impl Window {
    fn has(self, known: &Known) -> bool {
        known.seq >= self.first_seq && known.time >= self.since
    }
}

/// Whoever chooses keys finds no two of the same hash by accident, and by intent only to his own cost.
fn hash(key: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(key).into();
    u64::from_le_bytes(std::array::from_fn(|i| digest[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Window = Window { first_seq: 0, since: i64::MIN };

    fn seqs(table: &OnceTable, key: &[u8], window: Window) -> Vec<u64> {
        table.candidates(key, window).into_iter().map(|(seq, _)| seq).collect()
    }

    #[test]
    fn keys_are_found_within_the_window() {
        let mut table = OnceTable::default();
        for seq in 0..10 {
            table.add(seq, seq as i64 * 10, format!("{}", seq % 4).as_bytes());
        }
        assert_eq!(seqs(&table, b"1", ALL), [1, 5, 9]);
        assert_eq!(seqs(&table, b"1", Window { first_seq: 2, ..ALL }), [5, 9]);
        assert_eq!(seqs(&table, b"1", Window { since: 51, ..ALL }), [9]);
        assert_eq!(seqs(&table, b"7", ALL), [0; 0]);
        table.forget(Window { first_seq: 5, ..ALL }, 10);
        assert_eq!((table.known.len(), table.order.len()), (5, 5));
        assert_eq!(seqs(&table, b"1", ALL), [5, 9]);
    }

    #[test]
    fn keys_are_kept_until_their_records_can_be_read() {
        let mut table = OnceTable::default();
        table.add_pending(3, 0, b"a");
        table.add_pending(5, 0, b"b");
        assert_eq!(table.candidates(b"b", ALL), [(5, Some(b"b"[..].into()))]);
        table.forget(ALL, 5);
        assert_eq!(table.pending.len(), 1);
        table.forget(ALL, 6);
        assert_eq!(table.candidates(b"b", ALL), [(5, None)]);
    }
}
