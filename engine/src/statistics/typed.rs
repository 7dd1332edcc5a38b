//! From blocks of columns to tallies, without making records: for groups by keys of the records themselves whose values are literals,
//! or texts with a number in them.
//!
//! A group is looked up once for each combination of literals, and not for each record; numbers go from the column to their groups
//! some thousands at a time.

use super::batch::Batch;
use super::question::StatisticsQuery;
use super::tally::{TERM_MISSING, TERM_OTHER, Tally, put_bucket, put_term};
use crate::columns::{CODE_MISSING, TypedColumn};
use crate::error::Result;
use crate::msgpack::{Reader, Token};
use crate::query::{Cell, FieldPath};
use crate::sealed::{TypedBlock, TypedBuf};

/// Most combinations of literals that groups are looked up by.
const COMBINATIONS_MAX: usize = 1 << 16;

/// A group that nobody has looked up yet.
const UNKNOWN: usize = usize::MAX;

/// Adds blocks of one file to one tally.
#[derive(Debug)]
pub(super) struct TypedGatherer {
    /// Which of the buffer's keys each field is.
    by: Vec<usize>,
    of: Vec<usize>,
    every: Option<i64>,
    /// What the codes of each column stand for, once that was needed.
    kinds: Vec<Vec<Kind>>,
    /// The columns that make groups in the block before and where their codes ended, and the group of each combination of these in
    /// the bucket before.
    columns: Vec<(u32, usize)>,
    groups: Vec<usize>,
    bucket: i64,
    batch: Batch,
    /// Of each record the combination, then its group; and its time, where that matters.
    places: Vec<usize>,
    times: Vec<i64>,
    key: Vec<u8>,
    term: Vec<u8>,
}

/// What the code of a cell stands for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Nothing.
    Missing,
    /// The number of the record.
    Number,
    /// This double.
    Double(f64),
    /// Another value.
    Single,
    /// An array or an object.
    Nested,
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
        let gatherer = Self {
            batch: Batch::new(of.len()),
            by,
            of,
            every: query.every,
            kinds: Vec::new(),
            columns: Vec::new(),
            groups: Vec::new(),
            bucket: i64::MIN,
            places: Vec::new(),
            times: Vec::new(),
            key: Vec::new(),
            term: Vec::new(),
        };
        query.condition.is_none().then(|| (gatherer, TypedBuf::new(keys)))
    }

    /// Adds all records of `block`; or none, and returns `false`, if some of its values are not that simple. Some of what was added
    /// waits for [`TypedGatherer::settle`].
    ///
    /// # Errors
    /// What [`Tally::place`] says.
    pub(super) fn add(&mut self, block: TypedBlock<'_>, tally: &mut Tally) -> Result<bool> {
        self.learn(&block);
        if !self.is_simple(&block) || !self.read_times(&block) {
            return Ok(false);
        }
        self.make_room(&block);
        tally.record_all(block.rows as u64, block.times);
        self.find_combinations(&block);
        let are_known = self.times.is_empty() && self.places.iter().all(|at| self.groups[*at] != UNKNOWN);
        for row in (0..block.rows).filter(|_| !are_known) {
            self.enter_bucket(row);
            let at = self.places[row];
            if self.groups[at] == UNKNOWN {
                self.spell_key(&block, row);
                self.groups[at] = tally.place(&self.key)?;
            }
            self.places[row] = self.groups[at];
        }
        if are_known {
            let groups = &self.groups;
            self.places.iter_mut().for_each(|place| *place = groups[*place]);
        }
        tally.count(&self.places);
        for field in 0..self.of.len() {
            self.add_field(field, &block, tally);
        }
        Ok(true)
    }

    /// Adds what waits.
    pub(super) fn settle(&mut self, tally: &mut Tally) {
        self.batch.settle(tally);
    }

    /// Adds the values of one field.
    fn add_field(&mut self, field: usize, block: &TypedBlock<'_>, tally: &mut Tally) {
        let own = &block.columns[self.of[field]];
        let Some((column, kinds)) = own.column.zip(kinds_of(&self.kinds, own)) else { return };
        if is_all(&own.codes, |code| matches!(kinds[code as usize], Kind::Number))
            && own.numbers.iter().fold(true, |all, number| all & number.is_finite())
        {
            return self.batch.extend(field, &self.places, &own.numbers, tally);
        }
        let values = self.places.iter().zip(&own.codes).zip(&own.numbers);
        for ((place, code), number) in values {
            let other = match kinds[*code as usize] {
                Kind::Number if number.is_finite() => {
                    self.batch.push(field, *place, *number, tally);
                    continue;
                }
                Kind::Double(value) => {
                    self.batch.push(field, *place, value, tally);
                    continue;
                }
                Kind::Number => Cell::of(Token::F64(*number)),
                Kind::Single => scalar(block, column, *code).unwrap_or(Cell::Other),
                // The latter were looked for before.
                Kind::Missing | Kind::Nested => continue,
            };
            tally.at(*place).fields[field].add(&other, &mut self.term);
        }
    }

    /// Learns what the codes of the block's columns stand for.
    fn learn(&mut self, block: &TypedBlock<'_>) {
        for column in block.columns.iter().filter_map(|column| column.column) {
            if self.kinds.len() <= column as usize {
                self.kinds.resize(column as usize + 1, Vec::new());
            }
            let kinds = &mut self.kinds[column as usize];
            let new = kinds.len() as u32..block.codes_end(column) as u32;
            kinds.extend(new.map(|code| Kind::of(block, column, code)));
        }
    }

    /// Whether all values that make groups have codes, all codes but those of numbers stand for single values, and there are few combinations.
    fn is_simple(&self, block: &TypedBlock<'_>) -> bool {
        let all_are = |column: &TypedColumn, is: fn(&Kind) -> bool| {
            let Some(kinds) = kinds_of(&self.kinds, column) else { return true };
            is_all(&column.codes, |code| kinds.get(code as usize).is_some_and(is))
        };
        let combinations =
            self.by.iter().filter_map(|key| block.columns[*key].column).try_fold(1usize, |count, column| {
                count.checked_mul(block.codes_end(column)).filter(|count| *count <= COMBINATIONS_MAX)
            });
        combinations.is_some()
            && self
                .by
                .iter()
                .all(|key| all_are(&block.columns[*key], |kind| !matches!(kind, Kind::Nested | Kind::Number)))
            && self.of.iter().all(|key| all_are(&block.columns[*key], |kind| !matches!(kind, Kind::Nested)))
    }

    /// Reads the times of the records, if they are in several buckets; otherwise goes to the one of all. `false` if they can't be
    /// read.
    fn read_times(&mut self, block: &TypedBlock<'_>) -> bool {
        self.times.clear();
        let Some(every) = self.every else { return true };
        let (first, last) = (bucket(block.times.0, every), bucket(block.times.1, every));
        if first == last {
            self.go_to_bucket(first);
            return true;
        }
        block.all_times(&mut self.times).is_some()
    }

    /// Goes to the bucket of a record, if not all records of the block are in one.
    #[inline]
    fn enter_bucket(&mut self, row: usize) {
        if let (Some(every), Some(time)) = (self.every, self.times.get(row)) {
            self.go_to_bucket(bucket(*time, every));
        }
    }

    fn go_to_bucket(&mut self, bucket: i64) {
        if bucket != self.bucket {
            self.bucket = bucket;
            self.groups.fill(UNKNOWN);
        }
    }

    /// Makes room for the groups of all combinations, and forgets those that have other numbers than in the block before.
    fn make_room(&mut self, block: &TypedBlock<'_>) {
        let columns = || self.by.iter().filter_map(|key| block.columns[*key].column);
        let ends = || columns().map(|column| (column, block.codes_end(column)));
        if self.columns.iter().copied().eq(ends()) && !self.groups.is_empty() {
            return;
        }
        // The numbers of one column alone stay as they are.
        let is_same = self.columns.iter().map(|(column, _)| *column).eq(columns()) && self.columns.len() <= 1;
        let count = ends().map(|(_, end)| end).product();
        let columns = ends().collect();
        if !is_same {
            self.groups.clear();
        }
        self.groups.resize(count, UNKNOWN);
        self.columns = columns;
    }

    /// Numbers the combination of literals that each record has.
    fn find_combinations(&mut self, block: &TypedBlock<'_>) {
        self.places.clear();
        self.places.resize(block.rows, 0);
        for own in self.by.iter().map(|key| &block.columns[*key]) {
            let Some(column) = own.column else { continue };
            let end = block.codes_end(column);
            self.places.iter_mut().zip(&own.codes).for_each(|(place, code)| *place = *place * end + *code as usize);
        }
    }

    fn spell_key(&mut self, block: &TypedBlock<'_>, row: usize) {
        let Self { by, key: spelled, term, .. } = self;
        spelled.clear();
        if self.every.is_some() {
            put_bucket(self.bucket, spelled);
        }
        for own in by.iter().map(|key| &block.columns[*key]) {
            let cell = own.column.and_then(|column| scalar(block, column, own.codes[row]));
            match cell {
                Some(cell) if cell.term(term) => put_term(term, spelled),
                Some(_) => put_term(TERM_OTHER, spelled),
                None => put_term(TERM_MISSING, spelled),
            }
        }
    }
}

impl Kind {
    fn of(block: &TypedBlock<'_>, column: u32, code: u32) -> Self {
        if code == CODE_MISSING {
            return Self::Missing;
        }
        match (block.value(column, code), scalar(block, column, code)) {
            (None, _) => Self::Number,
            (_, None) => Self::Nested,
            (_, Some(Cell::Number(number))) => {
                number.as_f64().filter(|value| value.is_finite()).map_or(Self::Single, Self::Double)
            }
            (_, Some(_)) => Self::Single,
        }
    }
}

/// What the codes of a column stand for, if the records have it.
fn kinds_of<'k>(kinds: &'k [Vec<Kind>], column: &TypedColumn) -> Option<&'k [Kind]> {
    kinds.get(column.column? as usize).map(Vec::as_slice)
}

/// Whether that is so of all codes; in most columns of numbers they are one.
fn is_all(codes: &[u32], mut is: impl FnMut(u32) -> bool) -> bool {
    let Some(first) = codes.first() else { return true };
    let are_one = codes.iter().fold(true, |are_one, code| are_one & (code == first));
    if are_one { is(*first) } else { codes.iter().all(|code| is(*code)) }
}

/// The first moment of the bucket of a time.
fn bucket(time: i64, every: i64) -> i64 {
    time.div_euclid(every).saturating_mul(every)
}

/// The value of a literal, if it is neither an array nor an object.
fn scalar<'b>(block: &'b TypedBlock<'_>, column: u32, code: u32) -> Option<Cell<'b>> {
    let mut reader = Reader::new(block.value(column, code)?);
    let token = reader.token().ok().filter(|token| !matches!(token, Token::Array(_) | Token::Map(_)))?;
    reader.finish().ok()?;
    Some(Cell::of(token))
}
