//! From the bodies of records to tallies of groups.

use super::question::StatisticsQuery;
use super::tally::{TERM_MISSING, TERM_OTHER, Tally, put_bucket, put_term};
use crate::error::{Error, Result};
use crate::query::{Cell, Trie, walk};
use crate::record::StoredRecord;
use std::ops::Range;

/// Adds records to tallies. Its memory is kept from record to record.
#[derive(Debug)]
pub(super) struct Gatherer {
    trie: Trie,
    /// What each node of the trie is for.
    roles: Vec<Role>,
    every: Option<i64>,
    by: Vec<Terms>,
    key: Vec<u8>,
    term: Vec<u8>,
}

/// What the values at a path are for, by the place of the path among those that were asked for.
#[derive(Debug, Clone, Default)]
struct Role {
    by: Vec<usize>,
    of: Vec<usize>,
}

/// The terms of one field in a record.
#[derive(Debug, Default)]
struct Terms {
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
    /// Which of them the key at hand has.
    at: usize,
}

impl Gatherer {
    pub(super) fn new(query: &StatisticsQuery) -> Self {
        let mut trie = Trie::default();
        let nodes = |paths: &[_], trie: &mut Trie| paths.iter().map(|path| trie.insert(path)).collect::<Vec<_>>();
        let (by, of) = (nodes(&query.by, &mut trie), nodes(&query.of, &mut trie));
        let mut roles = vec![Role::default(); trie.len()];
        by.iter().enumerate().for_each(|(n, node)| roles[*node].by.push(n));
        of.iter().enumerate().for_each(|(n, node)| roles[*node].of.push(n));
        let by = by.iter().map(|_| Terms::default()).collect();
        Self { trie, roles, every: query.every, by, key: Vec::new(), term: Vec::new() }
    }

    /// Adds `record` to the groups that it is in: those of each combination of the different values of its fields.
    ///
    /// # Errors
    /// [`Error::Decode`] if its body is not MessagePack, and what [`Tally::group`] says.
    pub(super) fn add(&mut self, record: &StoredRecord<'_>, tally: &mut Tally) -> Result<()> {
        self.by.iter_mut().for_each(Terms::clear);
        let mut values: Vec<(usize, Cell<'_>)> = Vec::new();
        let Self { trie, roles, by, term, .. } = self;
        let walked = walk(trie, record.body, &mut |node, cell| {
            // In place of an array its elements are seen.
            let Some(cell) = cell else { return };
            let role = &roles[node];
            if !role.by.is_empty() {
                let is_term = cell.term(term);
                role.by.iter().for_each(|n| by[*n].push(if is_term { term } else { TERM_OTHER }));
            }
            values.extend(role.of.iter().map(|n| (*n, cell.clone())));
        });
        walked.map_err(|error| Error::Decode { seq: record.seq, detail: error.to_string() })?;
        self.by.iter_mut().for_each(Terms::settle);
        tally.record(record.timestamp.as_micros());
        loop {
            self.spell_key(record.timestamp.as_micros());
            let group = tally.group(&self.key)?;
            group.records += 1;
            for (n, cell) in &values {
                group.fields[*n].add(cell, &mut self.term);
            }
            // On to the next combination.
            if !self.by.iter_mut().rev().any(Terms::step) {
                return Ok(());
            }
        }
    }

    fn spell_key(&mut self, time: i64) {
        self.key.clear();
        if let Some(every) = self.every {
            put_bucket(time.div_euclid(every).saturating_mul(every), &mut self.key);
        }
        for terms in &self.by {
            put_term(terms.current(), &mut self.key);
        }
    }
}

impl Terms {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ranges.clear();
        self.at = 0;
    }

    fn push(&mut self, term: &[u8]) {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(term);
        self.ranges.push(from..self.bytes.len());
    }

    /// Leaves each term once; that of a missing value if there is none.
    fn settle(&mut self) {
        if self.ranges.is_empty() {
            self.push(TERM_MISSING);
        }
        if self.ranges.len() > 1 {
            let Self { bytes, ranges, .. } = self;
            ranges.sort_unstable_by_key(|range| &bytes[range.clone()]);
            ranges.dedup_by(|a, b| bytes[a.clone()] == bytes[b.clone()]);
        }
    }

    fn current(&self) -> &[u8] {
        &self.bytes[self.ranges[self.at].clone()]
    }

    /// Goes on to the next term; `false` if it begins again with the first.
    fn step(&mut self) -> bool {
        self.at = (self.at + 1) % self.ranges.len();
        self.at > 0
    }
}
