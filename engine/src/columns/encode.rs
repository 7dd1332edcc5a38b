//! From records to a block of columns.

use super::dictionary::{Dictionary, ROOT, TIME_SLOT};
use super::entry::{Entry, Part, Print};
use super::keys::{self, Children};
use super::lookup::Lookup;
use super::text::{self, DIGITS_MAX, Mentions, Piece};
use super::{Meta, TEN_TO_DIGITS_MAX};
use crate::fields::put_varint;
use std::io;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// The cells of a column that were collected.
#[derive(Default)]
pub(super) struct Cells {
    pub(super) codes: Vec<u32>,
    /// What is raw: length and bytes of each.
    pub(super) raw: Vec<u8>,
}

/// What a slot collected.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) numbers: Vec<i64>,
    /// The rows of the numbers.
    pub(super) rows: Vec<u32>,
    pub(super) bytes: Vec<u8>,
}

/// Collects records and makes blocks of them.
pub(crate) struct Encoder<'d> {
    pub(super) dictionary: &'d Dictionary,
    lookups: Vec<Lookup>,
    referable: Vec<bool>,
    pub(super) compressor: Compressor<'static>,
    pub(super) times: Vec<i64>,
    pub(super) meta: Vec<u8>,
    pub(super) needs_meta: bool,
    pub(super) keys: Vec<u8>,
    pub(super) cells: Vec<Cells>,
    pub(super) slots: Vec<Collected>,
    /// Cells and numbers that were collected.
    pub(super) items: usize,
    /// Bytes of what is raw and of words.
    pub(super) text_bytes: usize,
    refs: Mentions,
    has_refs: bool,
    scratch: Scratch,
}

#[derive(Default)]
struct Scratch {
    pieces: Vec<Piece>,
    key: Vec<u8>,
    children: Vec<Children>,
}

impl<'d> Encoder<'d> {
    /// An encoder for blocks of the segment of `dictionary`.
    ///
    /// # Errors
    /// What zstd says.
    pub(crate) fn new(dictionary: &'d Dictionary, level: i32) -> io::Result<Self> {
        let mut compressor = Compressor::with_dictionary(level, &dictionary.content)?;
        compressor.set_parameter(CParameter::DictIdFlag(false))?;
        compressor.set_parameter(CParameter::ContentSizeFlag(false))?;
        let direct = dictionary.direct();
        let referable = |id| dictionary.may_be_referred_to(id, &direct);
        let mut encoder = Self {
            dictionary,
            lookups: dictionary.columns.iter().map(|_| Lookup::default()).collect(),
            referable: (0..dictionary.columns.len() as u32).map(referable).collect(),
            compressor,
            times: Vec::new(),
            meta: Vec::new(),
            needs_meta: false,
            keys: Vec::new(),
            cells: dictionary.columns.iter().map(|_| Cells::default()).collect(),
            slots: dictionary.slots.iter().map(|_| Collected::default()).collect(),
            items: 0,
            text_bytes: 0,
            refs: Mentions::default(),
            has_refs: false,
            scratch: Scratch::default(),
        };
        for (column, lookup) in dictionary.columns.iter().zip(&mut encoder.lookups) {
            for (code, entry) in (1..).zip(&column.entries) {
                lookup.add(dictionary, code, entry);
            }
        }
        Ok(encoder)
    }

    /// How many records were collected.
    pub(crate) fn count(&self) -> u32 {
        self.times.len() as u32
    }

    /// Cells and numbers that were collected: at most [`super::ITEMS_MAX`] of a block.
    pub(crate) fn items(&self) -> usize {
        self.items
    }

    /// Bytes that are to be compressed, about.
    pub(crate) fn weight(&self) -> usize {
        self.items + self.text_bytes
    }

    /// What the slots collected.
    pub(super) fn collected(&self) -> &[Collected] {
        &self.slots
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, time: i64, meta: &Meta<'_>, body: &[u8]) {
        let row = self.count();
        self.meta.extend([meta.kind, meta.flags]);
        put_varint(&mut self.meta, meta.key.len() as u64);
        self.needs_meta |= meta.kind != super::KIND_USER || meta.flags != 0 || !meta.key.is_empty();
        self.keys.extend_from_slice(meta.key);
        self.times.push(time);
        self.slots[TIME_SLOT as usize].numbers.push(time);
        self.slots[TIME_SLOT as usize].rows.push(row);
        self.has_refs = false;
        self.value(ROOT, body, body, 0);
    }

    fn cell(&mut self, column: u32, code: u32) {
        self.cells[column as usize].codes.push(code);
        self.items += 1;
    }

    fn raw(&mut self, column: u32, bytes: &[u8]) {
        self.cell(column, 0);
        self.text_bytes += bytes.len();
        let raw = &mut self.cells[column as usize].raw;
        put_varint(raw, bytes.len() as u64);
        raw.extend_from_slice(bytes);
    }

    fn number(&mut self, slot: u32, number: i64) {
        let row = self.count() - 1;
        let slot = &mut self.slots[slot as usize];
        slot.numbers.push(number);
        slot.rows.push(row);
        self.items += 1;
    }

    fn entry(&self, column: u32, code: u32) -> Option<&'d Entry> {
        self.dictionary.columns[column as usize].entry(code)
    }

    /// Adds `value` of the record `body` as the next cell of `column`.
    fn value(&mut self, column: u32, value: &[u8], body: &[u8], depth: usize) {
        let lookup = &self.lookups[column as usize];
        if let Some(code) = lookup.literals.get(value) {
            return self.cell(column, *code);
        }
        let taken = match value.first() {
            Some(0x80..=0x9F | 0xDC..=0xDF) => self.shape(column, value, body, depth),
            Some(0xA0..=0xBF | 0xD9..=0xDB) => match keys::text_of(value) {
                Some(text) => self.text(column, text, body),
                None => false,
            },
            Some(0xCB) => self.double(column, value),
            _ => self.integer(column, value),
        };
        if !taken {
            self.raw(column, value);
        }
    }

    fn shape(&mut self, column: u32, value: &[u8], body: &[u8], depth: usize) -> bool {
        if self.scratch.children.len() <= depth {
            self.scratch.children.push(Children::new());
        }
        let mut children = std::mem::take(&mut self.scratch.children[depth]);
        // Bytes that are no value, or more than one, have children too, which are not all of them.
        let is_shape = keys::of_shape(value, &mut self.scratch.key, &mut children).is_some();
        let code = self.lookups[column as usize].patterns.get(&self.scratch.key).copied().filter(|_| is_shape);
        let entry = code.and_then(|code| Some((code, self.entry(column, code)?)));
        let taken = match entry {
            Some((code, Entry::Shape(parts))) => {
                self.cell(column, code);
                for ((_, child), (_, range)) in parts.iter().zip(&children) {
                    self.value(*child, &value[range.clone()], body, depth + 1);
                }
                true
            }
            _ => is_shape && self.map(column, value, body, depth, &children),
        };
        self.scratch.children[depth] = children;
        taken
    }

    /// Adds a map whose keys are all known, in whatever order.
    fn map(&mut self, column: u32, value: &[u8], body: &[u8], depth: usize, children: &Children) -> bool {
        let lookup = &self.lookups[column as usize];
        let Some(code) = lookup.map.filter(|_| keys::has_smallest_map_head(value, children.len())) else {
            return false;
        };
        let Some(Entry::Map { count, keys, known }) = self.entry(column, code) else { return false };
        let number = |key: &std::ops::Range<usize>| lookup.known.get(&value[key.clone()]).copied();
        let numbers: Option<Vec<u32>> = children.iter().map(|(key, _)| number(key)).collect();
        let Some(numbers) = numbers.filter(|numbers| !numbers.is_empty()) else { return false };
        self.cell(column, code);
        self.number(*count, numbers.len() as i64);
        numbers.iter().for_each(|number| self.number(*keys, i64::from(*number)));
        for (number, (_, range)) in numbers.into_iter().zip(children) {
            self.value(known[number as usize].1, &value[range.clone()], body, depth + 1);
        }
        true
    }

    fn integer(&mut self, column: u32, value: &[u8]) -> bool {
        let Some(code) = self.lookups[column as usize].int else { return false };
        match (keys::integer_of(value), self.entry(column, code)) {
            (Some(integer), Some(Entry::Int(slot))) => {
                self.cell(column, code);
                self.number(*slot, integer);
                true
            }
            _ => false,
        }
    }

    fn double(&mut self, column: u32, value: &[u8]) -> bool {
        let Some(double) = keys::double_of(value) else { return false };
        for n in 0..self.lookups[column as usize].scales.len() {
            let (scale, code) = self.lookups[column as usize].scales[n];
            if let (Some(integer), Some(Entry::Decimal { slot, .. })) =
                (keys::scaled(double, scale), self.entry(column, code))
            {
                self.cell(column, code);
                self.number(*slot, integer);
                return true;
            }
        }
        match self.lookups[column as usize].float {
            Some(code) => {
                let Some(Entry::Float(slot)) = self.entry(column, code) else { return false };
                self.cell(column, code);
                self.slots[*slot as usize].bytes.extend_from_slice(&double.to_be_bytes());
                true
            }
            None => false,
        }
    }

    /// Adds a text as a cell; `false` if it has to be raw.
    fn text(&mut self, column: u32, text: &[u8], body: &[u8]) -> bool {
        if self.dictionary.columns[column as usize].refers() && !self.has_refs {
            self.find_refs(body);
        }
        let refs = self.dictionary.columns[column as usize].refers().then_some(&self.refs);
        text::pieces(text, refs, &mut self.scratch.pieces);
        keys::of_text(text, &self.scratch.pieces, &mut self.scratch.key);
        let lookup = &self.lookups[column as usize];
        let (word, lines) = (lookup.word, lookup.lines);
        if let Some(code) = lookup.patterns.get(&self.scratch.key).copied()
            && let Some(Entry::Text(parts)) = self.entry(column, code)
            && self.pattern(column, code, parts, text)
        {
            return true;
        }
        if let Some(code) = lines.filter(|_| text.contains(&b'\n'))
            && let Some(Entry::Lines { count, column: own }) = self.entry(column, code)
        {
            self.cell(column, code);
            let mut number = 0;
            for line in text.split(|byte| *byte == b'\n') {
                number += 1;
                match self.lookups[*own as usize].literals.get(line).copied() {
                    Some(code) => self.cell(*own, code),
                    None if self.text(*own, line, body) => {}
                    None => self.raw(*own, line),
                }
            }
            self.number(*count, number);
            return true;
        }
        if let Some(code) = word
            && let Some(Entry::Text(parts)) = self.entry(column, code)
            && let [Part::Slot(Print::Word, slot)] = parts[..]
        {
            self.cell(column, code);
            self.bytes(slot, text);
            return true;
        }
        false
    }

    fn bytes(&mut self, slot: u32, text: &[u8]) {
        let own = &mut self.slots[slot as usize].bytes;
        put_varint(own, text.len() as u64);
        own.extend_from_slice(text);
        self.text_bytes += text.len();
        self.items += 1;
    }

    /// Adds a text by a pattern, if its numbers can be printed as the pattern prints them.
    fn pattern(&mut self, column: u32, code: u32, parts: &[Part], text: &[u8]) -> bool {
        let pieces = std::mem::take(&mut self.scratch.pieces);
        let fits = || parts.iter().zip(&pieces).all(|(part, (_, from, to))| fits(part, &text[*from..*to]));
        let taken = parts.len() == pieces.len() && fits();
        if taken {
            self.cell(column, code);
            for (part, (_, from, to)) in parts.iter().zip(&pieces) {
                let Part::Slot(print, slot) = part else { continue };
                let own = &text[*from..*to];
                match print {
                    Print::HexBytes { .. } | Print::Uuid { .. } => {
                        text::parse_hex(own, &mut self.slots[*slot as usize].bytes);
                        self.items += 1;
                    }
                    Print::Word => self.bytes(*slot, own),
                    Print::Hex { .. } | Print::PaddedHex { .. } => self.number(*slot, text::parse_hex_number(own)),
                    Print::Time(format) => self.number(*slot, format.parse(own)),
                    Print::Tagged => {
                        self.number(*slot, TEN_TO_DIGITS_MAX[own.len()] + text::parse_digits(own));
                    }
                    Print::Decimal | Print::Padded(_) => self.number(*slot, text::parse_digits(own)),
                }
            }
        }
        self.scratch.pieces = pieces;
        taken
    }

    /// Looks for the texts of a record that others may refer to.
    fn find_refs(&mut self, body: &[u8]) {
        self.has_refs = true;
        self.refs.clear();
        let (mut key, mut children) = (Vec::new(), Children::new());
        let Some(code) = self.cells[ROOT as usize].codes.last().copied() else { return };
        if keys::of_shape(body, &mut key, &mut children).is_none() {
            return;
        }
        for (n, (own, range)) in children.iter().enumerate() {
            let child = match self.entry(ROOT, code) {
                Some(Entry::Shape(parts)) => parts.get(n).map(|(_, child)| *child),
                Some(Entry::Map { known, .. }) => {
                    let number = self.lookups[ROOT as usize].known.get(&body[own.clone()]);
                    number.map(|number| known[*number as usize].1)
                }
                _ => None,
            };
            if let Some(child) = child.filter(|child| self.referable[*child as usize]) {
                add_ref(&mut self.refs, child, &body[range.clone()]);
            }
        }
    }
}

/// Adds the text that `value` of `column` has, if it is a string or an integer.
pub(super) fn add_ref(refs: &mut Mentions, column: u32, value: &[u8]) {
    if let Some(text) = keys::text_of(value) {
        refs.add(column, text);
    } else if let Some(integer) = keys::integer_of(value).filter(|integer| *integer >= 0) {
        let mut digits = Vec::new();
        text::print_digits(integer, 0, &mut digits);
        refs.add(column, &digits);
    }
}

fn fits(part: &Part, text: &[u8]) -> bool {
    match part {
        Part::Slot(Print::Decimal, _) => text.len() == 1 || text[0] != b'0',
        Part::Slot(Print::Padded(digits), _) => text.len() == usize::from(*digits),
        Part::Slot(Print::Tagged, _) => text.len() <= DIGITS_MAX,
        _ => true,
    }
}
