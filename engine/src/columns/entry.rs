//! What the cells of a column may be: the entries of its table, as they stand in a dictionary. docs/format.md, "Columns".

use super::text::Token;
use super::time::TimeFormat;
use crate::fields::{Fields, put_varint};

/// Where bytes lie in the dictionary.
pub(super) type Span = (u32, u32);

/// Most parts of an entry.
pub(super) const PARTS_MAX: usize = 1 << 10;

/// What a cell may be, besides raw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// These bytes.
    Literal(Span),
    /// A map or an array: bytes before each value, and the column of the value.
    Shape(Vec<(Span, u32)>),
    /// A map with the smallest head and keys in any order: how many pairs it has, which keys, and for each key its
    /// bytes and the column of its values.
    Map {
        /// The slot of how many pairs there are.
        count: u32,
        /// The slot of the keys' numbers.
        keys: u32,
        /// The keys.
        known: Vec<(Span, u32)>,
    },
    /// A string with a pattern.
    Text(Vec<Part>),
    /// A string of several lines: how many there are, and the column of the lines.
    Lines {
        /// The slot of the count.
        count: u32,
        /// The column.
        column: u32,
    },
    /// An integer in its smallest encoding.
    Int(u32),
    /// A double that is an integer divided by 10 to the power of `scale`.
    Decimal {
        /// The power.
        scale: u8,
        /// The slot of the integer.
        slot: u32,
    },
    /// A double, as its eight bytes.
    Float(u32),
}

/// A part of a string with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// These bytes.
    Literal(Span),
    /// What a slot holds, printed so.
    Slot(Print, u32),
    /// The text of another column in the same record.
    Ref(u32),
}

/// How a slot of a string is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Print {
    /// Decimal digits without leading zeros.
    Decimal,
    /// So many decimal digits.
    Padded(u8),
    /// Decimal digits after a 1 that only holds leading zeros.
    Tagged,
    /// Hex digits without leading zeros.
    Hex {
        /// In upper case.
        upper: bool,
    },
    /// So many hex digits, of a number.
    PaddedHex {
        /// How many.
        digits: u8,
        /// In upper case.
        upper: bool,
    },
    /// So many hex digits, of bytes.
    HexBytes {
        /// How many.
        digits: u8,
        /// In upper case.
        upper: bool,
    },
    /// A UUID.
    Uuid {
        /// In upper case.
        upper: bool,
    },
    /// A moment.
    Time(TimeFormat),
    /// A text of any length.
    Word,
}

/// What a slot holds for each of its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// A number.
    Number,
    /// A number that says how much follows it: never one that others are taken off.
    Count,
    /// Several numbers: as many as the slot before tells.
    Items,
    /// So many bytes.
    Fixed(usize),
    /// Bytes of any number.
    Any,
}

const END: u8 = 0;
const LITERAL: u8 = 1;
const DECIMAL: u8 = 2;
const PADDED: u8 = 3;
const TAGGED: u8 = 4;
const HEX: u8 = 5;
const PADDED_HEX: u8 = 7;
const HEX_BYTES: u8 = 9;
const UUID: u8 = 11;
const TIME: u8 = 13;
const WORD: u8 = 14;
const REF: u8 = 15;

impl Print {
    /// What a slot that is printed so holds.
    pub(super) fn holds(self) -> Holds {
        match self {
            Self::HexBytes { digits, .. } => Holds::Fixed(usize::from(digits).div_ceil(2)),
            Self::Uuid { .. } => Holds::Fixed(16),
            Self::Word => Holds::Any,
            _ => Holds::Number,
        }
    }

    /// The token that a text printed so is.
    pub(super) fn token(self) -> Token {
        match self {
            Self::Decimal | Self::Padded(_) | Self::Tagged => Token::Digits,
            Self::Hex { upper } => Token::Hex { upper },
            Self::PaddedHex { digits, upper } | Self::HexBytes { digits, upper } => Token::FixedHex { digits, upper },
            Self::Uuid { upper } => Token::Uuid { upper },
            Self::Time(format) => Token::Time(format),
            Self::Word => Token::Word,
        }
    }

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Decimal => out.push(DECIMAL),
            Self::Padded(digits) => out.extend([PADDED, digits]),
            Self::Tagged => out.push(TAGGED),
            Self::Hex { upper } => out.push(HEX + u8::from(upper)),
            Self::PaddedHex { digits, upper } => out.extend([PADDED_HEX + u8::from(upper), digits]),
            Self::HexBytes { digits, upper } => out.extend([HEX_BYTES + u8::from(upper), digits]),
            Self::Uuid { upper } => out.push(UUID + u8::from(upper)),
            Self::Time(format) => out.extend([TIME, format.fraction << 1 | u8::from(format.is_spaced)]),
            Self::Word => out.push(WORD),
        }
    }
}

/// A part as it stands in a dictionary, before its slot has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelled<'a> {
    /// Bytes.
    Literal(&'a [u8]),
    /// A slot.
    Slot(Print),
    /// A column.
    Ref(u32),
}

impl Spelled<'_> {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Literal(bytes) => {
                out.push(LITERAL);
                put_varint(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            Self::Slot(print) => print.encode(out),
            Self::Ref(column) => {
                out.push(REF);
                put_varint(out, u64::from(column));
            }
        }
    }

    /// Ends the parts of an entry.
    pub(super) fn end(out: &mut Vec<u8>) {
        out.push(END);
    }

    /// The next part of an entry: `Some(None)` after the last.
    pub(super) fn decode<'b>(fields: &mut Fields<'b>) -> Option<Option<Spelled<'b>>> {
        let tag = fields.u8()?;
        let digits = |fields: &mut Fields<'_>, max: u8| fields.u8().filter(|digits| (1..=max).contains(digits));
        Some(Some(Spelled::Slot(match tag {
            END => return Some(None),
            LITERAL => {
                let len = usize::try_from(fields.varint()?).ok()?;
                return Some(Some(Spelled::Literal(fields.take(len)?)));
            }
            REF => return Some(Some(Spelled::Ref(fields.varint().and_then(|id| u32::try_from(id).ok())?))),
            DECIMAL => Print::Decimal,
            PADDED => Print::Padded(digits(fields, super::text::DIGITS_MAX as u8)?),
            TAGGED => Print::Tagged,
            5 | 6 => Print::Hex { upper: tag > HEX },
            7 | 8 => {
                Print::PaddedHex { digits: digits(fields, super::text::HEX_NUMBER_MAX as u8)?, upper: tag > PADDED_HEX }
            }
            9 | 10 => Print::HexBytes { digits: digits(fields, u8::MAX)?, upper: tag > HEX_BYTES },
            11 | 12 => Print::Uuid { upper: tag > UUID },
            TIME => {
                let format = fields.u8().filter(|format| format >> 1 <= TimeFormat::FRACTION_MAX)?;
                Print::Time(TimeFormat { is_spaced: format & 1 == 1, fraction: format >> 1 })
            }
            WORD => Print::Word,
            _ => return None,
        })))
    }
}
