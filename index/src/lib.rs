//! Index files of an Annals log: built from records, read from mapped bytes.
//!
//! An index is derived from one sealed segment and can be rebuilt from it at any time. It is never evidence about
//! the log: what it says is checked against the segment at every look-up.

mod bytes;
mod header;
mod segment;

pub use bytes::Bytes;
pub use header::{FORMAT_VERSION, FileHeader, FileKind, HEADER_BYTES, HeaderError, INCOMPATIBLE_KNOWN, SPECIFIC_BYTES};
pub use segment::{Binding, IndexBuilder, IndexError, IndexReader, IndexedBlock, RECORDS_MAX, STRIDE};
