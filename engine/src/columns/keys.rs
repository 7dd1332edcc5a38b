//! What values that share an entry have in common: the keys of a map, what stands between the numbers of a string.

use super::dictionary::Spelling;
use super::entry::{PARTS_MAX, Print, Spelled};
use super::text::{HEX_NUMBER_MAX, Piece, Token};
use super::time::TimeFormat;
use crate::fields::{Fields, put_varint};
use crate::msgpack::{Reader, Token as Value};

/// Stands in a key for a value: never the first byte of a MessagePack value.
const HOLE: u8 = 0xC1;
/// Begins what stands for a part in the key of a string: never in UTF-8.
const PART: u8 = 0xFF;

/// Where the values of a map or an array lie in it, as ranges of its bytes, and the bytes of their keys.
pub(super) type Children = Vec<(std::ops::Range<usize>, std::ops::Range<usize>)>;

/// Puts the key of `value`, which is a map or an array with values, into `key`, and where these lie into `children`.
/// `None` if it is neither, or has too many.
pub(super) fn of_shape(value: &[u8], key: &mut Vec<u8>, children: &mut Children) -> Option<()> {
    key.clear();
    children.clear();
    let mut reader = Reader::new(value);
    let (count, has_keys) = match reader.token().ok()? {
        Value::Map(count) => (count, true),
        Value::Array(count) => (count, false),
        _ => return None,
    };
    if count == 0 || count as usize > PARTS_MAX {
        return None;
    }
    key.extend_from_slice(&value[..reader.offset()]);
    for _ in 0..count {
        let at = reader.offset();
        if has_keys {
            key.extend_from_slice(reader.skip_value().ok()?);
        }
        key.push(HOLE);
        let from = reader.offset();
        reader.skip_value().ok()?;
        children.push((at..from, from..reader.offset()));
    }
    reader.finish().ok()
}

/// The entry of a shape with this key, whose values are in `columns`.
pub(super) fn spell_shape<'k>(key: &'k [u8], columns: &[u32]) -> Option<Spelling<'k>> {
    let mut reader = Reader::new(key);
    let has_keys = matches!(reader.token().ok()?, Value::Map(_));
    let (mut from, mut at, mut parts) = (0, reader.offset(), Vec::with_capacity(columns.len()));
    for column in columns {
        if has_keys {
            at += Reader::new(key.get(at..)?).skip_value().ok()?.len();
        }
        parts.push((key.get(from..at)?, *column));
        // After the hole.
        at += 1;
        from = at;
    }
    Some(Spelling::Shape(parts))
}

/// Puts the key of a text with these pieces into `key`.
pub(super) fn of_text(text: &[u8], pieces: &[Piece], key: &mut Vec<u8>) {
    key.clear();
    for (token, from, to) in pieces {
        match *token {
            Token::Literal => key.extend_from_slice(&text[*from..*to]),
            Token::Digits => key.extend([PART, 1]),
            Token::Hex { upper } => key.extend([PART, 2 + u8::from(upper)]),
            Token::FixedHex { digits, upper } => key.extend([PART, 4 + u8::from(upper), digits]),
            Token::Uuid { upper } => key.extend([PART, 6 + u8::from(upper)]),
            Token::Time(format) => key.extend([PART, 8 + u8::from(format.is_spaced), format.fraction]),
            Token::Word => key.extend([PART, 10]),
            Token::Ref(column) => {
                key.extend([PART, 11]);
                put_varint(key, u64::from(column));
            }
        }
    }
}

/// The parts of a text with this key; `digits` says how each of its runs of decimal digits is printed.
pub(super) fn spell_text<'k>(key: &'k [u8], digits: &mut dyn Iterator<Item = Print>) -> Option<Vec<Spelled<'k>>> {
    let (mut fields, mut parts) = (Fields(key), Vec::new());
    while let Some(first) = fields.0.first() {
        if *first != PART {
            let len = fields.0.iter().position(|byte| *byte == PART).unwrap_or(fields.0.len());
            parts.push(Spelled::Literal(fields.take(len)?));
            continue;
        }
        fields.u8()?;
        let tag = fields.u8()?;
        parts.push(Spelled::Slot(match tag {
            1 => digits.next()?,
            2 | 3 => Print::Hex { upper: tag == 3 },
            4 | 5 => match (fields.u8()?, tag == 5) {
                (digits, upper) if usize::from(digits) <= HEX_NUMBER_MAX => Print::PaddedHex { digits, upper },
                (digits, upper) => Print::HexBytes { digits, upper },
            },
            6 | 7 => Print::Uuid { upper: tag == 7 },
            8 | 9 => Print::Time(TimeFormat { is_spaced: tag == 9, fraction: fields.u8()? }),
            10 => Print::Word,
            _ => {
                parts.push(Spelled::Ref(u32::try_from(fields.varint()?).ok()?));
                continue;
            }
        }));
    }
    Some(parts)
}

/// The text of `value` if it is a string in its smallest encoding.
pub(super) fn text_of(value: &[u8]) -> Option<&[u8]> {
    let text = match Reader::new(value).token().ok()? {
        Value::Str(text) => text.as_bytes(),
        _ => return None,
    };
    let mut head = Vec::new();
    put_text_header(text.len(), &mut head);
    (head.len() + text.len() == value.len() && value.starts_with(&head)).then_some(text)
}

/// The integer that `value` is, if it is one in its smallest encoding that an `i64` holds.
pub(super) fn integer_of(value: &[u8]) -> Option<i64> {
    let integer = match Reader::new(value).token().ok()? {
        Value::UInt(integer) => i64::try_from(integer).ok()?,
        Value::Int(integer) => integer,
        _ => return None,
    };
    let mut again = Vec::new();
    put_integer(integer, &mut again);
    (again == value).then_some(integer)
}

/// The double that `value` is.
pub(super) fn double_of(value: &[u8]) -> Option<f64> {
    match Reader::new(value).token().ok()? {
        Value::F64(double) if value.len() == 9 => Some(double),
        _ => None,
    }
}

/// The integer that, divided by 10 to the power of `scale`, is `double` to the bit.
pub(super) fn scaled(double: f64, scale: u8) -> Option<i64> {
    let integer = (double * power(scale)).round();
    let exact = integer.abs() < (1u64 << 53) as f64 && unscaled(integer as i64, scale).to_bits() == double.to_bits();
    exact.then_some(integer as i64)
}

/// `integer` divided by 10 to the power of `scale`.
pub(super) fn unscaled(integer: i64, scale: u8) -> f64 {
    integer as f64 / power(scale)
}

fn power(scale: u8) -> f64 {
    // Exact, as every power of ten up to 10^22 is.
    10u64.pow(u32::from(scale.min(super::dictionary::SCALE_MAX))) as f64
}

/// Adds the smallest encoding of `integer`.
pub(super) fn put_integer(integer: i64, out: &mut Vec<u8>) {
    match integer {
        0..=0x7F => out.push(integer as u8),
        0x80..=0xFF => out.extend([0xCC, integer as u8]),
        0x100..=0xFFFF => put(0xCD, &(integer as u16).to_be_bytes(), out),
        0x1_0000..=0xFFFF_FFFF => put(0xCE, &(integer as u32).to_be_bytes(), out),
        0x1_0000_0000.. => put(0xCF, &integer.to_be_bytes(), out),
        -0x20..=-1 => out.push(integer as u8),
        -0x80..=-0x21 => out.extend([0xD0, integer as u8]),
        -0x8000..=-0x81 => put(0xD1, &(integer as i16).to_be_bytes(), out),
        -0x8000_0000..=-0x8001 => put(0xD2, &(integer as i32).to_be_bytes(), out),
        _ => put(0xD3, &integer.to_be_bytes(), out),
    }
}

/// Adds the smallest head of a string of `len` bytes.
pub(super) fn put_text_header(len: usize, out: &mut Vec<u8>) {
    match len {
        0..=31 => out.push(0xA0 | len as u8),
        32..=0xFF => out.extend([0xD9, len as u8]),
        0x100..=0xFFFF => put(0xDA, &(len as u16).to_be_bytes(), out),
        _ => put(0xDB, &(len as u32).to_be_bytes(), out),
    }
}

/// Adds the smallest head of a map of so many pairs.
pub(super) fn put_map_head(count: usize, out: &mut Vec<u8>) {
    match count {
        0..=15 => out.push(0x80 | count as u8),
        16..=0xFFFF => put(0xDE, &(count as u16).to_be_bytes(), out),
        _ => put(0xDF, &(count as u32).to_be_bytes(), out),
    }
}

/// How many pairs the map has that begins with `bytes`, and the length of its head; the pairs need not be there.
pub(super) fn map_head(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [head @ 0x80..=0x8F, ..] => Some((usize::from(head & 0x0F), 1)),
        [0xDE, a, b, ..] => Some((usize::from(u16::from_be_bytes([a, b])), 3)),
        [0xDF, a, b, c, d, ..] => Some((u32::from_be_bytes([a, b, c, d]) as usize, 5)),
        _ => None,
    }
}

/// Whether `value` is a map of so many pairs with the smallest head.
pub(super) fn has_smallest_map_head(value: &[u8], count: usize) -> bool {
    let mut head = Vec::new();
    put_map_head(count, &mut head);
    value.starts_with(&head)
}

/// Adds a double.
pub(super) fn put_double(double: f64, out: &mut Vec<u8>) {
    put(0xCB, &double.to_be_bytes(), out);
}

fn put(marker: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(marker);
    out.extend_from_slice(bytes);
}

/// Ends the part of a shape's key that stands before a value.
pub(super) fn end_of_shape_part(key: &mut Vec<u8>) {
    key.push(HOLE);
}
