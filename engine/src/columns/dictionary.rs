//! What all blocks of a segment share: its columns, and what their cells may be. docs/format.md, "Columns".

use super::entry::{Entry, Holds, PARTS_MAX, Part, Span, Spelled};
use crate::fields::{Fields, put_varint};

/// The first byte of a dictionary's plain bytes.
const VERSION: u8 = 1;

/// The column of whole records.
pub(super) const ROOT: u32 = 0;

/// The slot of the records' own timestamps.
pub(super) const TIME_SLOT: u32 = 0;

/// Most columns, most slots, and most levels of columns below each other.
pub(super) const COLUMNS_MAX: usize = 1 << 13;
pub(super) const SLOTS_MAX: usize = 1 << 15;
const DEPTH_MAX: u8 = 48;

/// A column whose cells are texts: what stands in strings, not whole values.
pub(super) const FLAG_TEXT: u8 = 1;
/// A column whose texts may refer to others of the same record.
pub(super) const FLAG_REFERS: u8 = 2;

const TAG_SHAPE: u8 = 1;
const TAG_TEXT: u8 = 2;
const TAG_LINES: u8 = 3;
const TAG_INT: u8 = 4;
const TAG_DECIMAL: u8 = 5;
const TAG_FLOAT: u8 = 6;
const TAG_MAP: u8 = 7;

/// Largest power of ten that a decimal is divided by: it and the powers below are exact doubles.
pub(super) const SCALE_MAX: u8 = 15;

/// A column: a place in records, or in strings of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) flags: u8,
    /// What its cells may be: code 1 is the first. Literals come last.
    pub(super) entries: Vec<Entry>,
    /// How many entries come before the literals.
    pub(super) active: u32,
}

impl Column {
    pub(super) fn is_text(&self) -> bool {
        self.flags & FLAG_TEXT != 0
    }

    pub(super) fn refers(&self) -> bool {
        self.flags & FLAG_REFERS != 0
    }

    /// What the code of a cell stands for; raw has none.
    pub(super) fn entry(&self, code: u32) -> Option<&Entry> {
        self.entries.get(code.checked_sub(1)? as usize)
    }
}

/// What numbers, bytes or words an entry's part takes from the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) column: u32,
    pub(super) code: u32,
    pub(super) holds: Holds,
    /// The slot whose number in the same record is taken off.
    pub(super) reference: Option<u32>,
}

/// What all blocks of a segment share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dictionary {
    pub(super) columns: Vec<Column>,
    pub(super) slots: Vec<Slot>,
    /// The bytes of all literals.
    pub(super) bytes: Vec<u8>,
    /// What zstd takes for a dictionary; empty if there is none.
    pub(super) content: Vec<u8>,
}

/// What an entry is before it stands in a dictionary: its slots have no numbers yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spelling<'a> {
    Shape(Vec<(&'a [u8], u32)>),
    Map(Vec<(&'a [u8], u32)>),
    Text(Vec<Spelled<'a>>),
    Lines(u32),
    Int,
    Decimal(u8),
    Float,
    Literal(&'a [u8]),
}

impl Default for Dictionary {
    fn default() -> Self {
        let time = Slot { column: ROOT, code: 0, holds: Holds::Number, reference: None };
        Self { columns: Vec::new(), slots: vec![time], bytes: Vec::new(), content: Vec::new() }
    }
}

impl Dictionary {
    pub(super) fn span(&self, span: Span) -> &[u8] {
        self.bytes.get(span.0 as usize..span.1 as usize).unwrap_or_default()
    }

    fn keep(&mut self, bytes: &[u8]) -> Span {
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        (at, at + bytes.len() as u32)
    }

    fn slot(&mut self, column: u32, code: u32, holds: Holds) -> Option<u32> {
        self.slots.push(Slot { column, code, holds, reference: None });
        (self.slots.len() <= SLOTS_MAX).then_some(self.slots.len() as u32 - 1)
    }

    /// Adds an entry to the column `column`; `None` if it can't be one there.
    pub(super) fn push(&mut self, column: u32, spelling: &Spelling<'_>) -> Option<()> {
        let own = &self.columns[column as usize];
        let code = own.entries.len() as u32 + 1;
        let (is_text, refers) = (own.is_text(), own.refers());
        let entry = match spelling {
            Spelling::Literal(bytes) if is_text || !bytes.is_empty() => Entry::Literal(self.keep(bytes)),
            Spelling::Text(parts) if parts.len() <= PARTS_MAX => {
                let mut kept = Vec::with_capacity(parts.len());
                for part in parts {
                    kept.push(match part {
                        Spelled::Literal(bytes) => Part::Literal(self.keep(bytes)),
                        Spelled::Slot(print) => Part::Slot(*print, self.slot(column, code, print.holds())?),
                        Spelled::Ref(target) if refers => Part::Ref(*target),
                        Spelled::Ref(_) => return None,
                    });
                }
                Entry::Text(kept)
            }
            Spelling::Lines(lines) if *lines > column => {
                Entry::Lines { count: self.slot(column, code, Holds::Count)?, column: *lines }
            }
            Spelling::Shape(parts) if !is_text && parts.len() <= PARTS_MAX && !parts.is_empty() => {
                // Each value has a byte at least; so no run of cells is longer than what they become.
                let is_sound = parts.iter().all(|(_, child)| *child > column);
                Entry::Shape(is_sound.then(|| parts.iter().map(|(b, child)| (self.keep(b), *child)).collect())?)
            }
            Spelling::Map(known) if !is_text && known.len() <= PARTS_MAX => {
                let is_sound = known.iter().all(|(key, child)| *child > column && !key.is_empty());
                let known = is_sound.then(|| known.iter().map(|(key, child)| (self.keep(key), *child)).collect())?;
                let count = self.slot(column, code, Holds::Count)?;
                Entry::Map { count, keys: self.slot(column, code, Holds::Items)?, known }
            }
            Spelling::Int if !is_text => Entry::Int(self.slot(column, code, Holds::Number)?),
            Spelling::Decimal(scale) if !is_text && *scale <= SCALE_MAX => {
                Entry::Decimal { scale: *scale, slot: self.slot(column, code, Holds::Number)? }
            }
            Spelling::Float if !is_text => Entry::Float(self.slot(column, code, Holds::Fixed(8))?),
            _ => return None,
        };
        let own = &mut self.columns[column as usize];
        if !matches!(entry, Entry::Literal(_)) {
            // Literals come last.
            if own.active as usize != own.entries.len() {
                return None;
            }
            own.active += 1;
        }
        own.entries.push(entry);
        Some(())
    }

    /// What zstd takes for the dictionary of the blocks; empty if there is none.
    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    /// The plain bytes that stand for the dictionary.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.columns.len() as u64);
        for column in &self.columns {
            out.push(column.flags);
            put_varint(&mut out, u64::from(column.active));
            put_varint(&mut out, (column.entries.len() - column.active as usize) as u64);
            for entry in &column.entries[..column.active as usize] {
                self.encode_entry(entry, &mut out);
            }
            let literals = || {
                column.entries.iter().filter_map(|entry| match entry {
                    Entry::Literal(span) => Some(self.span(*span)),
                    _ => None,
                })
            };
            literals().for_each(|bytes| put_varint(&mut out, bytes.len() as u64));
            literals().for_each(|bytes| out.extend_from_slice(bytes));
        }
        for slot in &self.slots[1..] {
            if slot.holds == Holds::Number {
                put_varint(&mut out, slot.reference.map_or(0, |reference| u64::from(reference) + 1));
            }
        }
        out.extend_from_slice(&self.content);
        out
    }

    fn encode_entry(&self, entry: &Entry, out: &mut Vec<u8>) {
        match entry {
            Entry::Shape(parts) | Entry::Map { known: parts, .. } => {
                out.push(if matches!(entry, Entry::Shape(_)) { TAG_SHAPE } else { TAG_MAP });
                put_varint(out, parts.len() as u64);
                for (span, child) in parts {
                    put_varint(out, u64::from(span.1 - span.0));
                    out.extend_from_slice(self.span(*span));
                    put_varint(out, u64::from(*child));
                }
            }
            Entry::Text(parts) => {
                out.push(TAG_TEXT);
                for part in parts {
                    match part {
                        Part::Literal(span) => Spelled::Literal(self.span(*span)).encode(out),
                        Part::Slot(print, _) => print.encode(out),
                        Part::Ref(column) => Spelled::Ref(*column).encode(out),
                    }
                }
                Spelled::end(out);
            }
            Entry::Lines { column, .. } => {
                out.push(TAG_LINES);
                put_varint(out, u64::from(*column));
            }
            Entry::Int(_) => out.push(TAG_INT),
            Entry::Decimal { scale, .. } => out.extend([TAG_DECIMAL, *scale]),
            Entry::Float(_) => out.push(TAG_FLOAT),
            Entry::Literal(_) => {}
        }
    }

    /// The dictionary in `plain`, which are all of its bytes.
    pub(crate) fn decode(plain: &[u8]) -> Option<Self> {
        let mut fields = Fields(plain);
        let mut dictionary = Self::default();
        if fields.u8()? != VERSION {
            return None;
        }
        let count = usize::try_from(fields.varint()?).ok().filter(|count| (1..=COLUMNS_MAX).contains(count))?;
        for id in 0..count as u32 {
            let flags = fields.u8().filter(|flags| flags & !(FLAG_TEXT | FLAG_REFERS) == 0)?;
            dictionary.columns.push(Column { flags, ..Column::default() });
            let active = fields.varint()?;
            let literals = usize::try_from(fields.varint()?).ok().filter(|count| *count <= fields.0.len())?;
            for _ in 0..active {
                let spelling = decode_entry(&mut fields)?;
                dictionary.push(id, &spelling)?;
            }
            let mut lengths = fields;
            for _ in 0..literals {
                fields.varint()?;
            }
            for _ in 0..literals {
                let len = usize::try_from(lengths.varint()?).ok()?;
                dictionary.push(id, &Spelling::Literal(fields.take(len)?))?;
            }
        }
        for slot in 1..dictionary.slots.len() {
            if dictionary.slots[slot].holds == Holds::Number {
                dictionary.slots[slot].reference = match fields.varint()? {
                    0 => None,
                    reference => Some(u32::try_from(reference - 1).ok()?),
                };
            }
        }
        dictionary.content = fields.0.to_vec();
        dictionary.check().then_some(dictionary)
    }

    /// Whether every column, slot and text that is referred to is one that may be.
    fn check(&self) -> bool {
        let (mut depths, count) = (vec![0u8; self.columns.len()], self.columns.len() as u32);
        let mut parents = vec![None; self.columns.len()];
        let direct = self.direct();
        if self.columns[ROOT as usize].is_text() {
            return false;
        }
        for (id, column) in self.columns.iter().enumerate() {
            let depth = depths[id] + 1;
            let mut goes = |child: u32, is_text: bool| {
                let Some(own) = depths.get_mut(child as usize) else { return false };
                *own = depth;
                // The cells of a column are in the order of those of the one above it.
                *parents[child as usize].get_or_insert(id) == id
                    && depth < DEPTH_MAX
                    && self.columns[child as usize].is_text() == is_text
            };
            for entry in &column.entries {
                let sound = match entry {
                    Entry::Shape(parts) | Entry::Map { known: parts, .. } => {
                        parts.iter().all(|(_, child)| goes(*child, false))
                    }
                    Entry::Lines { column, .. } => goes(*column, true),
                    Entry::Text(parts) => parts.iter().all(|part| match part {
                        Part::Ref(target) => *target < count && self.may_be_referred_to(*target, &direct),
                        _ => true,
                    }),
                    _ => true,
                };
                if !sound {
                    return false;
                }
            }
        }
        self.slots.iter().all(|slot| {
            slot.reference.is_none_or(|reference| {
                let referred = self.slots.get(reference as usize);
                referred.is_some_and(|slot| {
                    let there = reference == TIME_SLOT || direct[slot.column as usize];
                    slot.holds == Holds::Number && slot.reference.is_none() && there
                })
            })
        })
    }

    /// Which columns are those of a record's own keys.
    pub(super) fn direct(&self) -> Vec<bool> {
        let mut direct = vec![false; self.columns.len()];
        for entry in &self.columns[ROOT as usize].entries {
            if let Entry::Shape(parts) | Entry::Map { known: parts, .. } = entry {
                for (_, child) in parts {
                    if let Some(own) = direct.get_mut(*child as usize) {
                        *own = true;
                    }
                }
            }
        }
        direct
    }

    /// Whether texts may refer to the column `target`: one of a record's own keys that refers to none.
    pub(super) fn may_be_referred_to(&self, target: u32, direct: &[bool]) -> bool {
        direct[target as usize] && !self.columns[target as usize].refers()
    }
}

fn decode_entry<'a>(fields: &mut Fields<'a>) -> Option<Spelling<'a>> {
    let column = |fields: &mut Fields<'_>| fields.varint().and_then(|id| u32::try_from(id).ok());
    let tag = fields.u8()?;
    Some(match tag {
        TAG_SHAPE | TAG_MAP => {
            let count = usize::try_from(fields.varint()?).ok().filter(|count| *count <= PARTS_MAX)?;
            let mut parts = Vec::with_capacity(count);
            for _ in 0..count {
                let len = usize::try_from(fields.varint()?).ok()?;
                parts.push((fields.take(len)?, column(fields)?));
            }
            if tag == TAG_SHAPE { Spelling::Shape(parts) } else { Spelling::Map(parts) }
        }
        TAG_TEXT => {
            let mut parts = Vec::new();
            while let Some(part) = Spelled::decode(fields)? {
                parts.push(part);
                if parts.len() > PARTS_MAX {
                    return None;
                }
            }
            Spelling::Text(parts)
        }
        TAG_LINES => Spelling::Lines(column(fields)?),
        TAG_INT => Spelling::Int,
        TAG_DECIMAL => Spelling::Decimal(fields.u8()?),
        TAG_FLOAT => Spelling::Float,
        _ => return None,
    })
}
