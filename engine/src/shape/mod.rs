//! The exact schema of a run of records: what kinds of values were seen at each path, and how often.
//!
//! A [`Shape`] is computed from every record, never from a sample. One is kept for each sealed segment; merged in seq
//! order they say what [`Shape::observe`] would have said of all records in one pass. That equality is exact, also
//! when a limit was reached, because every limit here depends on *which paths occur*, never on when they occurred:
//!
//! - A path has a weight: 1, plus its key's length over [`KEY_BYTES_PER_WEIGHT`], plus the weights of the paths below.
//! - An object with more than [`KEYS_MAX`] different keys, or a value whose weight would pass [`weight_max`] of its
//!   depth, is *wide* (keys used as data). What is below it is forgotten, and its weight stays at that maximum.
//! - A non-empty container at depth [`DEPTH_MAX`] is counted as [`Kind::Deep`] and not entered.
//! - Of the keys of the records themselves, those that sort first by (length, bytes) are kept, as many as fit into
//!   [`TOP_LEVEL_KEYS_MAX`] and [`WEIGHT_MAX`]. A rule by order of appearance could not be merged: a key kept in one
//!   segment and crowded out in the next would have lost the counts of the second.
//!
//! What all this becomes in Parquet is for the exporter to say; nothing here knows columns.

mod codec;
mod fields;
mod node;

pub use codec::ShapeError;
pub use fields::Field;
pub use node::{IntegerRange, KINDS, Kind, Node};

use crate::msgpack::{MsgPackError, Reader};

/// Most keys of the records themselves that are kept.
pub const TOP_LEVEL_KEYS_MAX: usize = 1024;

/// Most different keys below the top level before an object is wide.
pub const KEYS_MAX: usize = 512;

/// The depth at which containers are no longer entered. The values of a record's own keys are at depth 1.
pub const DEPTH_MAX: usize = 16;

/// Most weight of a whole shape, which bounds its memory to about 50 MB even for hostile data.
pub const WEIGHT_MAX: u64 = 1 << 17;

/// So many bytes of a key weigh as much as a path.
pub const KEY_BYTES_PER_WEIGHT: usize = 64;

/// Most weight of a value at `depth`, itself included: 4096, 1024, then 256 at every depth from 3 on.
///
/// It falls with depth so that a wide value does not make everything around it wide.
pub const fn weight_max(depth: usize) -> u64 {
    match depth {
        0 => WEIGHT_MAX,
        1 => 4096,
        2 => 1024,
        _ => 256,
    }
}

/// What was seen at each path of a run of records.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    root: Node,
    /// Numbers the objects observed, so that a key seen twice in one of them is noticed without a set.
    objects: u64,
}

impl Shape {
    /// The shape of no records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one record, given by its body.
    ///
    /// # Errors
    /// `body` is not one MessagePack map. What was read before the fault has then been counted, so the shape describes
    /// more than the valid records; record bodies are validated when they are appended.
    pub fn observe(&mut self, body: &[u8]) -> Result<(), MsgPackError> {
        let mut reader = Reader::new(body);
        if !reader.peek_is_map() {
            return Err(if body.is_empty() { MsgPackError::Truncated { offset: 0 } } else { MsgPackError::NotAMap });
        }
        self.root.observe(&mut reader, 0, &mut self.objects)?;
        reader.finish()
    }

    /// Adds what `later` says of the records that follow those of `self`.
    ///
    /// Counts saturate. Fields keep the order of their first appearance.
    pub fn merge(&mut self, later: &Shape) {
        self.root.merge(&later.root, 0);
        self.objects = self.objects.max(later.objects);
    }

    /// How many records were observed.
    pub fn records(&self) -> u64 {
        self.root.count(Kind::Object).saturating_add(self.root.count(Kind::EmptyObject))
    }

    /// The records themselves: an object whose fields are the top-level keys.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Whether some top-level keys were crowded out and are not among the fields of [`Shape::root`].
    pub fn is_truncated(&self) -> bool {
        self.root.ceiling().is_some()
    }

    /// Appends the encoding of this shape to `out`. Equal shapes have equal encodings.
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::encode(self, out);
    }

    /// Reads what [`Shape::encode`] wrote; `bytes` holds nothing else.
    ///
    /// # Errors
    /// `bytes` are not such an encoding, or describe a shape beyond the limits of this module. Memory used is in
    /// proportion to `bytes`, whatever they claim.
    pub fn decode(bytes: &[u8]) -> Result<Shape, ShapeError> {
        codec::decode(bytes)
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        self.encode(&mut left);
        other.encode(&mut right);
        left == right
    }
}

impl Eq for Shape {}

#[cfg(test)]
mod tests;
