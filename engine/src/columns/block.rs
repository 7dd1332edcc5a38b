//! A block of columns, opened: where each column's codes and each slot's numbers stand.

use super::dictionary::{Dictionary, ROOT, TIME_SLOT};
use super::entry::{Entry, Holds};
use super::ints::{Ints, decode_codes};
use super::{FLAG_META, ITEMS_MAX, slots_of};
use crate::fields::Fields;
use std::ops::Range;

/// The cells of a column in a block.
#[derive(Debug, Clone, Default)]
pub(super) struct Cells {
    pub(super) count: usize,
    pub(super) codes: Ints,
    /// Where the raw ones stand in the data.
    pub(super) raw: Range<usize>,
}

/// What a slot holds in a block.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    pub(super) ints: Ints,
    /// Of bytes: where they stand, and whether in the packed part.
    pub(super) bytes: Range<usize>,
    pub(super) is_packed: bool,
}

/// A block that was opened. Its memory is kept from block to block.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// The part that was compressed.
    pub(super) plain: Vec<u8>,
    /// The part of packed bits.
    pub(super) packed: Vec<u8>,
    pub(super) data_at: usize,
    pub(super) rows: usize,
    pub(super) times: Ints,
    /// Kind, flags and the end of the key of each record, if they have them.
    pub(super) meta: Vec<(u8, u8, usize)>,
    pub(super) cells: Vec<Cells>,
    pub(super) slots: Vec<Held>,
    pub(super) reading: super::read::Reading,
}

/// Puts the plain bytes of the first into the second, which is empty.
pub(crate) type Decompress<'f> = dyn FnMut(&[u8], &mut Vec<u8>) -> Option<()> + 'f;

/// What is wrong with a block.
pub(super) const CUT: &str = "the block's columns are shorter than they tell";

impl Block {
    /// Opens the block with this payload and `rows` records, of which `decompress` gives the compressed part, with so many
    /// bytes when it is plain.
    ///
    /// # Errors
    /// What is wrong with the payload; the block has no records then.
    pub(crate) fn open(
        &mut self,
        dictionary: &Dictionary,
        payload: &[u8],
        rows: u32,
        decompress: &mut Decompress<'_>,
    ) -> Result<(), &'static str> {
        self.open_until(dictionary, payload, rows, u32::MAX, decompress)?;
        self.reading.begin(dictionary);
        Ok(())
    }

    /// As [`Block::open`], with no more than the first `columns` columns, for who reads them as a whole: the others aren't looked at, and
    /// no record is to be read.
    ///
    /// # Errors
    /// As [`Block::open`].
    pub(crate) fn open_until(
        &mut self,
        dictionary: &Dictionary,
        payload: &[u8],
        rows: u32,
        columns: u32,
        decompress: &mut Decompress<'_>,
    ) -> Result<(), &'static str> {
        self.rows = 0;
        if rows as usize > ITEMS_MAX {
            return Err("the block has more records than any block may");
        }
        let mut fields = Fields(payload);
        let flags = fields.u8().ok_or(CUT)?;
        let len = fields.varint().and_then(|len| usize::try_from(len).ok()).ok_or(CUT)?;
        let stored = fields.take(len).ok_or(CUT)?;
        self.packed.clear();
        self.packed.extend_from_slice(fields.0);
        self.plain.clear();
        match flags {
            0 => self.plain.extend_from_slice(stored),
            1 => decompress(stored, &mut self.plain).ok_or("the block doesn't decompress")?,
            _ => return Err("the block has flags that this version doesn't know"),
        }
        let plain = std::mem::take(&mut self.plain);
        let parsed = self.parse(dictionary, &plain, rows as usize, columns as usize);
        self.plain = plain;
        parsed?;
        self.rows = rows as usize;
        Ok(())
    }

    /// Bytes of memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let bytes = self.plain.capacity() + self.packed.capacity();
        let meta = self.meta.capacity() * size_of::<(u8, u8, usize)>();
        let parts = self.cells.capacity() * size_of::<Cells>() + self.slots.capacity() * size_of::<Held>();
        bytes + meta + parts + self.reading.memory_bytes()
    }

    fn parse(
        &mut self,
        dictionary: &Dictionary,
        plain: &[u8],
        rows: usize,
        columns: usize,
    ) -> Result<(), &'static str> {
        let mut fields = Fields(plain);
        let heads_len = fields.varint().and_then(|len| usize::try_from(len).ok()).ok_or(CUT)?;
        let mut heads = Fields(fields.take(heads_len).ok_or(CUT)?);
        self.data_at = plain.len() - fields.0.len();
        let (mut data_at, mut packed_at) = (self.data_at, 0);
        self.meta.clear();
        let flags = heads.u8().ok_or(CUT)?;
        if flags & !FLAG_META != 0 {
            return Err("the block's columns have flags that this version doesn't know");
        }
        if flags & FLAG_META != 0 {
            for _ in 0..rows {
                let (kind, flags) = (heads.u8().ok_or(CUT)?, heads.u8().ok_or(CUT)?);
                let len = heads.varint().filter(|len| *len <= plain.len() as u64).ok_or(CUT)?;
                data_at += len as usize;
                self.meta.push((kind, flags, data_at));
            }
        }
        self.times = Ints::decode(&mut heads, rows, &mut data_at, &mut packed_at).ok_or(CUT)?;
        self.columns(dictionary, plain, &mut heads, (rows, columns), (&mut data_at, &mut packed_at))?;
        let is_cut = columns < dictionary.columns.len();
        match is_cut || heads.is_empty() && data_at == plain.len() && packed_at == self.packed.len() {
            true => Ok(()),
            false => Err("the block's columns have another length than they tell"),
        }
    }

    fn columns(
        &mut self,
        dictionary: &Dictionary,
        plain: &[u8],
        heads: &mut Fields<'_>,
        (rows, columns): (usize, usize),
        (data_at, packed_at): (&mut usize, &mut usize),
    ) -> Result<(), &'static str> {
        // What a block doesn't use is never looked at; only the counts have to begin at 0.
        self.cells.resize_with(dictionary.columns.len(), Cells::default);
        self.cells.iter_mut().for_each(|cells| cells.count = 0);
        self.slots.resize_with(dictionary.slots.len(), Held::default);
        self.slots[TIME_SLOT as usize].ints = self.times;
        self.cells[ROOT as usize].count = rows;
        let (mut items, mut counts, mut numbers) = (rows, Vec::<u32>::new(), Vec::new());
        for (id, column) in dictionary.columns.iter().enumerate().take(columns) {
            let count = self.cells[id].count;
            if count == 0 {
                continue;
            }
            let codes = decode_codes(heads, count, data_at, packed_at).ok_or(CUT)?;
            self.cells[id].codes = codes;
            counts.clear();
            counts.resize(column.active as usize + 1, 0);
            codes.count(count, plain, &self.packed, &mut counts).ok_or(CUT)?;
            if counts[0] > 0 {
                let raw = take(heads, data_at)?;
                self.cells[id].raw = raw;
            }
            for (entry, &count) in column.entries.iter().zip(&counts[1..]).filter(|(_, count)| **count > 0) {
                let count = count as usize;
                if let Entry::Shape(parts) = entry {
                    // Checked below before anything is made of it.
                    items += parts.len() * count;
                    for (_, child) in parts {
                        self.cells[*child as usize].count += count;
                    }
                }
                for slot in slots_of(entry) {
                    if dictionary.slots[slot as usize].holds == Holds::Items {
                        continue;
                    }
                    items += count;
                    let held =
                        held(dictionary.slots[slot as usize].holds, heads, count, (&mut *data_at, &mut *packed_at))?;
                    self.slots[slot as usize] = held;
                }
                if let Entry::Map { count: slot, keys, known } = entry {
                    let pairs = self.sum(*slot, plain).ok_or("a map has more pairs than it may")?;
                    items += 2 * pairs;
                    let held = held(Holds::Number, heads, pairs, (&mut *data_at, &mut *packed_at))?;
                    held.ints.all(plain, &self.packed, &mut numbers).ok_or(CUT)?;
                    for number in &numbers {
                        let child = usize::try_from(*number).ok().and_then(|number| known.get(number));
                        let (_, child) = child.ok_or("a map has a key that the dictionary doesn't know")?;
                        self.cells[*child as usize].count += 1;
                    }
                    self.slots[*keys as usize] = held;
                }
                if let Entry::Lines { count: slot, column } = entry {
                    let lines = self.sum(*slot, plain).ok_or("a text has more lines than it may")?;
                    items += lines;
                    self.cells[*column as usize].count += lines;
                }
                if items > ITEMS_MAX {
                    return Err("the block has more cells than any block may");
                }
            }
        }
        Ok(())
    }

    /// The sum of the numbers of a slot, of which each is 1 at least.
    fn sum(&self, slot: u32, plain: &[u8]) -> Option<usize> {
        let mut numbers = Vec::new();
        self.slots[slot as usize].ints.all(plain, &self.packed, &mut numbers)?;
        let mut sum = 0usize;
        for number in numbers {
            let number = usize::try_from(number).ok()?;
            sum = sum.checked_add(number).filter(|sum| number > 0 && *sum <= ITEMS_MAX)?;
        }
        Some(sum)
    }
}

/// The next length that `heads` tells of, as a range of the data.
fn take(heads: &mut Fields<'_>, data_at: &mut usize) -> Result<Range<usize>, &'static str> {
    let len = heads.varint().and_then(|len| usize::try_from(len).ok()).ok_or(CUT)?;
    let from = *data_at;
    *data_at = from.checked_add(len).ok_or(CUT)?;
    Ok(from..*data_at)
}

fn held(
    holds: Holds,
    heads: &mut Fields<'_>,
    count: usize,
    (data_at, packed_at): (&mut usize, &mut usize),
) -> Result<Held, &'static str> {
    let mut held = Held::default();
    match holds {
        Holds::Number | Holds::Count | Holds::Items => {
            held.ints = Ints::decode(heads, count, data_at, packed_at).ok_or(CUT)?
        }
        Holds::Fixed(bytes) => {
            let len = bytes.checked_mul(count).ok_or(CUT)?;
            held.is_packed = match heads.u8() {
                Some(0) => false,
                Some(1) => true,
                _ => return Err("the block's columns have flags that this version doesn't know"),
            };
            let at = if held.is_packed { packed_at } else { data_at };
            held.bytes = *at..at.checked_add(len).ok_or(CUT)?;
            *at = held.bytes.end;
        }
        Holds::Any => held.bytes = take(heads, data_at)?,
    }
    Ok(held)
}
