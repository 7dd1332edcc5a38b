//! Raw segments: the files that records are appended to. docs/format.md, "Raw segment".
//!
//! Everything here reads and writes bytes in the shape of the format. What an unclean end means is decided by
//! `recovery`, and when to write is decided by `commit`.

#[cfg(feature = "fuzz")]
pub mod codecs;
pub(crate) mod entry;
mod fields;
pub(crate) mod frame;
mod header;
mod headerless;
mod positions;
mod recent;
mod scan;
mod segment;
mod window;

pub(crate) use fields::{RawFields, RawLookup};
pub(crate) use header::{DATA_START, HEADER_COPY_AT, encode_preamble, read_header};
pub(crate) use headerless::{find_salt, records_max};
pub(crate) use positions::Position;
pub(crate) use scan::{BadRange, Scan, Scanner};
pub(crate) use segment::{RawCursor, RawSegment, ReadAhead};
