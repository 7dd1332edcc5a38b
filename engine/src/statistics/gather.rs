//! From the bodies of records to tallies of groups.

use super::batch::Batch;
use super::question::StatisticsQuery;
use super::tally::{TERM_MISSING, TERM_OTHER, Tally, put_bucket, put_term};
use crate::error::{Error, Result};
use crate::msgpack::Token;
use crate::query::{Cell, KnownKeys, Number, Trie, walk_tokens};
use crate::record::StoredRecord;
use std::ops::Range;

/// Integers up to this are doubles without loss.
const INT_MAX: u64 = 1 << 53;

/// Groups that are known again without a look into the tally, and most bytes of the key of one.
const KNOWN_GROUPS: usize = 256;
const KNOWN_BYTES: usize = 1 << 10;

/// Adds records to one tally. Its memory is kept from record to record.
#[derive(Debug)]
pub(super) struct Gatherer {
    trie: Trie,
    /// What each node of the trie is for.
    roles: Vec<Role>,
    every: Option<i64>,
    by: Vec<Terms>,
    keys: KnownKeys,
    /// Keys of groups and where these are in the tally, each at a place that follows from the key.
    known: Vec<(Vec<u8>, usize)>,
    batch: Batch,
    values: Vec<(usize, Held)>,
    /// The terms of values that are no numbers.
    terms: Vec<u8>,
    key: Vec<u8>,
    term: Vec<u8>,
}

/// What the values at a path are for, by the place of the path among those that were asked for.
#[derive(Debug, Clone, Default)]
struct Role {
    by: Vec<usize>,
    of: Vec<usize>,
}

/// A value of the record at hand.
#[derive(Debug, Clone)]
enum Held {
    /// A finite double, or a number that is one.
    Double(f64),
    Number(Number),
    /// Another value with this term.
    Term(Range<usize>),
    /// A value that equals no other.
    Other,
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
        Self {
            trie,
            roles,
            every: query.every,
            by: by.iter().map(|_| Terms::default()).collect(),
            keys: KnownKeys::default(),
            known: vec![(Vec::new(), usize::MAX); KNOWN_GROUPS],
            batch: Batch::new(of.len()),
            values: Vec::new(),
            terms: Vec::new(),
            key: Vec::new(),
            term: Vec::new(),
        }
    }

    /// Adds `record` to the groups that it is in: those of each combination of the different values of its fields. Some of what was
    /// added waits for [`Gatherer::settle`].
    ///
    /// # Errors
    /// [`Error::Decode`] if its body is not MessagePack, and what [`Tally::place`] and [`Tally::check`] say.
    pub(super) fn add(&mut self, record: &StoredRecord<'_>, tally: &mut Tally) -> Result<()> {
        self.by.iter_mut().for_each(Terms::clear);
        self.values.clear();
        self.terms.clear();
        let Self { trie, roles, by, keys, values, terms, term, .. } = self;
        let walked = walk_tokens(trie, Some(keys), record.body, &mut |node, token| {
            // In place of an array its elements are seen.
            let Some(token) = token else { return };
            let role = &roles[node];
            if !role.by.is_empty() {
                let is_term = Cell::of(token).term(term);
                role.by.iter().for_each(|n| by[*n].push(if is_term { term } else { TERM_OTHER }));
            }
            if let Some((last, others)) = role.of.split_last() {
                let held = Held::of(token, terms, term);
                values.extend(others.iter().map(|n| (*n, held.clone())));
                values.push((*last, held));
            }
        });
        walked.map_err(|error| Error::Decode { seq: record.seq, detail: error.to_string() })?;
        self.by.iter_mut().for_each(Terms::settle);
        tally.record(record.timestamp.as_micros());
        loop {
            self.spell_key(record.timestamp.as_micros());
            let place = self.place(tally)?;
            tally.at(place).records += 1;
            self.add_values(place, tally);
            // On to the next combination.
            if !self.by.iter_mut().rev().any(Terms::step) {
                return tally.check_after(record.body.len());
            }
        }
    }

    /// Adds what waits.
    pub(super) fn settle(&mut self, tally: &mut Tally) {
        self.batch.settle(tally);
    }

    /// Adds the values of the record at hand to a group.
    fn add_values(&mut self, place: usize, tally: &mut Tally) {
        let Self { values, batch, terms, term, .. } = self;
        for (field, held) in values {
            if let Held::Double(value) = held {
                batch.push(*field, place, *value, tally);
                continue;
            }
            let own = &mut tally.at(place).fields[*field];
            match held {
                Held::Number(number) => own.add(&Cell::Number(number.clone()), term),
                Held::Term(range) => own.add_other(terms.get(range.clone())),
                Held::Double(_) | Held::Other => own.add_other(None),
            }
        }
    }

    /// Where the group with the key at hand is.
    fn place(&mut self, tally: &mut Tally) -> Result<usize> {
        if self.key.len() > KNOWN_BYTES {
            return tally.place(&self.key);
        }
        let known = &mut self.known[hash(&self.key) as usize % KNOWN_GROUPS];
        if known.1 == usize::MAX || known.0 != self.key {
            known.1 = tally.place(&self.key)?;
            known.0.clone_from(&self.key);
        }
        Ok(known.1)
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

impl Held {
    /// The value of a token, whose term is put behind those in `terms`. `term` is memory.
    fn of(token: Token<'_>, terms: &mut Vec<u8>, term: &mut Vec<u8>) -> Self {
        match token {
            Token::F64(value) if value.is_finite() => return Self::Double(value),
            Token::UInt(value) if value <= INT_MAX => return Self::Double(value as f64),
            Token::Int(value) if value.unsigned_abs() <= INT_MAX => return Self::Double(value as f64),
            _ => {}
        }
        let cell = Cell::of(token);
        let from = terms.len();
        match cell {
            Cell::Number(number) => Self::Number(number),
            cell if cell.term(term) => {
                terms.extend_from_slice(term);
                Self::Term(from..terms.len())
            }
            _ => Self::Other,
        }
    }
}

/// A quick hash, of which nothing but time depends.
fn hash(key: &[u8]) -> u64 {
    let fold = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let (words, rest) = key.as_chunks::<8>();
    let hash = words.iter().fold(key.len() as u64, |hash, word| fold(hash, u64::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, byte| fold(hash, (*byte).into()))
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
