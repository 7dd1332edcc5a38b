//! From a block of columns back to records: one of them, or all.

use super::block::{Block, CUT};
use super::dictionary::{Dictionary, ROOT, TIME_SLOT};
use super::entry::{Entry, Part, Print};
use super::place::{Lazy, Ranks, number_at};
use super::{Meta, keys, text};

/// What is known of a block that is being read. Its memory is kept from block to block.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The next cell of each column.
    pub(super) next: Vec<u32>,
    /// The row of which a column's next cell is known, and the first of its cells there.
    pub(super) row_of: Vec<(u32, u32)>,
    /// How many cells have which codes, up to the one of each column that was asked for last.
    pub(super) ranks: Vec<Ranks>,
    /// The numbers of each slot.
    pub(super) numbers: Vec<Lazy<i64>>,
    /// Where each of the raw cells of a column begins.
    pub(super) raw: Vec<Lazy<u32>>,
    /// Where each of the words of a slot begins.
    pub(super) words: Vec<Lazy<u32>>,
    text: Vec<u8>,
    /// Counts the rows that were read.
    pub(super) stamp: u32,
    /// Counts the blocks.
    pub(super) block: u64,
}

impl Reading {
    /// Begins with a block of this dictionary.
    pub(super) fn begin(&mut self, dictionary: &Dictionary) {
        let (columns, slots) = (dictionary.columns.len(), dictionary.slots.len());
        (self.block, self.stamp) = (self.block + 1, 0);
        self.next.clear();
        self.next.resize(columns, 0);
        self.row_of.clear();
        self.row_of.resize(columns, (0, 0));
        self.ranks.resize_with(columns, Ranks::default);
        for (lazy, len) in [(&mut self.raw, columns), (&mut self.words, slots)] {
            lazy.resize_with(len, Lazy::default);
        }
        self.numbers.resize_with(slots, Lazy::default);
    }

    /// Bytes of memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let places = self.next.capacity() * size_of::<u32>() + self.row_of.capacity() * size_of::<(u32, u32)>();
        let ranks: usize = self.ranks.iter().map(Ranks::memory_bytes).sum();
        let numbers: usize = self.numbers.iter().map(Lazy::memory_bytes).sum();
        let lengths: usize = self.raw.iter().chain(&self.words).map(Lazy::memory_bytes).sum();
        places + ranks + numbers + lengths + self.text.capacity()
    }
}

pub(super) type Outcome = Result<(), &'static str>;

pub(super) const WRONG: &str = "the block's columns contradict the dictionary";

impl Block {
    /// How many records there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The timestamp of a record.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(crate) fn time(&mut self, row: usize) -> Result<i64, &'static str> {
        if row >= self.rows {
            return Err(CUT);
        }
        let block = self.reading.block;
        let (ints, lazy) = (self.times, &mut self.reading.numbers[TIME_SLOT as usize]);
        number_at(&ints, lazy, block, row, (&self.plain, &self.packed))
    }

    /// Whether records have more than a body and a timestamp.
    pub(crate) fn has_meta(&self) -> bool {
        !self.meta.is_empty()
    }

    /// What a record has besides its body and timestamp.
    pub(crate) fn meta(&self, row: usize) -> Meta<'_> {
        let user = Meta { kind: super::KIND_USER, flags: 0, key: &[] };
        let Some((kind, flags, end)) = self.meta.get(row).copied() else { return user };
        let from = match row.checked_sub(1) {
            Some(before) => self.meta[before].2,
            None => self.data_at,
        };
        Meta { kind, flags, key: self.plain.get(from..end).unwrap_or_default() }
    }

    /// Adds the body of one record to `out`, which grows to little more than `limit` bytes at most.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(crate) fn body(&mut self, dictionary: &Dictionary, row: usize, limit: usize, out: &mut Vec<u8>) -> Outcome {
        if row >= self.rows {
            return Err(CUT);
        }
        self.reading.next[ROOT as usize] = row as u32;
        self.walk(dictionary, true, limit).row(out)
    }

    /// Adds the bodies of all records to `out`, as [`Block::body`], and where each ends to `ends`.
    ///
    /// # Errors
    /// What is wrong with the block.
    pub(crate) fn bodies(
        &mut self,
        dictionary: &Dictionary,
        limit: usize,
        out: &mut Vec<u8>,
        ends: &mut Vec<u32>,
    ) -> Outcome {
        self.reading.next.fill(0);
        for _ in 0..self.rows {
            self.walk(dictionary, false, limit).row(out)?;
            ends.push(out.len() as u32);
        }
        Ok(())
    }

    pub(super) fn walk<'b>(&'b mut self, dictionary: &'b Dictionary, is_random: bool, limit: usize) -> Walk<'b> {
        let Self { plain, packed, cells, slots, reading, .. } = self;
        reading.stamp += 1;
        Walk { dictionary, plain, packed, cells, slots, reading, is_random, limit }
    }
}

/// Reads a row.
pub(super) struct Walk<'b> {
    pub(super) dictionary: &'b Dictionary,
    pub(super) plain: &'b [u8],
    pub(super) packed: &'b [u8],
    pub(super) cells: &'b [super::block::Cells],
    pub(super) slots: &'b [super::block::Held],
    pub(super) reading: &'b mut Reading,
    /// Whether the rows before were not read.
    pub(super) is_random: bool,
    pub(super) limit: usize,
}

impl<'b> Walk<'b> {
    pub(super) fn row(&mut self, out: &mut Vec<u8>) -> Outcome {
        self.value(ROOT, out)
    }

    pub(super) fn take(&mut self, column: u32) -> u32 {
        let next = &mut self.reading.next[column as usize];
        *next += 1;
        *next - 1
    }

    /// Adds the next value of `column`.
    pub(super) fn value(&mut self, column: u32, out: &mut Vec<u8>) -> Outcome {
        if out.len() > self.limit {
            return Err("the block's records are larger than any block may be");
        }
        let dictionary = self.dictionary;
        let position = self.take(column);
        let code = self.code(column, position)?;
        if code == 0 {
            out.extend_from_slice(self.raw(column, position)?);
            return Ok(());
        }
        match dictionary.columns[column as usize].entry(code).ok_or(WRONG)? {
            Entry::Literal(span) => out.extend_from_slice(dictionary.span(*span)),
            Entry::Shape(parts) => {
                self.place(column, position, parts)?;
                self.enter(parts.iter().map(|(_, child)| *child));
                for (span, child) in parts {
                    out.extend_from_slice(dictionary.span(*span));
                    self.value(*child, out)?;
                }
            }
            Entry::Map { count, keys, known } => {
                self.place(column, position, known)?;
                let rank = self.rank(column, position, code)?;
                let (start, pairs) = (self.start_of(*count, rank)?, self.number(*count, rank)?);
                let pairs = usize::try_from(pairs).map_err(|_| WRONG)?;
                keys::put_map_head(pairs, out);
                for index in start..start.saturating_add(pairs) {
                    let (_, child) = self.key(*keys, index, known)?;
                    self.enter([child].into_iter());
                }
                for index in start..start.saturating_add(pairs) {
                    let (span, child) = self.key(*keys, index, known)?;
                    out.extend_from_slice(dictionary.span(span));
                    self.value(child, out)?;
                }
            }
            Entry::Int(slot) => {
                let rank = self.rank(column, position, code)?;
                keys::put_integer(self.number(*slot, rank)?, out);
            }
            Entry::Decimal { scale, slot } => {
                let rank = self.rank(column, position, code)?;
                keys::put_double(keys::unscaled(self.number(*slot, rank)?, *scale), out);
            }
            Entry::Float(slot) => {
                let rank = self.rank(column, position, code)?;
                out.push(0xCB);
                out.extend_from_slice(self.fixed(*slot, rank, 8)?);
            }
            Entry::Text(_) | Entry::Lines { .. } => {
                let mut text = std::mem::take(&mut self.reading.text);
                text.clear();
                let outcome = self.text(column, position, true, &mut text);
                keys::put_text_header(text.len(), out);
                out.extend_from_slice(&text);
                self.reading.text = text;
                outcome?;
            }
        }
        Ok(())
    }

    /// Adds the text of a cell; that of another column's cell only if it leads nowhere else.
    fn text(&mut self, column: u32, position: u32, is_own: bool, out: &mut Vec<u8>) -> Outcome {
        if out.len() > self.limit {
            return Err("the block's records are larger than any block may be");
        }
        let dictionary = self.dictionary;
        let code = self.code(column, position)?;
        let is_text = dictionary.columns[column as usize].is_text();
        if code == 0 {
            return put_text(self.raw(column, position)?, is_text, out);
        }
        match dictionary.columns[column as usize].entry(code).ok_or(WRONG)? {
            Entry::Literal(span) => put_text(dictionary.span(*span), is_text, out)?,
            Entry::Int(slot) => {
                let rank = self.rank(column, position, code)?;
                text::print_digits(self.number(*slot, rank)?, 0, out);
            }
            Entry::Text(parts) => {
                let rank = self.rank(column, position, code)?;
                for part in parts {
                    match part {
                        Part::Literal(span) => out.extend_from_slice(dictionary.span(*span)),
                        Part::Slot(print, slot) => self.print(*print, *slot, rank, out)?,
                        Part::Ref(target) if is_own => {
                            let (stamp, position) = self.reading.row_of[*target as usize];
                            if stamp != self.reading.stamp {
                                return Err(WRONG);
                            }
                            self.text(*target, position, false, out)?;
                        }
                        Part::Ref(_) => return Err(WRONG),
                    }
                }
            }
            Entry::Lines { count, column: lines } if is_own => {
                let rank = self.rank(column, position, code)?;
                let total = self.number(*count, rank)?;
                if self.is_random && self.is_new(*lines) {
                    let before = self.start_of(*count, rank)?;
                    self.reading.next[*lines as usize] = u32::try_from(before).map_err(|_| WRONG)?;
                }
                self.enter([*lines].into_iter());
                for line in 0..total {
                    if line > 0 {
                        out.push(b'\n');
                    }
                    let position = self.take(*lines);
                    self.text(*lines, position, true, out)?;
                }
            }
            _ => return Err(WRONG),
        }
        Ok(())
    }

    fn print(&mut self, print: Print, slot: u32, rank: usize, out: &mut Vec<u8>) -> Outcome {
        match print {
            Print::HexBytes { digits, upper } => {
                let bytes = self.fixed(slot, rank, usize::from(digits).div_ceil(2))?;
                text::print_hex(bytes, usize::from(digits), upper, out);
            }
            Print::Uuid { upper } => text::print_uuid(self.fixed(slot, rank, 16)?, upper, out),
            Print::Word => out.extend_from_slice(self.word(slot, rank)?),
            _ => print_number(print, self.number(slot, rank)?, out).ok_or(WRONG)?,
        }
        Ok(())
    }
}

/// Prints a number; `None` for what isn't printed from one.
#[inline]
pub(super) fn print_number(print: Print, number: i64, out: &mut Vec<u8>) -> Option<()> {
    match print {
        Print::Decimal => text::print_digits(number, 0, out),
        Print::Padded(digits) => text::print_digits(number, usize::from(digits), out),
        Print::Tagged => {
            let at = out.len();
            text::print_digits(number, 0, out);
            out.remove(at);
        }
        Print::Hex { upper } => text::print_hex_number(number, 0, upper, out),
        Print::PaddedHex { digits, upper } => text::print_hex_number(number, usize::from(digits), upper, out),
        Print::Time(format) => format.print(number, out),
        Print::HexBytes { .. } | Print::Uuid { .. } | Print::Word => return None,
    }
    Some(())
}

/// Adds the text that `bytes` are, or that the value has that they are: a string or an integer.
fn put_text(bytes: &[u8], is_text: bool, out: &mut Vec<u8>) -> Outcome {
    match (is_text, keys::text_of(bytes), keys::integer_of(bytes)) {
        (true, ..) => out.extend_from_slice(bytes),
        (false, Some(text), _) => out.extend_from_slice(text),
        (false, None, Some(integer)) => text::print_digits(integer, 0, out),
        _ => return Err(WRONG),
    }
    Ok(())
}
