//! One path of a shape: the kinds of values seen there, and the paths below.

use super::fields::{Cursor, Field, Fields, rank};
use super::{DEPTH_MAX, KEYS_MAX, TOP_LEVEL_KEYS_MAX, weight_max};
use crate::msgpack::{EXT_JSON_TOKEN, MsgPackError, Reader, Token};

/// How many [`Kind`]s there are.
pub const KINDS: usize = 14;

/// The kinds a value can be of. Each value is of exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// nil
    Null = 0,
    /// A boolean.
    Bool = 1,
    /// An integer, of 64 bits with or without sign.
    Int = 2,
    /// A float of 32 or 64 bits.
    Float = 3,
    /// A string.
    String = 4,
    /// Binary data.
    Binary = 5,
    /// A number kept as its JSON token, since MessagePack has no type for it.
    JsonNumber = 6,
    /// A string kept as its JSON token, since it is not valid Unicode.
    JsonString = 7,
    /// Any other extension.
    Extension = 8,
    /// An array with elements.
    Array = 9,
    /// An array without elements.
    EmptyArray = 10,
    /// An object with keys.
    Object = 11,
    /// An object without keys.
    EmptyObject = 12,
    /// An array or object with content at the depth where containers are no longer entered.
    Deep = 13,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; KINDS] = [
        Kind::Null,
        Kind::Bool,
        Kind::Int,
        Kind::Float,
        Kind::String,
        Kind::Binary,
        Kind::JsonNumber,
        Kind::JsonString,
        Kind::Extension,
        Kind::Array,
        Kind::EmptyArray,
        Kind::Object,
        Kind::EmptyObject,
        Kind::Deep,
    ];
}

/// The smallest and largest integer seen, and what they have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegerRange {
    /// The smallest.
    pub min: i128,
    /// The largest.
    pub max: i128,
    /// Whether each of them is exactly a 64-bit float.
    pub all_exact_as_f64: bool,
}

impl IntegerRange {
    fn of(value: i128) -> Self {
        let magnitude = value.unsigned_abs();
        // The bits from the highest to the lowest that is set: what the mantissa has to hold.
        let bits = match magnitude {
            0 => 0,
            _ => u128::BITS - magnitude.leading_zeros() - magnitude.trailing_zeros(),
        };
        Self { min: value, max: value, all_exact_as_f64: bits <= f64::MANTISSA_DIGITS }
    }

    fn join(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            all_exact_as_f64: self.all_exact_as_f64 && other.all_exact_as_f64,
        }
    }
}

/// What was seen at one path.
#[derive(Debug, Clone, Default)]
pub struct Node {
    pub(super) counts: [u64; KINDS],
    pub(super) integers: Option<IntegerRange>,
    pub(super) wide: bool,
    pub(super) other_keys: bool,
    fields: Fields,
    element: Option<Box<Node>>,
    /// The sum of what fields and element weigh.
    below: u64,
    /// The first top-level key, by rank, that was crowded out. Only ever set at the root.
    ceiling: Option<Box<str>>,
}

impl Node {
    /// How many values were of this kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts[kind as usize]
    }

    /// How many values there were, nulls included.
    pub fn values(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// The range of the integers, if there were any.
    pub fn integers(&self) -> Option<IntegerRange> {
        self.integers
    }

    /// Whether keys are used as data here; fields and element have then been forgotten.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// Whether some object had a key that is not a string.
    pub fn has_other_keys(&self) -> bool {
        self.other_keys
    }

    /// The fields of the objects, in order of first appearance.
    pub fn fields(&self) -> &[Field] {
        self.fields.as_slice()
    }

    /// What was seen inside the arrays.
    pub fn element(&self) -> Option<&Node> {
        self.element.as_deref()
    }

    pub(super) fn ceiling(&self) -> Option<&str> {
        self.ceiling.as_deref()
    }

    /// This path and all below it. A wide one stays as heavy as its depth allows.
    pub(super) fn weight(&self) -> u64 {
        self.below.saturating_add(1)
    }

    /// Counts the value that comes next in `reader`.
    pub(super) fn observe(
        &mut self,
        reader: &mut Reader<'_>,
        depth: usize,
        objects: &mut u64,
    ) -> Result<(), MsgPackError> {
        let kind = match reader.token()? {
            Token::Nil => Kind::Null,
            Token::Bool(_) => Kind::Bool,
            Token::UInt(value) => self.observe_integer(value.into()),
            Token::Int(value) => self.observe_integer(value.into()),
            Token::F32(_) | Token::F64(_) => Kind::Float,
            Token::Str(_) => Kind::String,
            Token::Bin(_) => Kind::Binary,
            Token::Ext(EXT_JSON_TOKEN, [b'"', ..]) => Kind::JsonString,
            Token::Ext(EXT_JSON_TOKEN, _) => Kind::JsonNumber,
            Token::Ext(..) => Kind::Extension,
            Token::Array(0) => Kind::EmptyArray,
            Token::Map(0) => Kind::EmptyObject,
            Token::Array(len) if depth >= DEPTH_MAX => skip(reader, len.into(), Kind::Deep)?,
            Token::Map(len) if depth >= DEPTH_MAX => skip(reader, 2 * u64::from(len), Kind::Deep)?,
            Token::Array(len) if self.wide => skip(reader, len.into(), Kind::Array)?,
            Token::Map(len) if self.wide => skip(reader, 2 * u64::from(len), Kind::Object)?,
            Token::Array(len) => self.observe_array(len, reader, depth, objects)?,
            Token::Map(len) => self.observe_object(len, reader, depth, objects)?,
        };
        let count = &mut self.counts[kind as usize];
        *count = count.saturating_add(1);
        Ok(())
    }

    fn observe_integer(&mut self, value: i128) -> Kind {
        let one = IntegerRange::of(value);
        self.integers = Some(self.integers.map_or(one, |range| range.join(one)));
        Kind::Int
    }

    fn observe_array(
        &mut self,
        len: u32,
        reader: &mut Reader<'_>,
        depth: usize,
        objects: &mut u64,
    ) -> Result<Kind, MsgPackError> {
        for left in (0..u64::from(len)).rev() {
            let weighed = self.element.as_ref().map_or(0, |node| node.weight());
            let element = self.element.get_or_insert_default();
            element.observe(reader, depth + 1, objects)?;
            let weight = element.weight();
            if weight != weighed && self.grow(weighed, weight, depth) {
                return skip(reader, left, Kind::Array);
            }
        }
        Ok(Kind::Array)
    }

    fn observe_object(
        &mut self,
        len: u32,
        reader: &mut Reader<'_>,
        depth: usize,
        objects: &mut u64,
    ) -> Result<Kind, MsgPackError> {
        *objects += 1;
        let object = *objects;
        let mut before = Cursor::START;
        for left in (0..u64::from(len)).rev() {
            let at_key = reader.clone();
            let Token::Str(key) = reader.token()? else {
                *reader = at_key;
                self.other_keys = true;
                skip(reader, 2, Kind::Object)?;
                continue;
            };
            let (cursor, weighed) = match self.fields.find_after(before, key) {
                Some(cursor) => (cursor, self.fields.at(cursor).weight()),
                None if self.is_crowded_out(key) => {
                    skip(reader, 1, Kind::Object)?;
                    continue;
                }
                None => (self.fields.push(Field::new(key, Node::default(), false)), 0),
            };
            let field = self.fields.mark(cursor, object);
            field.node.observe(reader, depth + 1, objects)?;
            let weight = field.weight();
            before = cursor;
            if weight != weighed && self.grow(weighed, weight, depth) {
                before = Cursor::START;
                if self.wide {
                    return skip(reader, 2 * left, Kind::Object);
                }
            }
        }
        Ok(Kind::Object)
    }

    /// Adds what was seen at the same path of later records.
    pub(super) fn merge(&mut self, later: &Node, depth: usize) {
        for (count, more) in self.counts.iter_mut().zip(later.counts) {
            *count = count.saturating_add(more);
        }
        self.integers = match (self.integers, later.integers) {
            (Some(a), Some(b)) => Some(a.join(b)),
            (a, b) => a.or(b),
        };
        if self.wide || later.wide {
            return self.make_wide(depth);
        }
        self.other_keys |= later.other_keys;
        if let Some(ceiling) = &later.ceiling {
            self.lower_ceiling(ceiling);
        }
        for field in later.fields() {
            if !self.is_crowded_out(field.name()) {
                self.merge_field(field, depth);
            }
            if self.wide {
                return;
            }
        }
        if let Some(element) = &later.element {
            let weighed = self.element.as_ref().map_or(0, |node| node.weight());
            let own = self.element.get_or_insert_default();
            own.merge(element, depth + 1);
            let weight = own.weight();
            self.grow(weighed, weight, depth);
        }
    }

    fn merge_field(&mut self, later: &Field, depth: usize) {
        let (weighed, weight) = match self.fields.find(later.name()) {
            Some(cursor) => {
                let field = self.fields.at(cursor);
                let weighed = field.weight();
                field.duplicated |= later.duplicated;
                field.node.merge(&later.node, depth + 1);
                (weighed, field.weight())
            }
            None => {
                self.fields.push(later.clone());
                (0, later.weight())
            }
        };
        self.grow(weighed, weight, depth);
    }

    /// Adds a field while decoding; `false` if the key is there already.
    pub(super) fn insert(&mut self, field: Field, depth: usize) -> bool {
        if self.fields.find(field.name()).is_some() {
            return false;
        }
        let weight = field.weight();
        self.fields.push(field);
        self.grow(0, weight, depth);
        true
    }

    /// Sets the element while decoding.
    pub(super) fn set_element(&mut self, element: Node, depth: usize) {
        let weight = element.weight();
        self.element = Some(Box::new(element));
        self.grow(0, weight, depth);
    }

    /// Replaces part of the weight and applies the limits. `true` if fields were lost to them.
    fn grow(&mut self, weighed: u64, weight: u64, depth: usize) -> bool {
        self.below = self.below.saturating_sub(weighed).saturating_add(weight);
        if depth > 0 {
            if self.fields.len() <= KEYS_MAX && self.weight() <= weight_max(depth) {
                return false;
            }
            self.make_wide(depth);
            return true;
        }
        let mut lost = false;
        while self.fields.len() > TOP_LEVEL_KEYS_MAX || self.weight() > weight_max(0) {
            let Some(field) = self.fields.remove_last_ranked() else { break };
            self.below = self.below.saturating_sub(field.weight());
            self.ceiling = Some(field.name().into());
            lost = true;
        }
        lost
    }

    pub(super) fn make_wide(&mut self, depth: usize) {
        self.wide = true;
        self.other_keys = false;
        self.fields = Fields::default();
        self.element = None;
        self.below = weight_max(depth) - 1;
    }

    /// Whether a top-level key comes too late in rank to be kept.
    fn is_crowded_out(&self, key: &str) -> bool {
        self.ceiling().is_some_and(|ceiling| rank(key, ceiling).is_ge())
    }

    pub(super) fn lower_ceiling(&mut self, ceiling: &str) {
        if self.is_crowded_out(ceiling) {
            return;
        }
        self.fields.retain_below(ceiling);
        self.ceiling = Some(ceiling.into());
        self.below = self.element.as_ref().map_or(0, |node| node.weight());
        self.below = self.fields().iter().fold(self.below, |sum, field| sum.saturating_add(field.weight()));
    }
}

/// Reads past `values` values.
fn skip(reader: &mut Reader<'_>, values: u64, kind: Kind) -> Result<Kind, MsgPackError> {
    for _ in 0..values {
        reader.skip_value()?;
    }
    Ok(kind)
}
