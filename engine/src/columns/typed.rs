//! The values of some of a record's own keys in all records of a block, as they are stored: without making records of them.

use super::block::{Block, CUT};
use super::dictionary::{Dictionary, ROOT};
use super::entry::{Entry, Span};
use super::keys::{map_head, unscaled};
use crate::msgpack::{Reader, Token};

/// A value, as a column has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum TypedCell {
    /// A literal: what [`Dictionary::literal`] has under this code.
    Literal(u32),
    Int(i64),
    Float(f64),
}

/// Which columns named keys are in, by one dictionary.
#[derive(Debug)]
pub(crate) struct TypedPlan {
    /// For each entry of whole records, the column of each key, if it has that; `None` where that isn't as simple.
    entries: Vec<Option<Vec<Option<u32>>>>,
}

impl TypedPlan {
    /// Where `keys` are, none of which is there twice.
    pub(crate) fn new(dictionary: &Dictionary, keys: &[String]) -> Self {
        let entries = &dictionary.columns[ROOT as usize].entries;
        let columns = |entry: &Entry| match entry {
            Entry::Shape(parts) => columns_of(dictionary, parts, keys),
            _ => None,
        };
        Self { entries: entries.iter().map(columns).collect() }
    }
}

/// The columns of `keys` in a shape; `None` if it is no map, or has one of them twice.
fn columns_of(dictionary: &Dictionary, parts: &[(Span, u32)], keys: &[String]) -> Option<Vec<Option<u32>>> {
    let mut columns = vec![None; keys.len()];
    for (n, (span, column)) in parts.iter().enumerate() {
        let mut bytes = dictionary.span(*span);
        if n == 0 {
            // Before the first key stands the map's head, too.
            let (_, head_len) = map_head(bytes).filter(|(count, _)| *count == parts.len())?;
            bytes = &bytes[head_len..];
        }
        let mut reader = Reader::new(bytes);
        let Ok(Token::Str(own)) = reader.token() else { return None };
        reader.finish().ok()?;
        if let Some(at) = keys.iter().position(|key| key == own)
            && columns[at].replace(*column).is_some()
        {
            return None;
        }
    }
    Some(columns)
}

impl Dictionary {
    /// The bytes of a literal of `column`: one value.
    pub(crate) fn literal(&self, column: u32, code: u32) -> Option<&[u8]> {
        match self.columns.get(column as usize)?.entry(code)? {
            Entry::Literal(span) => Some(self.span(*span)),
            _ => None,
        }
    }

    /// The first number above all codes of `column`.
    pub(crate) fn codes_end(&self, column: u32) -> usize {
        self.columns.get(column as usize).map_or(0, |column| column.entries.len() + 1)
    }
}

impl Block {
    /// The column of each of the plan's keys, if the records have it, and into `cells` the value that each record has there.
    /// `None` if there is more to the records, or if some of these values are stored otherwise.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(crate) fn typed<'p>(
        &self,
        dictionary: &Dictionary,
        plan: &'p TypedPlan,
        cells: &mut [Vec<TypedCell>],
    ) -> Result<Option<&'p [Option<u32>]>, &'static str> {
        let code = self.cells[ROOT as usize].codes.constant().and_then(|code| usize::try_from(code).ok());
        let entry = code.and_then(|code| plan.entries.get(code.checked_sub(1)?)?.as_deref());
        let Some(columns) = entry.filter(|_| self.meta.is_empty()) else { return Ok(None) };
        for (column, cells) in columns.iter().zip(cells) {
            cells.clear();
            if let Some(column) = column
                && !self.typed_column(dictionary, *column, cells)?
            {
                return Ok(None);
            }
        }
        Ok(Some(columns))
    }

    /// The times of all records.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(crate) fn all_times(&self, times: &mut Vec<i64>) -> Result<(), &'static str> {
        self.times.all(&self.plain, &self.packed, times).ok_or(CUT)
    }

    /// Puts the cells of `column`, one for each record, into `out`; `false` if some are of other kinds.
    fn typed_column(
        &self,
        dictionary: &Dictionary,
        column: u32,
        out: &mut Vec<TypedCell>,
    ) -> Result<bool, &'static str> {
        let (own, held) = (&dictionary.columns[column as usize], &self.cells[column as usize]);
        if held.count != self.rows {
            return Ok(false);
        }
        let mut codes = Vec::new();
        held.codes.all(&self.plain, &self.packed, &mut codes).ok_or(CUT)?;
        let mut taken: Vec<Taken> = vec![Taken::default(); own.active as usize + 1];
        for code in codes {
            let Some(entry) = u32::try_from(code).ok().and_then(|code| own.entry(code)) else { return Ok(false) };
            let taken = taken.get_mut(code as usize);
            let cell = match entry {
                Entry::Literal(_) => Some(TypedCell::Literal(code as u32)),
                Entry::Int(slot) => self.next_number(dictionary, *slot, taken)?.map(TypedCell::Int),
                Entry::Decimal { scale, slot } => {
                    self.next_number(dictionary, *slot, taken)?.map(|number| TypedCell::Float(unscaled(number, *scale)))
                }
                Entry::Float(slot) => Some(TypedCell::Float(self.next_double(*slot, taken)?)),
                _ => None,
            };
            match cell {
                Some(cell) => out.push(cell),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next number of a slot; `None` if it is told by another number of the record.
    fn next_number(
        &self,
        dictionary: &Dictionary,
        slot: u32,
        taken: Option<&mut Taken>,
    ) -> Result<Option<i64>, &'static str> {
        if dictionary.slots[slot as usize].reference.is_some() {
            return Ok(None);
        }
        let taken = taken.ok_or(CUT)?;
        if taken.count == 0 {
            self.slots[slot as usize].ints.all(&self.plain, &self.packed, &mut taken.numbers).ok_or(CUT)?;
        }
        let number = taken.numbers.get(taken.count).copied().ok_or(CUT)?;
        taken.count += 1;
        Ok(Some(number))
    }

    /// The next double of a slot that has their bytes.
    fn next_double(&self, slot: u32, taken: Option<&mut Taken>) -> Result<f64, &'static str> {
        let taken = taken.ok_or(CUT)?;
        let held = &self.slots[slot as usize];
        let part = if held.is_packed { &self.packed } else { &self.plain };
        let all = part.get(held.bytes.clone()).ok_or(CUT)?.as_chunks().0;
        let bytes = all.get(taken.count).copied().ok_or(CUT)?;
        taken.count += 1;
        Ok(f64::from_be_bytes(bytes))
    }
}

/// What was taken of an entry's numbers: how many, and all that there are.
#[derive(Debug, Clone, Default)]
struct Taken {
    count: usize,
    numbers: Vec<i64>,
}
