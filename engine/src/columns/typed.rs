//! The values of some of a record's own keys in all records of a block, as they are stored: without making records of them.

use super::block::{Block, CUT, Cells};
use super::dictionary::{Dictionary, ROOT};
use super::entry::{Entry, Span};
use super::interned::{Interned, slot_of};
use super::keys::{map_head, unscaled};
use crate::msgpack::{Reader, Token};

/// The code of a record that doesn't have the key. In a block it is that of raw cells, which are none of those here.
pub(crate) const CODE_MISSING: u32 = 0;

/// Integers up to this are doubles without loss.
const INT_MAX: u64 = 1 << 53;

/// The values of a key in the records of a block.
#[derive(Debug, Default)]
pub(crate) struct TypedColumn {
    /// The column that they are in; `None` if no record has the key.
    pub(crate) column: Option<u32>,
    /// For each record, [`CODE_MISSING`]; or the code of a value, which is what [`TypedMemory::value`] has; or that of a number.
    pub(crate) codes: Vec<u32>,
    /// For each record, the number, if it has one. It is not finite where the double in the record isn't.
    pub(crate) numbers: Vec<f64>,
}

/// Which columns named keys are in, by one dictionary.
#[derive(Debug)]
pub(crate) struct TypedPlan {
    /// For each entry of whole records, the column of each key, if it has that; `None` where that isn't as simple.
    entries: Vec<Option<Vec<Option<u32>>>>,
    /// How many columns there are up to the last of these.
    columns: u32,
}

/// Memory for reading columns of blocks with one dictionary, and the texts that were come to.
#[derive(Debug, Default)]
pub(crate) struct TypedMemory {
    /// The code of each record as a whole.
    roots: Vec<i64>,
    codes: Vec<i64>,
    ints: Vec<i64>,
    subset: Subset,
    /// Of each column.
    texts: Vec<Interned>,
}

/// Some of the cells of a column: where they are, their codes and their numbers.
#[derive(Debug, Default)]
struct Subset {
    places: Vec<usize>,
    codes: Vec<u32>,
    numbers: Vec<f64>,
}

impl Subset {
    /// Finds the cells with codes up to `last`. Returns the code that all of these have, if it is one.
    fn find(&mut self, codes: &[u32], last: u32) -> Option<u32> {
        self.places.clear();
        self.places.resize(codes.len(), 0);
        let mut count = 0;
        for (place, code) in codes.iter().enumerate() {
            // So nothing has to be decided: what doesn't belong here is written over.
            self.places[count] = place;
            count += usize::from(*code <= last);
        }
        self.places.truncate(count);
        let first = codes[*self.places.first()?];
        self.places.iter().all(|place| codes[*place] == first).then_some(first)
    }
}

impl TypedMemory {
    /// The bytes of the value that `code` stands for in a column, if it is one value.
    pub(crate) fn value<'m>(&'m self, dictionary: &'m Dictionary, column: u32, code: u32) -> Option<&'m [u8]> {
        let Some(at) = (code as usize).checked_sub(dictionary.codes_end(column)) else {
            return dictionary.literal(column, code);
        };
        self.texts.get(column as usize)?.value(at)
    }

    /// The first number above all codes of a column.
    pub(crate) fn codes_end(&self, dictionary: &Dictionary, column: u32) -> usize {
        dictionary.codes_end(column) + self.texts.get(column as usize).map_or(0, Interned::len)
    }

    fn texts(&mut self, column: u32) -> &mut Interned {
        if self.texts.len() <= column as usize {
            self.texts.resize_with(column as usize + 1, Interned::default);
        }
        &mut self.texts[column as usize]
    }
}

impl TypedPlan {
    /// Where `keys` are, none of which is there twice.
    pub(crate) fn new(dictionary: &Dictionary, keys: &[String]) -> Self {
        let columns = |entry: &Entry| match entry {
            Entry::Shape(parts) => columns_of(dictionary, parts, keys),
            _ => None,
        };
        let entries: Vec<_> = dictionary.columns[ROOT as usize].entries.iter().map(columns).collect();
        let last = entries.iter().flatten().flatten().copied().flatten().max();
        Self { entries, columns: last.unwrap_or(ROOT) + 1 }
    }

    /// How many columns of a block have to be looked at.
    pub(crate) fn columns(&self) -> u32 {
        self.columns
    }

    /// The columns of the keys in records with this code.
    fn columns_of(&self, code: i64) -> Option<&[Option<u32>]> {
        self.entries.get(usize::try_from(code).ok()?.checked_sub(1)?)?.as_deref()
    }
}

/// The places of each code up to `last`, in order: where those of each end, and all of them. Of the codes none is 0.
fn by_code(codes: &[u32], last: u32) -> (Vec<usize>, Vec<usize>) {
    // Those above have one place together, so that nothing has to be decided.
    let slot = |code: u32| code.min(last + 1) as usize;
    let (mut ends, mut places) = (vec![0; last as usize + 2], vec![0; codes.len()]);
    codes.iter().for_each(|code| ends[slot(*code)] += 1);
    let mut begin = 0;
    for end in &mut ends {
        (*end, begin) = (begin, begin + *end);
    }
    for (place, code) in codes.iter().enumerate() {
        let end = &mut ends[slot(*code)];
        places[*end] = place;
        *end += 1;
    }
    (ends, places)
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
    fn literal(&self, column: u32, code: u32) -> Option<&[u8]> {
        match self.columns.get(column as usize)?.entry(code)? {
            Entry::Literal(span) => Some(self.span(*span)),
            _ => None,
        }
    }

    /// The first number above all codes of `column`.
    fn codes_end(&self, column: u32) -> usize {
        self.columns.get(column as usize).map_or(0, |column| column.entries.len() + 1)
    }
}

impl Block {
    /// Puts what the records have of the plan's keys into `columns`, which has one for each. `None` if there is more to the records,
    /// or if some of these values are stored otherwise.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(crate) fn typed(
        &self,
        dictionary: &Dictionary,
        plan: &TypedPlan,
        memory: &mut TypedMemory,
        columns: &mut [TypedColumn],
    ) -> Result<Option<()>, &'static str> {
        if !self.meta.is_empty() {
            return Ok(None);
        }
        let roots = self.cells[ROOT as usize].codes;
        memory.roots.clear();
        match roots.constant() {
            Some(code) => memory.roots.push(code),
            None => roots.all(&self.plain, &self.packed, &mut memory.roots).ok_or(CUT)?,
        }
        let roots = std::mem::take(&mut memory.roots);
        let mut outcome = Ok(Some(()));
        for (key, column) in columns.iter_mut().enumerate() {
            outcome = self.typed_key(dictionary, (plan, key), &roots, memory, column);
            if !matches!(outcome, Ok(Some(()))) {
                break;
            }
        }
        memory.roots = roots;
        outcome
    }

    /// The times of all records.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(crate) fn all_times(&self, times: &mut Vec<i64>) -> Result<(), &'static str> {
        self.times.all(&self.plain, &self.packed, times).ok_or(CUT)
    }

    /// As [`Block::typed`], of one key. `roots` are the codes of the records, or the one that all have.
    fn typed_key(
        &self,
        dictionary: &Dictionary,
        (plan, key): (&TypedPlan, usize),
        roots: &[i64],
        memory: &mut TypedMemory,
        out: &mut TypedColumn,
    ) -> Result<Option<()>, &'static str> {
        out.column = None;
        let mut missing = 0;
        for root in roots {
            match plan.columns_of(*root).map(|columns| columns[key]) {
                None => return Ok(None),
                Some(None) => missing += 1,
                Some(column) if out.column.is_none() => out.column = column,
                Some(column) if out.column == column => {}
                Some(_) => return Ok(None),
            }
        }
        out.codes.clear();
        out.numbers.clear();
        out.codes.resize(self.rows, CODE_MISSING);
        out.numbers.resize(self.rows, 0.0);
        let Some(column) = out.column else { return Ok(Some(())) };
        let cells = &self.cells[column as usize];
        if cells.count != self.rows - missing {
            return Ok(None);
        }
        if missing == 0 {
            return self.typed_column(dictionary, column, memory, &mut out.codes, &mut out.numbers);
        }
        let (mut codes, mut numbers) = (vec![CODE_MISSING; cells.count], vec![0.0; cells.count]);
        if self.typed_column(dictionary, column, memory, &mut codes, &mut numbers)?.is_none() {
            return Ok(None);
        }
        let mut next = 0;
        for (row, root) in roots.iter().enumerate() {
            if plan.columns_of(*root).is_some_and(|columns| columns[key].is_some()) {
                (out.codes[row], out.numbers[row]) = (codes[next], numbers[next]);
                next += 1;
            }
        }
        Ok(Some(()))
    }

    /// Puts the code of each cell of `column` into `codes`, and its number into `numbers`, if it has one; `None` if some are of
    /// other kinds. There is room for so many as there are.
    fn typed_column(
        &self,
        dictionary: &Dictionary,
        column: u32,
        memory: &mut TypedMemory,
        codes: &mut [u32],
        numbers: &mut [f64],
    ) -> Result<Option<()>, &'static str> {
        let (own, held) = (&dictionary.columns[column as usize], &self.cells[column as usize]);
        if let Some(code) = held.codes.constant() {
            let Some(code) = u32::try_from(code).ok().filter(|code| own.entry(*code).is_some()) else {
                return Ok(None);
            };
            codes.fill(code);
            return match code > own.active {
                true => Ok(Some(())),
                false => self.typed_cells(dictionary, (column, code), memory, codes, numbers),
            };
        }
        let (least, most) = self.codes_of(held, &mut memory.codes, codes).ok_or(CUT)?;
        if least < 1 || most > own.entries.len() as i64 {
            return Ok(None);
        }
        let mut subset = std::mem::take(&mut memory.subset);
        let outcome = self.typed_others(dictionary, (column, own.active), memory, &mut subset, (codes, numbers));
        memory.subset = subset;
        outcome
    }

    /// As [`Block::typed_column`], of the cells that have codes up to `active` and are no literals. Their codes are in `codes`.
    fn typed_others(
        &self,
        dictionary: &Dictionary,
        (column, active): (u32, u32),
        memory: &mut TypedMemory,
        subset: &mut Subset,
        (codes, numbers): (&mut [u32], &mut [f64]),
    ) -> Result<Option<()>, &'static str> {
        if let Some(code) = subset.find(codes, active) {
            return self.typed_subset(dictionary, (column, code), memory, subset, (codes, numbers));
        }
        if subset.places.is_empty() {
            return Ok(Some(()));
        }
        let (ends, places) = by_code(codes, active);
        for code in 1..=active {
            subset.places.clear();
            subset.places.extend_from_slice(&places[ends[code as usize - 1]..ends[code as usize]]);
            let is_there = !subset.places.is_empty();
            if is_there && self.typed_subset(dictionary, (column, code), memory, subset, (codes, numbers))?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// As [`Block::typed_column`], of the cells of the subset, which are all that have this code.
    fn typed_subset(
        &self,
        dictionary: &Dictionary,
        (column, code): (u32, u32),
        memory: &mut TypedMemory,
        subset: &mut Subset,
        (codes, numbers): (&mut [u32], &mut [f64]),
    ) -> Result<Option<()>, &'static str> {
        let Subset { places, codes: own_codes, numbers: own_numbers } = subset;
        own_codes.clear();
        own_codes.resize(places.len(), code);
        own_numbers.clear();
        own_numbers.resize(places.len(), 0.0);
        if self.typed_cells(dictionary, (column, code), memory, own_codes, own_numbers)?.is_none() {
            return Ok(None);
        }
        for (place, (code, number)) in places.iter().zip(own_codes.iter().zip(own_numbers)) {
            (codes[*place], numbers[*place]) = (*code, *number);
        }
        Ok(Some(()))
    }

    /// Puts the codes of a column's cells into `out`, which has room for so many as there are. Returns the least and the greatest.
    fn codes_of(&self, cells: &Cells, memory: &mut Vec<i64>, out: &mut [u32]) -> Option<(i64, i64)> {
        if let Some((bytes, [])) = cells.codes.bytes(out.len(), &self.plain) {
            out.iter_mut().zip(bytes).for_each(|(code, byte)| *code = u32::from(*byte));
            let ends = |(least, most): (u8, u8), byte: &u8| (least.min(*byte), most.max(*byte));
            let (least, most) = bytes.iter().fold((u8::MAX, 0), ends);
            return Some((least.into(), most.into()));
        }
        cells.codes.all(&self.plain, &self.packed, memory)?;
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for (code, stored) in out.iter_mut().zip(memory) {
            (least, most) = (least.min(*stored), most.max(*stored));
            *code = *stored as u32;
        }
        Some((least, most))
    }

    /// Puts what is in the cells of `column` with one code into `codes` or `numbers`, which have room for so many as there are;
    /// `None` if that isn't as simple.
    fn typed_cells(
        &self,
        dictionary: &Dictionary,
        (column, code): (u32, u32),
        memory: &mut TypedMemory,
        codes: &mut [u32],
        numbers: &mut [f64],
    ) -> Result<Option<()>, &'static str> {
        let entry = dictionary.columns[column as usize].entry(code);
        let Some(slot) = entry.and_then(|entry| if let Entry::Text(parts) = entry { slot_of(parts) } else { None })
        else {
            return self.typed_numbers(dictionary, entry, &mut memory.ints, numbers);
        };
        let mut ints = std::mem::take(&mut memory.ints);
        let are_here = self.typed_ints(dictionary, slot, codes.len(), &mut ints);
        let first = dictionary.codes_end(column) as u32;
        let texts = memory.texts(column);
        let found = entry.and_then(|entry| texts.codes(dictionary, (code, entry), &ints, first, codes));
        memory.ints = ints;
        are_here.map(|are_here| found.filter(|()| are_here))
    }

    /// Puts the `count` numbers of a slot into `ints`; `false` if they are told by other numbers of the records.
    fn typed_ints(
        &self,
        dictionary: &Dictionary,
        slot: u32,
        count: usize,
        ints: &mut Vec<i64>,
    ) -> Result<bool, &'static str> {
        ints.clear();
        if dictionary.slots[slot as usize].reference.is_some() {
            return Ok(false);
        }
        self.slots[slot as usize].ints.all(&self.plain, &self.packed, ints).ok_or(CUT)?;
        if ints.len() == count { Ok(true) } else { Err(CUT) }
    }

    /// Puts the numbers of an entry's cells into `out`, which has room for so many as there are; `None` if they are told by other
    /// numbers of the records, or larger than doubles hold.
    fn typed_numbers(
        &self,
        dictionary: &Dictionary,
        entry: Option<&Entry>,
        ints: &mut Vec<i64>,
        out: &mut [f64],
    ) -> Result<Option<()>, &'static str> {
        match entry {
            Some(Entry::Int(slot)) if self.typed_ints(dictionary, *slot, out.len(), ints)? => {
                if ints.iter().any(|int| int.unsigned_abs() > INT_MAX) {
                    return Ok(None);
                }
                out.iter_mut().zip(ints).for_each(|(out, int)| *out = *int as f64);
            }
            Some(Entry::Decimal { scale, slot }) if self.typed_ints(dictionary, *slot, out.len(), ints)? => {
                out.iter_mut().zip(ints).for_each(|(out, int)| *out = unscaled(*int, *scale));
            }
            Some(Entry::Float(slot)) => {
                let held = &self.slots[*slot as usize];
                let part = if held.is_packed { &self.packed } else { &self.plain };
                let bytes = part.get(held.bytes.clone()).ok_or(CUT)?.as_chunks().0;
                if bytes.len() != out.len() {
                    return Err(CUT);
                }
                out.iter_mut().zip(bytes).for_each(|(out, bytes)| *out = f64::from_be_bytes(*bytes));
            }
            _ => return Ok(None),
        }
        Ok(Some(()))
    }
}
