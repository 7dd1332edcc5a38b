//! The columns codec: records of a block by column, and what all blocks of a segment share. docs/format.md, "Columns".
//!
//! A segment has a [`Dictionary`], learned from its records: the columns, one for each place in them, and for each column a
//! table of what its cells may be. A block has a code for each cell, and what the entries with numbers, bytes or words
//! need. So a block of a few hundred records is small, and one record costs little more than its own cells.
//!
//! Promises: pure functions over bytes; what [`Block`] gives back is byte for byte what [`Encoder`] took, whatever it was;
//! hostile bytes give an error within bounded memory and time. Whether a block is checksummed, and where it stands, is
//! left to others.

mod bits;
mod block;
#[cfg(feature = "fuzz")]
pub mod codecs;
mod dictionary;
mod encode;
mod entry;
mod fields;
mod finish;
mod hash;
mod interned;
mod ints;
mod keys;
mod learn;
mod lookup;
mod numbers;
mod place;
mod read;
mod reference;
mod survey;
mod text;
mod time;
mod typed;

#[cfg(test)]
mod tests;

pub(crate) use block::{Block, Decompress};
pub(crate) use dictionary::Dictionary;
pub(crate) use encode::Encoder;
pub(crate) use fields::Plan;
pub(crate) use learn::{LearnOptions, Sample, learn};
pub(crate) use typed::{CODE_MISSING, TypedColumn, TypedMemory, TypedPlan};

use entry::{Entry, Part};

/// Most cells and numbers of a block.
pub(crate) const ITEMS_MAX: usize = 1 << 20;

/// The flag of a block whose records have more than a body and a timestamp.
const FLAG_META: u8 = 1;

/// The kind of a record that needs no word about it.
const KIND_USER: u8 = 1;

/// What a record has besides its body and timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) key: &'a [u8],
}

/// The powers of ten up to that of the most digits of a number.
const TEN_TO_DIGITS_MAX: [i64; text::DIGITS_MAX + 1] = {
    let mut powers = [1; text::DIGITS_MAX + 1];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = powers[n - 1] * 10;
        n += 1;
    }
    powers
};

/// The slots of an entry, in their order.
fn slots_of(entry: &Entry) -> impl Iterator<Item = u32> + '_ {
    let (own, parts) = match entry {
        Entry::Int(slot) | Entry::Float(slot) | Entry::Decimal { slot, .. } | Entry::Lines { count: slot, .. } => {
            ([Some(*slot), None], &[][..])
        }
        Entry::Map { count, keys, .. } => ([Some(*count), Some(*keys)], &[][..]),
        Entry::Text(parts) => ([None, None], &parts[..]),
        Entry::Literal(_) | Entry::Shape(_) => ([None, None], &[][..]),
    };
    let of_part = |part: &Part| match part {
        Part::Slot(_, slot) => Some(*slot),
        _ => None,
    };
    own.into_iter().flatten().chain(parts.iter().filter_map(of_part))
}
