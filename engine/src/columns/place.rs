//! Where the cells of a row are, and what the slots hold for them.

use super::block::CUT;
use super::dictionary::{ROOT, TIME_SLOT};
use super::entry::{Entry, Span};
use super::ints::Ints;
use super::read::{Outcome, WRONG, Walk};
use crate::fields::Fields;

/// What is computed when it is asked for the second time: the first time, the one answer is cheaper.
#[derive(Debug)]
pub(super) struct Lazy<T> {
    /// The block that this is of.
    block: u64,
    pub(super) known: Vec<T>,
}

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self { block: 0, known: Vec::new() }
    }
}

impl<T> Lazy<T> {
    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.known.capacity() * size_of::<T>()
    }

    /// Whether all answers are to be computed now.
    pub(super) fn is_due(&mut self, block: u64) -> bool {
        if self.block != block {
            self.known.clear();
            self.block = block;
            return false;
        }
        self.known.is_empty()
    }
}

/// How many cells of a column before one of them have each of the codes that matter: raw, and those of entries that are no
/// literals.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    /// The block that this is of.
    block: u64,
    /// The cell that it is about.
    at: u32,
    counts: Vec<u32>,
}

impl Ranks {
    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.counts.capacity() * size_of::<u32>()
    }

    /// Goes on to the cell `to`, or back.
    fn go_to(
        &mut self,
        block: u64,
        to: u32,
        active: usize,
        codes: &Ints,
        (data, packed): (&[u8], &[u8]),
    ) -> Option<()> {
        /// Farther away, it is quicker to count again.
        const NEAR: u32 = 64;
        let code_at = |at: u32| codes.get(at as usize, data, packed).and_then(|code| usize::try_from(code).ok());
        if self.block == block && self.at.abs_diff(to) <= NEAR {
            for at in self.at..to {
                if let Some(count) = self.counts.get_mut(code_at(at)?) {
                    *count += 1;
                }
            }
            for at in to..self.at {
                if let Some(count) = self.counts.get_mut(code_at(at)?) {
                    *count -= 1;
                }
            }
        } else {
            self.counts.clear();
            self.counts.resize(active + 1, 0);
            codes.count(to as usize, data, packed, &mut self.counts)?;
            self.block = block;
        }
        self.at = to;
        Some(())
    }
}

pub(super) fn number_at(
    ints: &Ints,
    lazy: &mut Lazy<i64>,
    block: u64,
    index: usize,
    (data, packed): (&[u8], &[u8]),
) -> Result<i64, &'static str> {
    if lazy.is_due(block) {
        ints.all(data, packed, &mut lazy.known).ok_or(CUT)?;
    }
    match lazy.known.get(index) {
        Some(number) => Ok(*number),
        None => ints.get(index, data, packed).ok_or(CUT),
    }
}

impl<'b> Walk<'b> {
    /// The code at `position` of a column.
    pub(super) fn code(&self, column: u32, position: u32) -> Result<u32, &'static str> {
        let cells = &self.cells[column as usize];
        if position as usize >= cells.count {
            return Err(WRONG);
        }
        let code = cells.codes.get(position as usize, self.plain, self.packed).ok_or(CUT)?;
        u32::try_from(code).map_err(|_| WRONG)
    }

    /// How many cells before `position` have the code of the one there.
    pub(super) fn rank(&mut self, column: u32, position: u32, code: u32) -> Result<usize, &'static str> {
        let cells = &self.cells[column as usize];
        if cells.codes.constant().is_some() {
            return Ok(position as usize);
        }
        let ranks = &mut self.reading.ranks[column as usize];
        let active = self.dictionary.columns[column as usize].active as usize;
        ranks.go_to(self.reading.block, position, active, &cells.codes, (self.plain, self.packed)).ok_or(CUT)?;
        ranks.counts.get(code as usize).map(|rank| *rank as usize).ok_or(WRONG)
    }

    /// Where the cells of the values of a map or an array are, if the rows before were not read. `parts` are those that it
    /// may have.
    pub(super) fn place(&mut self, column: u32, position: u32, parts: &[(Span, u32)]) -> Outcome {
        if !self.is_random || !parts.iter().any(|(_, child)| self.is_new(*child)) {
            return Ok(());
        }
        let own = &self.dictionary.columns[column as usize];
        let mut counts = vec![0; own.active as usize + 1];
        let codes = &self.cells[column as usize].codes;
        codes.count(position as usize, self.plain, self.packed, &mut counts).ok_or(CUT)?;
        let used = || own.entries.iter().zip(&counts[1..]).filter(|(_, count)| **count > 0);
        let others = used().filter_map(|(entry, _)| match entry {
            Entry::Shape(parts) | Entry::Map { known: parts, .. } => Some(&parts[..]),
            _ => None,
        });
        for (_, child) in others.chain([parts]).flatten() {
            if self.is_new(*child) {
                self.reading.next[*child as usize] = 0;
            }
        }
        for (entry, count) in used() {
            match entry {
                Entry::Shape(others) => others.iter().for_each(|(_, child)| self.skip(*child, *count)),
                Entry::Map { count: slot, keys, known } => {
                    for at in 0..self.start_of(*slot, *count as usize)? {
                        let (_, child) = self.key(*keys, at, known)?;
                        self.skip(child, 1);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether nothing is known yet of where the row's cells of a column are.
    pub(super) fn is_new(&self, column: u32) -> bool {
        self.reading.row_of[column as usize].0 != self.reading.stamp
    }

    pub(super) fn skip(&mut self, column: u32, count: u32) {
        if self.is_new(column) {
            self.reading.next[column as usize] += count;
        }
    }

    /// From here on it is known where the row's cells of these columns are.
    pub(super) fn enter(&mut self, columns: impl Iterator<Item = u32>) {
        for column in columns {
            if self.is_new(column) {
                self.reading.row_of[column as usize] = (self.reading.stamp, self.reading.next[column as usize]);
            }
        }
    }

    /// The key at `index` of those of all maps of an entry.
    pub(super) fn key(&mut self, slot: u32, index: usize, known: &[(Span, u32)]) -> Result<(Span, u32), &'static str> {
        Ok(known[self.key_number(slot, index, known)?])
    }

    /// Which of `known` that key is.
    pub(super) fn key_number(&mut self, slot: u32, index: usize, known: &[(Span, u32)]) -> Result<usize, &'static str> {
        let ints = self.slots[slot as usize].ints;
        let number = self.number_at(&ints, slot, index)?;
        usize::try_from(number).ok().filter(|number| *number < known.len()).ok_or(WRONG)
    }

    /// The sum of the first `rank` numbers of a slot: where the lines of a text or the pairs of a map begin.
    pub(super) fn start_of(&mut self, slot: u32, rank: usize) -> Result<usize, &'static str> {
        let ints = self.slots[slot as usize].ints;
        if self.reading.words[slot as usize].is_due(self.reading.block) {
            let (mut numbers, mut sum) = (Vec::new(), 0u32);
            ints.all(self.plain, self.packed, &mut numbers).ok_or(CUT)?;
            for number in numbers {
                self.reading.words[slot as usize].known.push(sum);
                sum = sum.wrapping_add(number as u32);
            }
        }
        if let Some(start) = self.reading.words[slot as usize].known.get(rank) {
            return Ok(*start as usize);
        }
        let mut sum = 0usize;
        for index in 0..rank {
            let number = usize::try_from(self.number_at(&ints, slot, index)?).map_err(|_| WRONG)?;
            sum = sum.checked_add(number).ok_or(WRONG)?;
        }
        Ok(sum)
    }

    /// The number at `rank` of a slot.
    pub(super) fn number(&mut self, slot: u32, rank: usize) -> Result<i64, &'static str> {
        let ints = self.slots[slot as usize].ints;
        let own = self.number_at(&ints, slot, rank)?;
        match self.dictionary.slots[slot as usize].reference {
            None => Ok(own),
            Some(reference) => Ok(own.wrapping_add(self.number_in_row(reference)?)),
        }
    }

    /// The first number of a slot in this row; 0 if there is none.
    pub(super) fn number_in_row(&mut self, slot: u32) -> Result<i64, &'static str> {
        if slot == TIME_SLOT {
            let row = self.reading.next[ROOT as usize] as usize - 1;
            let ints = self.slots[slot as usize].ints;
            return self.number_at(&ints, slot, row);
        }
        let own = self.dictionary.slots[slot as usize];
        let (stamp, position) = self.reading.row_of[own.column as usize];
        if stamp != self.reading.stamp || self.code(own.column, position)? != own.code {
            return Ok(0);
        }
        let rank = self.rank(own.column, position, own.code)?;
        let ints = self.slots[slot as usize].ints;
        self.number_at(&ints, slot, rank)
    }

    pub(super) fn number_at(&mut self, ints: &Ints, slot: u32, index: usize) -> Result<i64, &'static str> {
        let block = self.reading.block;
        number_at(ints, &mut self.reading.numbers[slot as usize], block, index, (self.plain, self.packed))
    }

    pub(super) fn fixed(&self, slot: u32, rank: usize, bytes: usize) -> Result<&'b [u8], &'static str> {
        let held = &self.slots[slot as usize];
        let part = if held.is_packed { self.packed } else { self.plain };
        let own = part.get(held.bytes.clone()).ok_or(CUT)?;
        own.get(rank * bytes..(rank + 1) * bytes).ok_or(CUT)
    }

    pub(super) fn raw(&mut self, column: u32, position: u32) -> Result<&'b [u8], &'static str> {
        let rank = self.rank(column, position, 0)?;
        let part = self.plain.get(self.cells[column as usize].raw.clone()).ok_or(CUT)?;
        item(part, &mut self.reading.raw[column as usize], self.reading.block, rank)
    }

    pub(super) fn word(&mut self, slot: u32, rank: usize) -> Result<&'b [u8], &'static str> {
        let part = self.plain.get(self.slots[slot as usize].bytes.clone()).ok_or(CUT)?;
        item(part, &mut self.reading.words[slot as usize], self.reading.block, rank)
    }
}

/// The item at `index` of `part`, in which each has its length before it.
fn item<'b>(part: &'b [u8], lazy: &mut Lazy<u32>, block: u64, index: usize) -> Result<&'b [u8], &'static str> {
    let next = |fields: &mut Fields<'b>| {
        let len = fields.varint().and_then(|len| usize::try_from(len).ok())?;
        fields.take(len)
    };
    if lazy.is_due(block) {
        let mut fields = Fields(part);
        while !fields.is_empty() && lazy.known.len() <= super::ITEMS_MAX {
            lazy.known.push((part.len() - fields.0.len()) as u32);
            next(&mut fields).ok_or(CUT)?;
        }
    }
    if let Some(at) = lazy.known.get(index) {
        return next(&mut Fields(part.get(*at as usize..).ok_or(CUT)?)).ok_or(CUT);
    }
    let mut fields = Fields(part);
    for _ in 0..index {
        next(&mut fields).ok_or(CUT)?;
    }
    next(&mut fields).ok_or(CUT)
}
