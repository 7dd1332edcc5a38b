//! From blocks of columns to tallies, without making records: for groups by keys of the records themselves whose values are literals.
//!
//! A group is looked up once for each combination of literals, and not for each record.

use super::field::FieldTally;
use super::question::StatisticsQuery;
use super::tally::{TERM_MISSING, Tally, put_bucket, put_term};
use crate::columns::{Dictionary, TypedCell};
use crate::error::Result;
use crate::msgpack::{Reader, Token};
use crate::query::{Cell, FieldPath, Number};
use crate::sealed::{TypedBlock, TypedBuf};

/// Most combinations of literals that groups are looked up by.
const COMBINATIONS_MAX: usize = 1 << 16;

/// A group that nobody has looked up yet.
const UNKNOWN: usize = usize::MAX;

/// Adds blocks to a tally.
#[derive(Debug)]
pub(super) struct TypedGatherer {
    /// Which of the buffer's keys each field is.
    by: Vec<usize>,
    of: Vec<usize>,
    every: Option<i64>,
    /// The columns of the block before, and the group of each combination of their literals in the bucket before.
    columns: Vec<Option<u32>>,
    groups: Vec<usize>,
    bucket: i64,
    key: Vec<u8>,
    term: Vec<u8>,
}

impl TypedGatherer {
    /// For `query`, and the memory for what it reads; `None` if it can't be answered so.
    pub(super) fn new(query: &StatisticsQuery) -> Option<(Self, TypedBuf)> {
        let mut keys: Vec<String> = Vec::new();
        let mut place = |path: &FieldPath| {
            let [key] = path.keys() else { return None };
            let known = keys.iter().position(|own| own == key);
            Some(known.unwrap_or_else(|| {
                keys.push(key.clone());
                keys.len() - 1
            }))
        };
        let by = query.by.iter().map(&mut place).collect::<Option<Vec<_>>>()?;
        let of = query.of.iter().map(&mut place).collect::<Option<Vec<_>>>()?;
        let (columns, groups) = (Vec::new(), Vec::new());
        let (key, term) = (Vec::new(), Vec::new());
        let gatherer = Self { by, of, every: query.every, columns, groups, bucket: i64::MIN, key, term };
        query.condition.is_none().then(|| (gatherer, TypedBuf::new(keys)))
    }

    /// Adds all records of `block`; or none, and returns `false`, if some of its values are not that simple.
    ///
    /// # Errors
    /// What [`Tally::group`] says.
    pub(super) fn add(&mut self, block: TypedBlock<'_>, tally: &mut Tally) -> Result<bool> {
        if !self.is_simple(&block) {
            return Ok(false);
        }
        if self.groups.is_empty() || self.columns != block.columns {
            self.columns = block.columns.to_vec();
            self.forget_groups(block.dictionary);
        }
        for (row, time) in block.times.iter().enumerate() {
            tally.record(*time);
            if let Some(every) = self.every {
                let bucket = time.div_euclid(every).saturating_mul(every);
                if bucket != self.bucket {
                    self.bucket = bucket;
                    self.groups.fill(UNKNOWN);
                }
            }
            let at = self.combination(&block, row);
            if self.groups[at] == UNKNOWN {
                self.spell_key(&block, row);
                self.groups[at] = tally.place(&self.key)?;
            }
            let group = tally.at(self.groups[at]);
            group.records += 1;
            for (field, key) in group.fields.iter_mut().zip(&self.of) {
                if let Some(column) = block.columns[*key] {
                    add(field, block.cells[*key][row], block.dictionary, column, &mut self.term);
                }
            }
        }
        Ok(true)
    }

    /// Whether all values that make groups are literals, all literals are single values, and there are few combinations.
    fn is_simple(&self, block: &TypedBlock<'_>) -> bool {
        let is_literal = |cell: &TypedCell| matches!(cell, TypedCell::Literal(_));
        let by = || self.by.iter().filter(|key| block.columns[**key].is_some());
        let combinations = by().try_fold(1usize, |count, key| {
            count
                .checked_mul(block.dictionary.codes_end(block.columns[*key]?))
                .filter(|count| *count <= COMBINATIONS_MAX)
        });
        combinations.is_some()
            && by().all(|key| block.cells[*key].iter().all(is_literal))
            && block.columns.iter().zip(block.cells).all(|(column, cells)| {
                let Some(column) = column else { return true };
                let is_single = |cell: &TypedCell| match cell {
                    TypedCell::Literal(code) => scalar(block.dictionary, *column, *code).is_some(),
                    _ => true,
                };
                cells.iter().all(is_single)
            })
    }

    fn forget_groups(&mut self, dictionary: &Dictionary) {
        let ends = self.by.iter().filter_map(|key| self.columns[*key]).map(|column| dictionary.codes_end(column));
        self.groups.clear();
        self.groups.resize(ends.product(), UNKNOWN);
    }

    /// The number of the combination of literals that a record has.
    fn combination(&self, block: &TypedBlock<'_>, row: usize) -> usize {
        self.by.iter().fold(0, |at, key| match (block.columns[*key], block.cells[*key].get(row)) {
            (Some(column), Some(TypedCell::Literal(code))) => at * block.dictionary.codes_end(column) + *code as usize,
            _ => at,
        })
    }

    fn spell_key(&mut self, block: &TypedBlock<'_>, row: usize) {
        let Self { by, key: spelled, term, .. } = self;
        spelled.clear();
        if self.every.is_some() {
            put_bucket(self.bucket, spelled);
        }
        for key in by {
            let cell = block.columns[*key].zip(block.cells[*key].get(row));
            let literal = match cell {
                Some((column, TypedCell::Literal(code))) => scalar(block.dictionary, column, *code),
                _ => None,
            };
            match literal {
                Some(cell) if cell.term(term) => put_term(term, spelled),
                Some(_) => put_term(super::tally::TERM_OTHER, spelled),
                None => put_term(TERM_MISSING, spelled),
            }
        }
    }
}

/// The value of a literal, if it is neither an array nor an object.
fn scalar(dictionary: &Dictionary, column: u32, code: u32) -> Option<Cell<'_>> {
    let mut reader = Reader::new(dictionary.literal(column, code)?);
    let token = reader.token().ok().filter(|token| !matches!(token, Token::Array(_) | Token::Map(_)))?;
    reader.finish().ok()?;
    Some(Cell::of(token))
}

fn add(field: &mut FieldTally, cell: TypedCell, dictionary: &Dictionary, column: u32, term: &mut Vec<u8>) {
    let cell = match cell {
        TypedCell::Int(value) => Cell::Number(Number::Int(value.into())),
        TypedCell::Float(value) => Cell::of(Token::F64(value)),
        // Looked at before.
        TypedCell::Literal(code) => scalar(dictionary, column, code).unwrap_or(Cell::Other),
    };
    field.add(&cell, term);
}
