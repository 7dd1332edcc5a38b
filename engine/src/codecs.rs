//! The decoders of the bytes on disk as functions over slices, each with the encoder that it undoes: a door for fuzz
//! targets, which can't reach private modules. Feature `fuzz`; no part of the API, and nothing in the engine uses it.

use crate::catalog::Catalog;
pub use crate::columns::codecs as columns;
use crate::commit::{HEAD_BYTES, Head};
use crate::names::SegmentName;
pub use crate::raw::codecs as raw;
pub use crate::sealed::codecs as sealed;

/// A record: its seq, its timestamp in µs, its key, its body.
pub type Row = (u64, i64, Vec<u8>, Vec<u8>);

/// The head in `bytes`, encoded again.
pub fn head(bytes: &[u8; HEAD_BYTES]) -> Option<[u8; HEAD_BYTES]> {
    Head::decode(bytes).map(|head| head.encode())
}

/// The body of a catalog, encoded again.
pub fn catalog(bytes: &[u8]) -> Option<Vec<u8>> {
    Catalog::decode(bytes).map(|catalog| catalog.encode())
}

/// The name of a segment, built again from what was parsed.
pub fn segment_name(text: &str) -> Option<String> {
    SegmentName::parse(text).map(|name| name.to_string())
}
