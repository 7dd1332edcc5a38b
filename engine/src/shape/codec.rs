//! A shape as bytes: docs/format.md, "Shape".

use super::fields::rank;
use super::{DEPTH_MAX, Field, IntegerRange, KINDS, Kind, Node, Shape};

const VERSION: u8 = 1;

const WIDE: u8 = 1;
const OTHER_KEYS: u8 = 2;
const INTEGERS: u8 = 4;
const EXACT: u8 = 8;
const FIELDS: u8 = 16;
const ELEMENT: u8 = 32;

/// Why bytes are not an encoded [`Shape`]. Offsets count from the start of the bytes given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The bytes end too early.
    #[error("the shape ends inside what begins at byte {offset}")]
    Truncated {
        /// Where the part that is cut off begins.
        offset: usize,
    },
    /// Written by a version of this format that is not known here.
    #[error("shape version {found} is not known; this program reads version {VERSION}")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// A value no shape has.
    #[error("the shape has an impossible {what} at byte {offset}")]
    Impossible {
        /// What is wrong.
        what: &'static str,
        /// Where it is.
        offset: usize,
    },
    /// More keys, depth or weight than a shape may have.
    #[error("the shape is beyond the limits of a shape at byte {offset}")]
    BeyondLimits {
        /// Where the limit is passed.
        offset: usize,
    },
    /// The shape is complete, and bytes follow it.
    #[error("bytes follow the shape that ends at byte {offset}")]
    TrailingBytes {
        /// Where the shape ends.
        offset: usize,
    },
}

pub(super) fn encode(shape: &Shape, out: &mut Vec<u8>) {
    out.push(VERSION);
    match shape.root().ceiling() {
        None => out.push(0),
        Some(key) => {
            out.push(1);
            put(out, key.len() as u128);
            out.extend_from_slice(key.as_bytes());
        }
    }
    encode_node(shape.root(), out);
}

fn encode_node(node: &Node, out: &mut Vec<u8>) {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(
        flag(node.wide, WIDE)
            | flag(node.other_keys, OTHER_KEYS)
            | flag(node.integers.is_some(), INTEGERS)
            | flag(node.integers.is_some_and(|range| range.all_exact_as_f64), EXACT)
            | flag(!node.fields().is_empty(), FIELDS)
            | flag(node.element().is_some(), ELEMENT),
    );
    let counted = || node.counts.iter().enumerate().filter(|(_, count)| **count != 0);
    put(out, counted().fold(0, |mask, (kind, _)| mask | 1 << kind));
    counted().for_each(|(_, count)| put(out, (*count).into()));
    if let Some(range) = node.integers {
        put(out, zigzag(range.min));
        put(out, zigzag(range.max));
    }
    if !node.fields().is_empty() {
        put(out, node.fields().len() as u128);
    }
    for field in node.fields() {
        put(out, (field.name().len() as u128) << 1 | u128::from(field.duplicated));
        out.extend_from_slice(field.name().as_bytes());
        encode_node(&field.node, out);
    }
    if let Some(element) = node.element() {
        encode_node(element, out);
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Shape, ShapeError> {
    let mut input = Input { bytes, offset: 0 };
    match input.byte()? {
        VERSION => {}
        found => return Err(ShapeError::Version { found }),
    }
    let ceiling = match input.byte()? {
        0 => None,
        1 => {
            let len = input.size()?;
            Some(input.str(len)?)
        }
        _ => return Err(input.impossible("ceiling")),
    };
    let mut root = decode_node(&mut input, 0)?;
    if input.offset != bytes.len() {
        return Err(ShapeError::TrailingBytes { offset: input.offset });
    }
    if root.ceiling().is_some() {
        return Err(ShapeError::BeyondLimits { offset: input.offset });
    }
    if let Some(ceiling) = ceiling {
        if root.fields().iter().any(|field| rank(field.name(), ceiling).is_ge()) {
            return Err(input.impossible("ceiling"));
        }
        root.lower_ceiling(ceiling);
    }
    let records_only =
        Kind::ALL.iter().all(|&kind| matches!(kind, Kind::Object | Kind::EmptyObject) || root.count(kind) == 0);
    if !records_only || root.is_wide() {
        return Err(input.impossible("record"));
    }
    Ok(Shape { root, objects: 0 })
}

fn decode_node(input: &mut Input<'_>, depth: usize) -> Result<Node, ShapeError> {
    let mut node = Node::default();
    let flags = input.byte()?;
    decode_counts(input, &mut node)?;
    node.other_keys = flags & OTHER_KEYS != 0;
    if flags & INTEGERS != 0 {
        node.integers = Some(decode_integers(input, flags & EXACT != 0)?);
    }
    let consistent = flags < 2 * ELEMENT
        && (flags & EXACT == 0 || flags & INTEGERS != 0)
        && (flags & INTEGERS != 0) == (node.count(Kind::Int) != 0)
        && (flags & (FIELDS | OTHER_KEYS) == 0 || node.count(Kind::Object) != 0)
        && (flags & ELEMENT == 0 || node.count(Kind::Array) != 0)
        && (flags & WIDE == 0 || flags & (FIELDS | ELEMENT | OTHER_KEYS) == 0)
        && (node.count(Kind::Deep) == 0 || depth >= DEPTH_MAX);
    if !consistent {
        return Err(input.impossible("node"));
    }
    if flags & (FIELDS | ELEMENT) != 0 && depth >= DEPTH_MAX {
        return Err(ShapeError::BeyondLimits { offset: input.offset });
    }
    if flags & FIELDS != 0 {
        decode_fields(input, &mut node, depth)?;
    }
    if flags & ELEMENT != 0 {
        let element = decode_node(input, depth + 1)?;
        node.set_element(element, depth);
    }
    match node.wide {
        true => Err(ShapeError::BeyondLimits { offset: input.offset }),
        false if flags & WIDE != 0 => {
            node.make_wide(depth);
            Ok(node)
        }
        false => Ok(node),
    }
}

fn decode_counts(input: &mut Input<'_>, node: &mut Node) -> Result<(), ShapeError> {
    let mask = input.number()?;
    if mask >= 1 << KINDS {
        return Err(input.impossible("kind"));
    }
    for kind in (0..KINDS).filter(|kind| mask & (1 << kind) != 0) {
        node.counts[kind] = u64::try_from(input.number()?).map_err(|_| input.impossible("count"))?;
        if node.counts[kind] == 0 {
            return Err(input.impossible("count"));
        }
    }
    Ok(())
}

fn decode_integers(input: &mut Input<'_>, all_exact_as_f64: bool) -> Result<IntegerRange, ShapeError> {
    let (min, max) = (unzigzag(input.number()?), unzigzag(input.number()?));
    let possible = i64::MIN.into()..=i128::from(u64::MAX);
    if min > max || !possible.contains(&min) || !possible.contains(&max) {
        return Err(input.impossible("integer range"));
    }
    Ok(IntegerRange { min, max, all_exact_as_f64 })
}

fn decode_fields(input: &mut Input<'_>, node: &mut Node, depth: usize) -> Result<(), ShapeError> {
    let count = input.size()?;
    if count == 0 {
        return Err(input.impossible("number of fields"));
    }
    for _ in 0..count {
        let head = input.size()?;
        let name = input.str(head >> 1)?;
        let child = decode_node(input, depth + 1)?;
        if !node.insert(Field::new(name, child, head & 1 != 0), depth) {
            return Err(input.impossible("second field of one name"));
        }
        if node.wide || node.ceiling().is_some() {
            return Err(ShapeError::BeyondLimits { offset: input.offset });
        }
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)) as u128
}

fn unzigzag(value: u128) -> i128 {
    (value >> 1) as i128 ^ -((value & 1) as i128)
}

struct Input<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Input<'a> {
    fn impossible(&self, what: &'static str) -> ShapeError {
        ShapeError::Impossible { what, offset: self.offset }
    }

    fn byte(&mut self) -> Result<u8, ShapeError> {
        let byte = *self.bytes.get(self.offset).ok_or(ShapeError::Truncated { offset: self.offset })?;
        self.offset += 1;
        Ok(byte)
    }

    /// A varint of at most 70 bits, which is more than any number here needs.
    fn number(&mut self) -> Result<u128, ShapeError> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return if byte == 0 && shift > 0 { Err(self.impossible("varint")) } else { Ok(value) };
            }
        }
        Err(self.impossible("varint"))
    }

    fn size(&mut self) -> Result<usize, ShapeError> {
        usize::try_from(self.number()?).map_err(|_| self.impossible("length"))
    }

    fn str(&mut self, len: usize) -> Result<&'a str, ShapeError> {
        let taken = self.offset.checked_add(len).and_then(|end| self.bytes.get(self.offset..end));
        let taken = taken.ok_or(ShapeError::Truncated { offset: self.offset })?;
        let text = std::str::from_utf8(taken).map_err(|_| self.impossible("key"))?;
        self.offset += len;
        Ok(text)
    }
}
