//! Texts with one number in them, as codes behind those of the dictionary: the same number makes the same text.

use super::dictionary::Dictionary;
use super::entry::{Entry, Part, Print};
use super::keys::put_text_header;
use super::read::print_number;
use std::collections::HashMap;

/// Most texts of a column, and most bytes of them.
const TEXTS_MAX: usize = 1 << 14;
const BYTES_MAX: usize = 1 << 19;

/// Numbers below this, and not below 0, are looked up by themselves.
const DENSE_MAX: usize = 1 << 8;

/// A number that was not come to yet.
const UNKNOWN: u32 = u32::MAX;

/// The texts of one column that were come to.
#[derive(Debug, Default)]
pub(super) struct Interned {
    /// Where the texts of small numbers are, by code.
    dense: HashMap<u32, Vec<u32>>,
    /// Where the others are, by code and number.
    sparse: HashMap<(u32, i64), u32>,
    /// The texts, as values.
    values: Vec<Box<[u8]>>,
    bytes: usize,
}

/// The slot of a text in which nothing else changes.
pub(super) fn slot_of(parts: &[Part]) -> Option<u32> {
    let mut slots = parts.iter().filter(|part| !matches!(part, Part::Literal(_)));
    match (slots.next(), slots.next()) {
        (Some(Part::Slot(print, slot)), None) if is_number(*print) => Some(*slot),
        _ => None,
    }
}

fn is_number(print: Print) -> bool {
    !matches!(print, Print::HexBytes { .. } | Print::Uuid { .. } | Print::Word)
}

impl Interned {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The value of a text.
    pub(super) fn value(&self, at: usize) -> Option<&[u8]> {
        self.values.get(at).map(|value| &**value)
    }

    /// Puts into `codes` where the texts of `numbers` are, plus `first`; `None` if there are too many. `parts` are those of the entry
    /// with this code.
    pub(super) fn codes(
        &mut self,
        dictionary: &Dictionary,
        (code, entry): (u32, &Entry),
        numbers: &[i64],
        first: u32,
        codes: &mut [u32],
    ) -> Option<()> {
        let Self { dense, sparse, values, bytes } = self;
        let dense = dense.entry(code).or_insert_with(|| vec![UNKNOWN; DENSE_MAX]);
        for (code_of, number) in codes.iter_mut().zip(numbers) {
            let known = match usize::try_from(*number).ok().and_then(|small| dense.get_mut(small)) {
                Some(known) => known,
                None => sparse.entry((code, *number)).or_insert(UNKNOWN),
            };
            if *known == UNKNOWN {
                let value = spelled(dictionary, entry, *number)?;
                *bytes += value.len();
                if values.len() >= TEXTS_MAX || *bytes > BYTES_MAX {
                    return None;
                }
                *known = values.len() as u32;
                values.push(value);
            }
            *code_of = first + *known;
        }
        Some(())
    }
}

/// The text of an entry with this number, as a value.
fn spelled(dictionary: &Dictionary, entry: &Entry, number: i64) -> Option<Box<[u8]>> {
    let Entry::Text(parts) = entry else { return None };
    let mut text = Vec::new();
    for part in parts {
        match part {
            Part::Literal(span) => text.extend_from_slice(dictionary.span(*span)),
            Part::Slot(print, _) => print_number(*print, number, &mut text)?,
            Part::Ref(_) => return None,
        }
    }
    let mut value = Vec::new();
    put_text_header(text.len(), &mut value);
    value.extend_from_slice(&text);
    Some(value.into())
}
