//! Index files of an Annals log: built from records, read from bytes.
//!
//! An index is derived from one sealed segment and can be rebuilt from it at any time. It is never evidence about
//! the log: what it says is checked against the segment at every look-up.
//!
//! ```
//! use annals_index::{Binding, Bytes, FileHeader, FileKind, IndexBuilder, IndexReader, SPECIFIC_BYTES};
//!
//! let segment =
//!     Binding { log_id: [1; 16], base_seq: 1_000, ordinal: 7, source_file_id: [2; 16], source_bytes: 9_000 };
//! let header = FileHeader {
//!     kind: FileKind::Index,
//!     compatible: 0,
//!     incompatible: 0,
//!     log_id: segment.log_id,
//!     file_id: [3; 16],
//!     base_seq: segment.base_seq,
//!     ordinal: segment.ordinal,
//!     created_us: 0,
//!     specific: [0; SPECIFIC_BYTES],
//! };
//! let mut builder = IndexBuilder::new(&header, &segment);
//! builder.push(1_000, 300, 128, 4_000)?; // 300 records from seq 1,000 on, in 4,000 bytes at offset 128
//! builder.push(1_300, 200, 4_128, 3_000)?;
//!
//! let index = IndexReader::new(Bytes::Read(builder.finish()), &segment)?;
//! assert_eq!(index.find(1_450).map(|block| block.offset), Some(4_128));
//! assert!(index.find(1_500).is_none());
//! # Ok::<(), annals_index::IndexError>(())
//! ```
//!
//! This crate knows nothing of the engine that uses it. It also holds the header that every file of a log begins with
//! ([`FileHeader`]), since the lowest crate writes such files too. The bytes are specified in `docs/format.md` of the
//! repository.

mod bytes;
mod fields;
mod header;
mod segment;

pub use bytes::{Bytes, INDEX_BYTES_MAX};
pub use fields::{
    FIELDS_MAX, FieldPage, FieldsBinding, FieldsBuilder, FieldsError, FieldsReader, KEYS_MAX, KeptPages,
    PATH_BYTES_MAX, ReadAt, Records, term_hash,
};
pub use header::{
    FORMAT_VERSION, FileHeader, FileKind, HEADER_BYTES, HeaderError, INCOMPATIBLE_DROPS, INCOMPATIBLE_KNOWN,
    SPECIFIC_BYTES,
};
pub use segment::{Binding, IndexBuilder, IndexError, IndexReader, IndexedBlock, RECORDS_MAX, STRIDE, indexed_records};
